/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "crypto/secret.h"
#include "age/argon2id.h"
#include "age/base64.h"
#include "keyring/keyring-private.h"

#define MAC_INFO "mail-seal/keyring"
#define SECRET_CHARS 64

bool keyring_secret_is_valid(const char *str)
{
	return strlen(str) == SECRET_CHARS &&
		strspn(str, "0123456789abcdef") == SECRET_CHARS;
}

void keyring_free(struct keyring **_keyring)
{
	struct keyring *keyring = *_keyring;

	*_keyring = NULL;
	pool_unref(&keyring->pool);
}

const struct age_x25519_recipient *
keyring_recipients(const struct keyring *keyring, unsigned int *count_r)
{
	return array_get(&keyring->recipients, count_r);
}

const struct keyring_slot *
keyring_slots(const struct keyring *keyring, unsigned int *count_r)
{
	return array_get(&keyring->slots, count_r);
}

void keyring_mac(const struct age_x25519_identity *identity,
		 const void *header, size_t size, uint8_t mac_r[KDF_HMAC_SIZE])
{
	uint8_t key[KDF_KEY_SIZE];

	kdf_hkdf_sha256(identity->secret, sizeof(identity->secret), "", 0,
			MAC_INFO, key);
	kdf_hmac_sha256(key, header, size, mac_r);
	secret_wipe(key, sizeof(key));
}

static int
verify_recipient(const struct keyring *keyring,
		 const struct age_x25519_identity *identity,
		 const char **error_r)
{
	const struct age_x25519_recipient *recipient =
		array_front(&keyring->recipients);
	struct age_x25519_recipient expected;

	age_x25519_identity_recipient(identity, &expected);
	if (memcmp(recipient->key, expected.key, sizeof(expected.key)) == 0)
		return 0;
	*error_r = t_strdup_printf(
		"recipient %s is not the one of the identity in this keyring, "
		"%s: the keyring was changed by someone else",
		age_x25519_recipient_str(recipient),
		age_x25519_recipient_str(&expected));
	return -1;
}

int keyring_verify(const struct keyring *keyring,
		   const struct age_x25519_identity *identity,
		   const char **error_r)
{
	buffer_t *header = t_buffer_create(keyring->header_size);
	size_t mac_end = keyring->mac_offset + keyring->mac_size;
	uint8_t mac[KDF_HMAC_SIZE];

	if (verify_recipient(keyring, identity, error_r) < 0)
		return -1;
	if (keyring->mac_size == 0) {
		*error_r = "has no mac line: the recipients can't be trusted";
		return -1;
	}
	buffer_append(header, keyring->text, keyring->mac_offset);
	buffer_append(header, keyring->text + mac_end,
		      keyring->header_size - mac_end);
	keyring_mac(identity, header->data, header->used, mac);
	if (!secret_equals(mac, keyring->mac, sizeof(mac))) {
		*error_r = "mac does not fit: a line before the first slot was "
			"changed by someone else";
		return -1;
	}
	return 0;
}

static int
keyring_text_create(const struct age_x25519_identity *identity,
		    const char *secret, const struct keyring_costs *costs,
		    string_t *text, const char **error_r)
{
	struct age_x25519_recipient recipient;
	uint8_t mac[KDF_HMAC_SIZE];

	age_x25519_identity_recipient(identity, &recipient);
	str_printfa(text, KEYRING_MAGIC"%d\nrecipient: %s\n", KEYRING_VERSION,
		    age_x25519_recipient_str(&recipient));
	keyring_mac(identity, str_data(text), str_len(text), mac);
	str_append(text, "mac: ");
	age_base64_encode(mac, sizeof(mac), text);
	str_append_c(text, '\n');
	return keyring_slot_write_password(identity, secret, costs, text,
					   error_r);
}

static struct age_identities *identities_generate(void)
{
	struct age_identities *identities = age_identities_init();
	void *identity = secret_alloc(sizeof(struct age_x25519_identity));

	age_x25519_identity_generate(identity);
	age_identities_add(identities, identity);
	secret_free(&identity);
	return identities;
}

int keyring_create(const char *secret, const struct keyring_costs *costs,
		   struct keyring **keyring_r,
		   struct age_identities **identities_r, const char **error_r)
{
	struct age_identities *identities;
	string_t *text = t_str_new(1024);

	i_assert(keyring_secret_is_valid(secret));

	identities = identities_generate();
	if (keyring_text_create(age_identities_get(identities, 0), secret,
				costs, text, error_r) < 0) {
		age_identities_deinit(&identities);
		return -1;
	}
	/* Made from its own text, so that it is the one that will be read. */
	if (keyring_parse(str_c(text), str_len(text), keyring_r, error_r) < 0)
		i_panic("keyring: Malformed when new: %s", *error_r);
	*identities_r = identities;
	return 0;
}

/* Open one slot and hold it against the header. */
static int
keyring_try_slot(const struct keyring *keyring, const struct keyring_slot *slot,
		 const char *secret, uint64_t *work_left,
		 struct age_identities **identities_r, const char **error_r)
{
	const char *error;
	int ret;

	ret = keyring_slot_open_password(slot, secret, work_left, identities_r,
					 &error);
	if (ret < 0) {
		*error_r = t_strdup_printf("slot of line %u: %s", slot->line,
					   error);
		return -1;
	}
	if (ret > 0 && keyring_verify(keyring,
				      age_identities_get(*identities_r, 0),
				      error_r) < 0) {
		age_identities_deinit(identities_r);
		return -1;
	}
	return ret;
}

/* count is of the password slots, tried of those that the secret didn't
   open. */
static int
unlock_failed(unsigned int count, unsigned int tried, const char *slot_error,
	      const char **error_r)
{
	if (slot_error != NULL) {
		*error_r = slot_error;
		return -1;
	}
	if (count == 0)
		*error_r = "no password slot";
	else if (count > tried) {
		*error_r = t_strdup_printf("wrong password for the first %u of "
					   "%u slots", tried, count);
	} else {
		*error_r = t_strdup_printf("wrong password for %u slot%s",
					   count, count == 1 ? "" : "s");
	}
	return 0;
}

int keyring_unlock(const struct keyring *keyring, const char *secret,
		   struct age_identities **identities_r, const char **error_r)
{
	const struct keyring_slot *slot;
	const char *error, *slot_error = NULL;
	uint64_t work_left = KEYRING_MAX_WORK;
	unsigned int count = 0, tried = 0;

	array_foreach(&keyring->slots, slot) {
		int ret;

		if (!keyring_slot_takes_password(slot) ||
		    count++ >= KEYRING_MAX_PASSWORD_SLOTS)
			continue;
		ret = keyring_try_slot(keyring, slot, secret, &work_left,
				       identities_r, &error);
		if (ret > 0)
			return 1;
		if (ret == 0)
			tried++;
		/* A damaged slot doesn't keep a good one from opening. */
		else if (slot_error == NULL)
			slot_error = error;
	}
	return unlock_failed(count, tried, slot_error, error_r);
}
