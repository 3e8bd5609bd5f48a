/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_PLAIN_STATE_H
#define PLUGIN_MAIL_PLAIN_STATE_H

/* Whether plain messages may be in a user's store: they may unless its file says
   that all was looked through. Whoever stores one changes the file, so that who
   looks meanwhile looks again. */

#define PLAIN_STATE_ID_SIZE 8

struct mail_user;

struct plain_state {
	/* All zero if there is no file. */
	unsigned char id[PLAIN_STATE_ID_SIZE];
	/* There are none. */
	bool none_left;
};

/* Without a store of mail, or if the file can't be read, some may be. */
void plain_state_read(struct mail_user *user, struct plain_state *state_r);
/* A plain message was stored, or will be. */
void plain_state_change(struct mail_user *user);
/* All was looked through since seen was read, and nothing plain is left. Returns
   FALSE if there is another state by now. */
bool plain_state_finish(struct mail_user *user, const struct plain_state *seen);

#endif
