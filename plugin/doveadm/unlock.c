/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-user.h"
#include "mail/mail-seal-user.h"
#include "doveadm-seal.h"

/* The identities of a user whose messages a command opens. */

static int open_keyring(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct seal_change change = { .cmd = cmd, .user = user };
	struct keyring_opened opened;
	struct keyring *keyring;

	if (seal_open_stored(&change, &keyring, &opened) < 0)
		return -1;
	keyring_free(&keyring);
	mail_seal_user_set_identities(user, opened.identities);
	age_identities_deinit(&opened.identities);
	return 1;
}

/* There is no keyring: the identity itself is all there may be. */
static int set_identity(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct age_identities *identities = age_identities_init();

	age_identities_add(identities, &cmd->secrets->identity);
	mail_seal_user_set_identities(user, identities);
	age_identities_deinit(&identities);
	return 1;
}

int seal_unlock_user(struct seal_cmd_context *cmd, struct mail_user *user)
{
	const enum seal_secret_flags opening =
		SEAL_SECRET_PASSWORD | SEAL_SECRET_IDENTITY;
	const char *reason = seal_no_keyring_reason(user);

	if ((cmd->secrets->set & opening) != 0 && reason == NULL)
		return open_keyring(cmd, user);
	if ((cmd->secrets->set & SEAL_SECRET_IDENTITY) != 0 &&
	    mail_seal_user_is_sealed(user))
		return set_identity(cmd, user);
	if (!mail_seal_user_is_sealed(user)) {
		return seal_cmd_fail(cmd, user, DOVEADM_EX_NOTPOSSIBLE, "%s",
				     reason);
	}
	/* By mail_seal_unlock_fd, or the userdb. */
	if (mail_seal_user_get_identities(user) == NULL &&
	    mail_seal_user_has_key(user))
		(void)mail_seal_user_unlock(user);
	return mail_seal_user_get_identities(user) != NULL ? 1 : 0;
}
