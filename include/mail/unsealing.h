/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_UNSEALING_H
#define MAIL_UNSEALING_H

/* A store that is being unsealed, or was since a message was opened last: then it
   is no wonder that the message isn't sealed any more. With mdbox, where a session
   may still see messages in the file that they were in before, any rewriting
   counts. A small file in the root of the store tells, whose content changes
   whenever such a run begins or ends. */

#define MAIL_SEAL_STATE_SIZE 8

struct mailbox;

struct mail_seal_state {
	/* All zero if there was never such a run. */
	unsigned char id[MAIL_SEAL_STATE_SIZE];
	/* A run has begun, and wasn't brought to its end. */
	bool rewriting;
};

/* What the file says now. If it can't be read, a run is supposed. */
void mail_seal_state_read(struct mailbox *box, struct mail_seal_state *state_r);
/* The same, and messages that are opened from now on are no older than that. Not
   while one is being opened. */
void mail_seal_state_follow(struct mailbox *box,
			    struct mail_seal_state *state_r);

struct mail_seal_unsealing;
/* A run begins. Returns 0, or -1 and error_r. */
int mail_seal_unsealing_begin(struct mailbox *box,
			      struct mail_seal_unsealing **unsealing_r,
			      const char **error_r);
/* It ends: if no other one goes on, messages are compared again. */
void mail_seal_unsealing_end(struct mail_seal_unsealing **unsealing);

#endif
