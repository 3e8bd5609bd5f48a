/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_CATCH_UP_H
#define MAIL_CATCH_UP_H

/* With mail_seal_unenrolled = plaintext, mail that arrives before its user has a
   key is stored plain. Sessions that have the key seal it, in steps of some
   hundredths of a second, while their client waits, and for a moment after it
   has gone. They begin where an earlier one ended, and leave a note in the store
   (mail-seal.plain in its root) once nothing plain is left. */

struct mail_user;

/* Returns TRUE if nothing is under way: no command is being answered. */
typedef bool mail_seal_idle_t(void *context);

/* A session of this user begins, which is unlocked. Does nothing if the settings
   don't have it so, or nothing can be left to seal. context must live until
   mail_seal_user_catch_up_pause(). */
void mail_seal_user_catch_up(struct mail_user *user, mail_seal_idle_t *idle,
			     void *context);
/* The client is going: idle isn't called any more. What is left to do is done
   for a moment when the user is freed. */
void mail_seal_user_catch_up_pause(struct mail_user *user);

#endif
