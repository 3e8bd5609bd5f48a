/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail/mail-seal-user.h"
#include "keyring/store.h"
#include "mail-seal-private.h"

/* Whom new mail is sealed to. The recipient alone is needed, so this works in
   deliveries, where nobody is logged in. */

static void
add_recipients(struct mail_seal_user *suser,
	       const struct age_x25519_recipient *recipients,
	       unsigned int count)
{
	array_append(&suser->recipients, recipients, count);
}

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
		add_recipients(suser, &recipient, 1);
	}
	return 1;
}

static int
load_from_keyring(struct mail_user *user, struct mail_seal_user *suser,
		  const char **error_r)
{
	const struct age_x25519_recipient *recipients;
	struct keyring_store *store;
	struct keyring *keyring;
	unsigned int count;
	int ret;

	store = mail_seal_keyring_store(user, suser, error_r);
	if (store == NULL)
		return -1;
	ret = keyring_store_load(store, &keyring, error_r);
	if (ret > 0) {
		recipients = keyring_recipients(keyring, &count);
		add_recipients(suser, recipients, count);
		keyring_free(&keyring);
	}
	keyring_store_deinit(&store);
	return ret;
}

int mail_seal_recipients_load(struct mail_user *user,
			      struct mail_seal_user *suser,
			      const char **error_r)
{
	const char *value;
	int ret;

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
