/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-user.h"
#include "settings/mail-seal-settings.h"

/* Dovecot 2.3: plugin { } holds texts, with the userdb's already merged in. */

static void
get_text(struct mail_user *user, const char *name, const char **value)
{
	const char *env = mail_user_plugin_getenv(user, name);

	if (env != NULL && *env != '\0')
		*value = env;
}

int mail_seal_settings_get(struct mail_user *user,
			   struct mail_seal_settings *set_r,
			   const char **error_r)
{
	struct mail_seal_settings_text text = MAIL_SEAL_SETTINGS_DEFAULTS;

	get_text(user, "mail_seal_keyring", &text.keyring);
	get_text(user, "mail_seal_enroll", &text.enroll);
	get_text(user, "mail_seal_save", &text.save);
	get_text(user, "mail_seal_unenrolled", &text.unenrolled);
	get_text(user, "mail_seal_argon2_memory", &text.argon2_memory);
	get_text(user, "mail_seal_argon2_passes", &text.argon2_passes);
	get_text(user, "mail_seal_escrow_recipients", &text.escrow_recipients);
	get_text(user, "mail_seal_unlock_fd", &text.unlock_fd);
	if (mail_seal_settings_parse(&text, set_r, error_r) < 0)
		return -1;
	get_text(user, "mail_seal_dict", &set_r->dict);
	return 0;
}
