/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "age/base64.h"
#include "keyring/keyring-private.h"
#include "keyring-util.h"

const struct keyring_costs test_costs = {
	.memory_kib = AGE_ARGON2ID_MIN_MEMORY_KIB,
	.passes = AGE_ARGON2ID_MIN_PASSES
};

struct keyring *test_keyring_new(const char *secret)
{
	struct keyring *keyring;
	struct age_identities *identities;
	const char *error;

	if (keyring_create(secret, &test_costs, &keyring, &identities,
			   &error) < 0)
		i_fatal("%s", error);
	age_identities_deinit(&identities);
	return keyring;
}

struct keyring *test_keyring_parse(const char *text)
{
	struct keyring *keyring;
	const char *error;

	if (keyring_parse(text, strlen(text), &keyring, &error) < 0)
		i_fatal("%s in:\n%s", error, text);
	return keyring;
}

const char *test_keyring_text(const struct keyring *keyring)
{
	string_t *text = t_str_new(2048);

	keyring_write(keyring, text);
	return str_c(text);
}

struct age_identities *test_keyring_open(const struct keyring *keyring,
					 const char *secret)
{
	struct keyring_opened opened;
	const char *error;

	if (keyring_open_password(keyring, secret, &opened, &error) <= 0)
		i_fatal("%s in:\n%s", error, test_keyring_text(keyring));
	return opened.identities;
}

struct keyring_edit *test_edit_begin(const struct keyring *keyring,
				     const struct age_identities *identities)
{
	struct keyring_edit *edit;
	const char *error;

	if (keyring_edit_begin(keyring, identities, &edit, &error) < 0)
		i_fatal("%s", error);
	return edit;
}

void test_edit_finish(struct keyring_edit **edit, struct keyring **keyring)
{
	struct keyring *new_keyring;
	const char *error;

	if (keyring_edit_finish(edit, 0, &new_keyring, NULL, &error) <= 0)
		i_fatal("%s", error);
	keyring_free(keyring);
	*keyring = new_keyring;
}

const char *test_keyring_with_mac(const struct keyring *keyring,
				  const struct age_identities *identities)
{
	string_t *header = t_str_new(1024), *text = t_str_new(4096);
	size_t mac_end = keyring->mac_offset + keyring->mac_size;
	uint8_t mac[KDF_HMAC_SIZE];

	str_append_data(header, keyring->text, keyring->mac_offset);
	str_append_data(header, keyring->text + mac_end,
			keyring->header_size - mac_end);
	keyring_mac(age_identities_get(identities, 0), str_data(header),
		    str_len(header), mac);
	str_append_data(text, keyring->text, keyring->mac_offset);
	str_append(text, "mac: ");
	age_base64_encode(mac, sizeof(mac), text);
	str_append_c(text, '\n');
	str_append_data(text, keyring->text + mac_end, keyring->size - mac_end);
	return str_c(text);
}

const char *test_recipient_str(const struct age_x25519_identity *identity)
{
	struct age_x25519_recipient recipient;

	age_x25519_identity_recipient(identity, &recipient);
	return age_x25519_recipient_str(&recipient);
}

const char *test_identities_str(const struct age_identities *identities)
{
	char str[AGE_X25519_IDENTITY_CHARS + 1];
	string_t *all = t_str_new(256);

	for (unsigned int i = 0; i < age_identities_count(identities); i++) {
		age_x25519_identity_str(age_identities_get(identities, i), str);
		str_printfa(all, "%s%s", i == 0 ? "" : " ", str);
	}
	return str_c(all);
}
