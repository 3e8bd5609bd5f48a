/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_MAIL_SEAL_MEMORY_H
#define MAIL_MAIL_SEAL_MEMORY_H

#include "stream/istream-age.h"

/* What is remembered of messages that were opened before, as the layer that
   keeps it (index) tells the one that opens them. */

struct mail;
struct mailbox;

struct mail_seal_memory_vfuncs {
	/* Returns TRUE if it is remembered how this message was sealed: known_r,
	   which the caller wipes, and whether it was to the recipient of
	   now. */
	bool (*recall)(struct mail *mail, struct age_istream_known *known_r,
		       bool *current_r);
	/* The message isn't as it is remembered. Returns TRUE if that is known to
	   be wrong; FALSE if mail was unsealed since, so that the message may
	   well be another one. */
	bool (*is_exchanged)(struct mail *mail);
	/* What is learned of this message now is not to be remembered. */
	void (*distrust)(struct mail *mail);
	/* All messages of this open mailbox were sealed, or unsealed, in place:
	   nothing is to be left of what indexes kept of plain ones, or of sealed
	   ones. */
	void (*rewritten)(struct mailbox *box, bool unsealed);
};

/* Set once, when the module is loaded. */
void mail_seal_memory_set(const struct mail_seal_memory_vfuncs *vfuncs);

/* Tell it. */
void mail_seal_memory_rewritten(struct mailbox *box, bool unsealed);

/* The age stream of a message that is open; NULL if it is plain or isn't open.
   *current_r as above. */
struct istream *mail_seal_mail_get_sealed(struct mail *mail, bool *current_r);

#endif
