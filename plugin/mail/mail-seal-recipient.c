/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail/mail-seal-user.h"
#include "keyring/store.h"
#include "mail-seal-private.h"
#include "unlock.h"

/* Whom new mail is sealed to. The recipient alone is needed, so this works in
   deliveries, where nobody is logged in. */

/* mail_seal_recipient of the userdb: one or more, separated by spaces. */
static int
parse_recipient_field(struct mail_seal_user *suser, const char *value,
		      const char **error_r)
{
	const char *const *str = t_strsplit_spaces(value, " ,");
	struct age_x25519_recipient recipient;
	const char *error;

	if (*str == NULL) {
		*error_r = "the userdb field mail_seal_recipient is empty";
		return -1;
	}
	for (; *str != NULL; str++) {
		if (age_x25519_recipient_parse(*str, &recipient, &error) < 0) {
			array_clear(&suser->recipients);
			*error_r = t_strdup_printf("the userdb field "
				"mail_seal_recipient = %s: %s", *str, error);
			return -1;
		}
		array_push_back(&suser->recipients, &recipient);
	}
	return 1;
}

static int
load_from_keyring(struct mail_user *user, struct mail_seal_user *suser,
		  const char **error_r)
{
	struct keyring_store *store;
	struct keyring *keyring;
	int ret;

	store = mail_seal_keyring_store(user, suser, error_r);
	if (store == NULL)
		return -1;
	ret = keyring_store_load(store, &keyring, error_r);
	mail_seal_stamp_take(suser, store);
	if (ret > 0) {
		mail_seal_store_log_notice(user, store);
		mail_seal_recipients_take(user, suser, keyring);
		keyring_free(&keyring);
	}
	keyring_store_deinit(&store);
	return ret;
}

int mail_seal_keyring_look(struct mail_user *user, const char **error_r)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	if (suser->stamp_known)
		return mail_seal_refresh(user, FALSE, error_r);
	if (mail_seal_user_no_keyring_reason(user) != NULL)
		return 0;
	return load_from_keyring(user, suser, error_r) < 0 ? -1 : 0;
}

int mail_seal_recipients_load(struct mail_user *user,
			      struct mail_seal_user *suser,
			      const char **error_r)
{
	const char *value;
	int ret;

	if (mail_seal_refresh(user, FALSE, error_r) < 0)
		return -1;
	if (array_count(&suser->recipients) > 0)
		return 1;
	value = mail_seal_userdb_field(user, "mail_seal_recipient");
	if (value != NULL)
		return parse_recipient_field(suser, value, error_r);
	if (mail_seal_userdb_field(user, "mail_seal_identity") == NULL) {
		ret = load_from_keyring(user, suser, error_r);
		if (ret != 0)
			return ret;
	}
	/* With the identity at hand, or a password to enrol with, unlocking
	   makes the recipient known. */
	(void)mail_seal_user_unlock(user);
	return array_count(&suser->recipients) > 0 ? 1 : 0;
}
