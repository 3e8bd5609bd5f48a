/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "str.h"
#include "mailbox-attribute-internal.h"
#include "keyring/store.h"
#include "mail/mail-seal-mail.h"
#include "mail/metadata.h"
#include "mail-seal-private.h"

#define ENTRY_PREFIX "vendor/vendor.mail-seal/"

/* The mailbox's owner, if that is who asks. */
static struct mail_user *get_user(struct mailbox *box)
{
	struct mail_user *owner = mail_seal_mailbox_owner(box);

	return owner == box->storage->user ? owner : NULL;
}

static int
get_status(struct mailbox *box, const char *key ATTR_UNUSED,
	   struct mail_attribute_value *value_r)
{
	struct mail_user *user = get_user(box);
	struct mail_seal_user *suser;
	const char *error;

	if (user == NULL)
		return 0;
	suser = MAIL_SEAL_USER_CONTEXT(user);
	if (suser->identities != NULL)
		value_r->value = "sealed";
	else if (suser->locked_text != NULL ||
		 mail_seal_recipients_load(user, suser, &error) != 0)
		value_r->value = "locked";
	else
		value_r->value = "plain";
	return 1;
}

static int
get_recipient(struct mailbox *box, const char *key ATTR_UNUSED,
	      struct mail_attribute_value *value_r)
{
	struct mail_user *user = get_user(box);
	const struct age_x25519_recipient *recipients;
	struct mail_seal_user *suser;
	const char *error;
	unsigned int count;
	int ret;

	if (user == NULL)
		return 0;
	suser = MAIL_SEAL_USER_CONTEXT(user);
	ret = mail_seal_recipients_load(user, suser, &error);
	if (ret < 0)
		e_warning(box->event, "mail_seal: %s", error);
	if (ret <= 0)
		return 0;
	recipients = array_get(&suser->recipients, &count);
	value_r->value = age_x25519_recipients_str(recipients, count);
	return 1;
}

static const char *slots_str(const struct keyring *keyring)
{
	const struct keyring_slot *slots;
	string_t *str = t_str_new(128);
	unsigned int i, count;

	slots = keyring_slots(keyring, &count);
	for (i = 0; i < count; i++) {
		if (i > 0)
			str_append(str, "; ");
		str_printfa(str, "%s %s", slots[i].kind_name, slots[i].created);
	}
	return str_c(str);
}

/* Returns as keyring_store_load(). */
static int
load_keyring(struct mail_user *user, struct keyring **keyring_r,
	     const char **error_r)
{
	struct keyring_store *store;
	int ret;

	if (mail_seal_user_no_keyring_reason(user) != NULL)
		return 0;
	if (mail_seal_user_store_init(user, &store, error_r) < 0)
		return -1;
	ret = keyring_store_load(store, keyring_r, error_r);
	keyring_store_deinit(&store);
	return ret;
}

static int
get_slots(struct mailbox *box, const char *key ATTR_UNUSED,
	  struct mail_attribute_value *value_r)
{
	struct mail_user *user = get_user(box);
	struct keyring *keyring;
	const char *error;
	int ret;

	if (user == NULL)
		return 0;
	ret = load_keyring(user, &keyring, &error);
	if (ret < 0)
		e_warning(box->event, "mail_seal: %s", error);
	if (ret <= 0)
		return 0;
	value_r->value = slots_str(keyring);
	keyring_free(&keyring);
	return 1;
}

/* Who lists what a mailbox has is to find what was put there: the server's list
   has them. */
static int
list_nothing(struct mailbox *box ATTR_UNUSED,
	     const char *key_prefix ATTR_UNUSED, pool_t pool ATTR_UNUSED,
	     ARRAY_TYPE(const_string) *attrs ATTR_UNUSED)
{
	return 0;
}

/* As authority without a function to set it, it is read only. */
#define ENTRY(prefix, name, list) { \
	.type = MAIL_ATTRIBUTE_TYPE_PRIVATE, \
	.key = prefix ENTRY_PREFIX #name, \
	.rank = MAIL_ATTRIBUTE_INTERNAL_RANK_AUTHORITY, \
	.flags = MAIL_ATTRIBUTE_INTERNAL_FLAG_VALIDATED, \
	.get = get_##name, \
	.iter = list \
}
#define SERVER_PREFIX MAILBOX_ATTRIBUTE_PREFIX_DOVECOT_PVT_SERVER

static const struct mailbox_attribute_internal entries[] = {
	ENTRY("", status, list_nothing),
	ENTRY("", recipient, list_nothing),
	ENTRY("", slots, list_nothing),
	ENTRY(SERVER_PREFIX, status, NULL),
	ENTRY(SERVER_PREFIX, recipient, NULL),
	ENTRY(SERVER_PREFIX, slots, NULL),
};

void mail_seal_metadata_init(void)
{
	mailbox_attribute_register_internals(entries, N_ELEMENTS(entries));
}

void mail_seal_metadata_deinit(void)
{
	mailbox_attribute_unregister_internals(entries, N_ELEMENTS(entries));
}
