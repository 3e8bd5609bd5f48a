/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "age/base64.h"
#include "age/bech32.h"
#include "age/x25519.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"
#include "recipient-private.h"

#define X25519_TYPE "X25519"
#define X25519_INFO "age-encryption.org/v1/X25519"
#define RECIPIENT_HRP "age"
#define IDENTITY_HRP "AGE-SECRET-KEY-"

/* Returns FALSE if the peer's point is of low order. */
static bool derive_wrap_key(const uint8_t secret[X25519_KEY_SIZE],
			    const uint8_t peer[X25519_KEY_SIZE],
			    const uint8_t share[X25519_KEY_SIZE],
			    const uint8_t recipient[X25519_KEY_SIZE],
			    uint8_t wrap_key_r[AGE_WRAP_KEY_SIZE])
{
	uint8_t shared[X25519_KEY_SIZE], salt[2 * X25519_KEY_SIZE];

	if (!x25519_shared(secret, peer, shared))
		return FALSE;
	memcpy(salt, share, X25519_KEY_SIZE);
	memcpy(salt + X25519_KEY_SIZE, recipient, X25519_KEY_SIZE);
	kdf_hkdf_sha256(shared, sizeof(shared), salt, sizeof(salt),
			X25519_INFO, wrap_key_r);
	secret_wipe(shared, sizeof(shared));
	return TRUE;
}

static int x25519_wrap(const struct age_recipient *_recipient, pool_t pool,
		       const uint8_t file_key[AGE_FILE_KEY_SIZE],
		       struct age_stanza *stanza_r, const char **error_r)
{
	const struct age_x25519_recipient *recipient =
		container_of(_recipient, const struct age_x25519_recipient,
			     recipient);
	const char *args[] = { X25519_TYPE, NULL, NULL };
	uint8_t secret[X25519_KEY_SIZE], share[X25519_KEY_SIZE];
	uint8_t wrap_key[AGE_WRAP_KEY_SIZE];
	bool derived;

	secret_random(secret, sizeof(secret));
	x25519_public(secret, share);
	derived = derive_wrap_key(secret, recipient->key, share,
				  recipient->key, wrap_key);
	secret_wipe(secret, sizeof(secret));
	if (!derived) {
		*error_r = "The X25519 recipient is a point of low order";
		return -1;
	}
	args[1] = age_wrap_print_bytes(share, sizeof(share));
	age_wrap_stanza(pool, args, wrap_key, file_key, stanza_r);
	secret_wipe(wrap_key, sizeof(wrap_key));
	return 0;
}

static int x25519_unwrap(const struct age_identity *_identity,
			 const struct age_header *header ATTR_UNUSED,
			 const struct age_stanza *stanza,
			 uint8_t file_key_r[AGE_FILE_KEY_SIZE],
			 const char **error_r)
{
	const struct age_x25519_identity *identity =
		container_of(_identity, const struct age_x25519_identity,
			     identity);
	uint8_t share[X25519_KEY_SIZE], wrap_key[AGE_WRAP_KEY_SIZE];
	bool opened;
	int ret;

	ret = age_wrap_check(stanza, X25519_TYPE, 2, error_r);
	if (ret <= 0)
		return ret;
	if (!age_wrap_parse_bytes(stanza->args[1], share, sizeof(share))) {
		*error_r = "The X25519 stanza's share isn't "
			"canonical base64 of 32 bytes";
		return -1;
	}
	if (!derive_wrap_key(identity->secret, share, share, identity->public,
			     wrap_key)) {
		*error_r = "The X25519 stanza's share is a point of low order";
		return -1;
	}
	opened = age_wrap_open(wrap_key, stanza, file_key_r);
	secret_wipe(wrap_key, sizeof(wrap_key));
	return opened ? 1 : 0;
}

static void recipient_init(struct age_x25519_recipient *recipient_r)
{
	i_zero(recipient_r);
	recipient_r->recipient.kind = X25519_TYPE;
	recipient_r->recipient.wrap = x25519_wrap;
}

int age_x25519_recipient_parse(const char *str,
			       struct age_x25519_recipient *recipient_r,
			       const char **error_r)
{
	recipient_init(recipient_r);
	return age_bech32_decode(str, RECIPIENT_HRP, recipient_r->key,
				 sizeof(recipient_r->key), error_r);
}

const char *
age_x25519_recipient_str(const struct age_x25519_recipient *recipient)
{
	char str[AGE_X25519_RECIPIENT_CHARS + 1];

	age_bech32_encode(RECIPIENT_HRP, recipient->key,
			  sizeof(recipient->key), str);
	return t_strdup(str);
}

const char *
age_x25519_recipients_str(const struct age_x25519_recipient *recipients,
			  unsigned int count)
{
	string_t *str = t_str_new(64);

	for (unsigned int i = 0; i < count; i++) {
		if (i > 0)
			str_append_c(str, ' ');
		str_append(str, age_x25519_recipient_str(&recipients[i]));
	}
	return str_c(str);
}

int age_x25519_identity_parse(const char *str,
			      struct age_x25519_identity *identity_r,
			      const char **error_r)
{
	uint8_t secret[AGE_X25519_KEY_SIZE];

	if (age_bech32_decode(str, IDENTITY_HRP, secret, sizeof(secret),
			      error_r) < 0) {
		i_zero(identity_r);
		return -1;
	}
	age_x25519_identity_from_secret(secret, identity_r);
	secret_wipe(secret, sizeof(secret));
	return 0;
}

void age_x25519_identity_generate(struct age_x25519_identity *identity_r)
{
	uint8_t secret[AGE_X25519_KEY_SIZE];

	secret_random(secret, sizeof(secret));
	age_x25519_identity_from_secret(secret, identity_r);
	secret_wipe(secret, sizeof(secret));
}

void age_x25519_identity_from_secret(const uint8_t secret[AGE_X25519_KEY_SIZE],
				     struct age_x25519_identity *identity_r)
{
	i_zero(identity_r);
	identity_r->identity.kind = X25519_TYPE;
	identity_r->identity.unwrap = x25519_unwrap;
	memcpy(identity_r->secret, secret, AGE_X25519_KEY_SIZE);
	x25519_public(secret, identity_r->public);
}

void age_x25519_identity_str(const struct age_x25519_identity *identity,
			     char str_r[AGE_X25519_IDENTITY_CHARS + 1])
{
	age_bech32_encode(IDENTITY_HRP, identity->secret,
			  sizeof(identity->secret), str_r);
}

void age_x25519_identity_recipient(const struct age_x25519_identity *identity,
				   struct age_x25519_recipient *recipient_r)
{
	recipient_init(recipient_r);
	memcpy(recipient_r->key, identity->public, sizeof(recipient_r->key));
}
