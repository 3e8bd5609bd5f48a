/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_UNLOCK_H
#define PLUGIN_MAIL_UNLOCK_H

#include "keyring/store.h"

/* What the files that unlock a user share. */

struct mail_user;
struct mail_seal_user;

/* What a keyring can be opened with; all may be NULL. The strings are of the
   form of keyring_secret_is_valid(). */
struct mail_seal_secrets {
	/* Of the password, and of the one before it. */
	const char *secret, *old_secret;
	/* Recovery code, escrow identity, or the keyring's own. */
	const struct age_identities *keys;
	/* By an administrator, through mail_seal_unlock_fd: they may open a
	   keyring and not make one. */
	bool given;
};

/* A keyring that is being opened, and brought up to date. */
struct mail_seal_unlock {
	struct mail_user *user;
	struct mail_seal_user *suser;
	struct keyring_store *store;
	struct mail_seal_secrets secrets;

	struct keyring_opened opened;
	/* It was old_secret that opened it. */
	bool by_old_secret;
};

/* mail-seal-userdb.c */
/* The secrets that the passdb handed on of the user's own password. Returns 0,
   or -1 and error_r if they have not the form of a secret. */
int mail_seal_userdb_secrets(struct mail_user *user,
			     struct mail_seal_secrets *secrets_r,
			     const char **error_r);
/* Overwrite every secret among the userdb's fields. */
void mail_seal_userdb_wipe(struct mail_user *user);

/* mail-seal-unlock.c */
/* Open the keyring with the secrets at hand. Sets unlock->opened, and returns
   as keyring_open_password(). */
int mail_seal_unlock_open(struct mail_seal_unlock *unlock,
			  const struct keyring *keyring, const char **error_r);
/* Log what the store has to say about its last call, if anything. */
void mail_seal_store_log_notice(struct mail_user *user,
				const struct keyring_store *store);

/* mail-seal-enroll.c */
/* Make a keyring for the secret and the escrow recipients of the settings.
   Returns 1, unlock->opened and the keyring, which the caller frees, if it was
   stored; 0 if another session was faster; -1 and error_r if there can't be
   one. */
int mail_seal_enroll(struct mail_seal_unlock *unlock,
		     struct keyring **keyring_r, const char **error_r);

/* mail-seal-renew.c */
/* Bring an open keyring up to date, in one change of the store, and none if
   nothing is to change: a password slot that the earlier secret opened, or that
   doesn't hold all identities, is written anew with the secret of now; there is
   an escrow slot for each recipient of the settings and for nobody else. A
   failure is a warning in the log alone. *keyring is replaced if the stored one
   is another one then. */
void mail_seal_renew(struct mail_seal_unlock *unlock, struct keyring **keyring);

#endif
