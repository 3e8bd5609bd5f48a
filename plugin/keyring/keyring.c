/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "sha2.h"
#include "crypto/secret.h"
#include "keyring/edit.h"
#include "keyring/keyring-private.h"

#define MAC_INFO "mail-seal/keyring"

void keyring_secret_of(const char *password,
		       char secret_r[KEYRING_SECRET_CHARS + 1])
{
	static const char digits[] = "0123456789abcdef";
	struct sha256_ctx ctx;
	unsigned char hash[SHA256_RESULTLEN];

	sha256_init(&ctx);
	sha256_loop(&ctx, password, strlen(password));
	sha256_result(&ctx, hash);
	for (unsigned int i = 0; i < sizeof(hash); i++) {
		secret_r[i * 2] = digits[hash[i] >> 4];
		secret_r[i * 2 + 1] = digits[hash[i] & 0x0f];
	}
	secret_r[KEYRING_SECRET_CHARS] = '\0';
	secret_wipe(hash, sizeof(hash));
	secret_wipe(&ctx, sizeof(ctx));
}

bool keyring_secret_is_valid(const char *str)
{
	return strlen(str) == KEYRING_SECRET_CHARS &&
		strspn(str, "0123456789abcdef") == KEYRING_SECRET_CHARS;
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

const struct keyring_earlier *
keyring_earlier(const struct keyring *keyring, unsigned int *count_r)
{
	return array_get(&keyring->earlier, count_r);
}

const struct keyring_slot *
keyring_slots(const struct keyring *keyring, unsigned int *count_r)
{
	return array_get(&keyring->slots, count_r);
}

static unsigned int *
counts_of(struct keyring_slot_counts *counts, const struct keyring_slot *slot)
{
	if (keyring_slot_takes_password(slot))
		return &counts->password;
	if (!keyring_slot_takes_identity(slot))
		return &counts->unknown;
	switch (slot->kind) {
	case KEYRING_SLOT_RECOVERY:
		return &counts->recovery;
	case KEYRING_SLOT_ESCROW:
		return &counts->escrow;
	default:
		return &counts->link;
	}
}

void keyring_count_slot(const struct keyring_slot *slot,
			struct keyring_slot_counts *counts)
{
	*counts_of(counts, slot) += 1;
	if (slot->identity != NULL)
		counts->marked++;
	if (!slot->listed)
		counts->unlisted++;
}

void keyring_count(const struct keyring *keyring,
		   struct keyring_slot_counts *counts_r)
{
	const struct keyring_slot *slot;

	i_zero(counts_r);
	array_foreach(&keyring->slots, slot)
		keyring_count_slot(slot, counts_r);
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

const struct age_x25519_identity *
keyring_find_identity(const struct age_identities *identities,
		      const struct age_x25519_recipient *recipient)
{
	for (unsigned int i = 0; i < age_identities_count(identities); i++) {
		const struct age_x25519_identity *identity =
			age_identities_get(identities, i);

		if (memcmp(identity->public, recipient->key,
			   sizeof(recipient->key)) == 0)
			return identity;
	}
	return NULL;
}

/* The earlier identities that the keyring names, appended to dest. */
static int
select_earlier(const struct keyring *keyring,
	       const struct age_identities *identities,
	       struct age_identities *dest, const char **error_r)
{
	const struct keyring_earlier *earlier;

	array_foreach(&keyring->earlier, earlier) {
		const struct age_x25519_identity *identity =
			keyring_find_identity(identities, &earlier->recipient);

		if (identity == NULL) {
			*error_r = t_strdup_printf(
				"the earlier identity of %s is missing",
				age_x25519_recipient_str(&earlier->recipient));
			return -1;
		}
		age_identities_add(dest, identity);
	}
	return 0;
}

static void copy_rest(const struct age_identities *identities,
		      struct age_identities *dest)
{
	for (unsigned int i = 1; i < age_identities_count(identities); i++)
		age_identities_add(dest, age_identities_get(identities, i));
}

int keyring_select_identities(const struct keyring *keyring,
			      const struct age_identities *identities,
			      struct age_identities **identities_r,
			      const char **error_r)
{
	struct age_identities *selected = age_identities_init();

	age_identities_add(selected, age_identities_get(identities, 0));
	/* Without a list it is of an earlier version, that named none. */
	if (!keyring->has_list)
		copy_rest(identities, selected);
	else if (select_earlier(keyring, identities, selected, error_r) < 0) {
		age_identities_deinit(&selected);
		return -1;
	}
	*identities_r = selected;
	return 0;
}

bool keyring_fits(const struct keyring *keyring,
		  const struct age_identities *identities)
{
	const struct keyring_earlier *earlier;
	const char *error;

	if (keyring_verify(keyring, age_identities_get(identities, 0),
			   &error) < 0)
		return FALSE;
	array_foreach(&keyring->earlier, earlier) {
		if (keyring_find_identity(identities,
					  &earlier->recipient) == NULL)
			return FALSE;
	}
	return TRUE;
}

int keyring_create(const char *secret, const struct keyring_costs *costs,
		   struct keyring **keyring_r,
		   struct age_identities **identities_r, const char **error_r)
{
	struct keyring_edit *edit = keyring_edit_begin_new();

	if (keyring_edit_add_password(edit, secret, costs, NULL, error_r) < 0) {
		keyring_edit_abort(&edit);
		return -1;
	}
	return keyring_edit_finish(&edit, 0, keyring_r, identities_r,
				   error_r) < 0 ? -1 : 0;
}
