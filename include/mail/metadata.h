/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_METADATA_H
#define MAIL_METADATA_H

/* What a client may ask for by GETMETADATA (RFC 5464), read only, of the server
   ("") and of each mailbox of the user's own:

     /private/vendor/vendor.mail-seal/status     "sealed"; "locked", where this
         session can't open what is sealed; "plain", where there is no key to
         seal to yet and the settings let mail be stored as it is
     /private/vendor/vendor.mail-seal/recipient  to whom new mail is sealed:
         age1…, separated by spaces if there is more than one
     /private/vendor/vendor.mail-seal/slots      what opens the keyring: kind and
         date of each slot, separated by "; ": "password 2026-11-23T10:00:00Z"

   An entry without a value isn't there. A list (DEPTH) has those of the server
   alone. Works with imap_metadata = no as well. */

void mail_seal_metadata_init(void);
void mail_seal_metadata_deinit(void);

#endif
