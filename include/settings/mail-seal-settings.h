/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SETTINGS_MAIL_SEAL_SETTINGS_H
#define SETTINGS_MAIL_SEAL_SETTINGS_H

#include "age/x25519.h"

/* The settings mail_seal_*, the same on Dovecot 2.3 (in plugin { }) and on 2.4
   (at top level), from the configuration and the userdb. */

struct mail_user;

#if DOVECOT_PREREQ(2, 4, 0)
#  define MAIL_SEAL_SETTINGS_FILTER "mail_seal"
#  define MAIL_SEAL_SETTINGS_DICT "mail_seal { dict }"
#else
#  define MAIL_SEAL_SETTINGS_DICT "mail_seal_dict"
#endif

/* What to do with mail for a user who has no keyring yet. */
enum mail_seal_unenrolled {
	/* Refuse it with an error that the sender retries. */
	MAIL_SEAL_UNENROLLED_TEMPFAIL,
	/* Store it as it is. */
	MAIL_SEAL_UNENROLLED_PLAINTEXT
};

/* Every keyring has a slot for each. */
#define MAIL_SEAL_MAX_ESCROW 16

struct mail_seal_settings {
	/* mail_seal_keyring: absolute, or below the home as "~/…". */
	const char *keyring;
	/* NULL: the keyring is in that file. Otherwise in a dict, to which what
	   is in the file is moved. On 2.3 mail_seal_dict, the dict's URI; on 2.4 the
	   name of the dict { } in mail_seal { }, which are read by an event
	   with MAIL_SEAL_SETTINGS_FILTER. */
	const char *dict;
	/* mail_seal_enroll: make a keyring at the first login. */
	bool enroll;
	/* mail_seal_save: seal new mail. */
	bool save;
	/* mail_seal_unenrolled */
	enum mail_seal_unenrolled unenrolled;
	/* mail_seal_argon2_memory, in KiB, and mail_seal_argon2_passes: costs
	   of new password slots, within the limits of age/argon2id.h. */
	unsigned int argon2_memory_kib;
	unsigned int argon2_passes;
	/* mail_seal_escrow_recipients: whom keyrings have an escrow slot for, no
	   two alike. */
	struct age_x25519_recipient escrow[MAIL_SEAL_MAX_ESCROW];
	unsigned int escrow_count;
	/* mail_seal_unlock_fd: where doveadm reads a password or an identity
	   from; -1 if there is none. */
	int unlock_fd;
};

/* Read the user's settings; strings are allocated from the user's pool. Returns
   0, or -1 and error_r, which names the setting, its value and what is allowed.
 */
int mail_seal_settings_get(struct mail_user *user,
			   struct mail_seal_settings *set_r,
			   const char **error_r) ATTR_WARN_UNUSED_RESULT;

#if DOVECOT_PREREQ(2, 4, 0)
/* mail_seal_unlock_fd alone, when there is no user yet; -1 also if it can't be
   had. */
int mail_seal_settings_get_unlock_fd(struct event *event);
#endif

/* The values as text, before they are checked. */
struct mail_seal_settings_text {
	const char *keyring, *enroll, *save, *unenrolled;
	const char *argon2_memory, *argon2_passes;
	const char *escrow_recipients, *unlock_fd;
};
#define MAIL_SEAL_SETTINGS_DEFAULTS { \
	.keyring = "~/mail-seal.keyring", \
	.enroll = "yes", \
	.save = "yes", \
	.unenrolled = "tempfail", \
	.argon2_memory = "64M", \
	.argon2_passes = "2", \
	.escrow_recipients = "", \
	.unlock_fd = "", \
}

/* Check all values. The strings of set_r point to those of text. Returns as
   mail_seal_settings_get(). */
int mail_seal_settings_parse(const struct mail_seal_settings_text *text,
			     struct mail_seal_settings *set_r,
			     const char **error_r) ATTR_WARN_UNUSED_RESULT;

#endif
