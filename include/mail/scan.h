/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_SCAN_H
#define MAIL_SCAN_H

#include "array-decl.h"

/* Which messages of a mailbox are sealed, and which identity opens them. The
   beginning of each stored file tells: with identities it costs one X25519 for
   each message and identity, and the payload isn't read. */

struct mailbox;
struct age_identities;

struct mail_seal_scan {
	/* damaged: neither a plain message nor one with a well-formed header,
	   or it can't be read at all; logged with mailbox and UID. */
	unsigned int sealed, plain, damaged;
	/* As stored, without what dbox puts around a message. */
	uint64_t sealed_bytes, plain_bytes;

	/* With identities, of the sealed ones: how many the first (current)
	   identity opens, and how many none does. */
	unsigned int current, foreign;
	/* Created by the caller, else not filled. [i], i >= 1: how many messages
	   identities[i] opens and none before it. Has an element for each
	   identity. */
	ARRAY_TYPE(uint32_t) earlier;
};

/* Look at all messages of a mailbox, which is opened and synced if need be, and
   add them to scan; the caller zeroes it before the first mailbox. identities
   may be NULL: then only sealed and plain are told apart. Messages that are
   expunged meanwhile aren't counted. Returns 0, or -1 and error_r if the
   mailbox can't be looked through. */
int mail_seal_scan_mailbox(struct mailbox *box,
			   const struct age_identities *identities,
			   struct mail_seal_scan *scan, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
