/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "age/replaces.h"

#define REPLACES_TYPE "mail-seal/replaces"
#define REPLACES_INFO "mail-seal/replaces"
#define REPLACES_BODY_SIZE (HASH_SIZE + KDF_HMAC_SIZE)

static void
make_tag(const struct age_x25519_identity *identity,
	 const uint8_t file_key[AGE_FILE_KEY_SIZE],
	 const uint8_t old_hash[HASH_SIZE], uint8_t tag_r[KDF_HMAC_SIZE])
{
	uint8_t key[KDF_KEY_SIZE];

	kdf_hkdf_sha256(identity->secret, sizeof(identity->secret),
			file_key, AGE_FILE_KEY_SIZE, REPLACES_INFO, key);
	kdf_hmac_sha256(key, old_hash, HASH_SIZE, tag_r);
	secret_wipe(key, sizeof(key));
}

/* Implements age_recipient.wrap(). */
static int
replaces_wrap(const struct age_recipient *recipient, pool_t pool,
	      const uint8_t file_key[AGE_FILE_KEY_SIZE],
	      struct age_stanza *stanza_r, const char **error_r ATTR_UNUSED)
{
	const struct age_replaces *replaces =
		container_of(recipient, const struct age_replaces, recipient);
	uint8_t *body = p_malloc(pool, REPLACES_BODY_SIZE);
	const char **args = p_new(pool, const char *, 2);

	args[0] = REPLACES_TYPE;
	memcpy(body, replaces->old_hash, HASH_SIZE);
	make_tag(replaces->identity, file_key, body, body + HASH_SIZE);
	stanza_r->args = args;
	stanza_r->args_count = 1;
	stanza_r->body = body;
	stanza_r->body_size = REPLACES_BODY_SIZE;
	return 0;
}

void age_replaces_init(struct age_replaces *replaces,
		       const struct age_x25519_identity *identity,
		       const uint8_t old_hash[HASH_SIZE])
{
	i_zero(replaces);
	replaces->recipient.kind = REPLACES_TYPE;
	replaces->recipient.wrap = replaces_wrap;
	replaces->identity = identity;
	memcpy(replaces->old_hash, old_hash, HASH_SIZE);
}

static bool
stanza_replaces(const struct age_stanza *stanza,
		const struct age_x25519_identity *identity,
		const uint8_t file_key[AGE_FILE_KEY_SIZE],
		const uint8_t old_hash[HASH_SIZE])
{
	uint8_t tag[KDF_HMAC_SIZE];
	bool equal;

	/* The hash is public. */
	if (strcmp(stanza->args[0], REPLACES_TYPE) != 0 ||
	    stanza->body_size != REPLACES_BODY_SIZE ||
	    memcmp(stanza->body, old_hash, HASH_SIZE) != 0)
		return FALSE;
	make_tag(identity, file_key, old_hash, tag);
	equal = secret_equals(tag, stanza->body + HASH_SIZE, sizeof(tag));
	secret_wipe(tag, sizeof(tag));
	return equal;
}

bool age_replaces_verify(const struct age_header *header,
			 const struct age_x25519_identity *identity,
			 const uint8_t file_key[AGE_FILE_KEY_SIZE],
			 const uint8_t old_hash[HASH_SIZE])
{
	for (unsigned int i = 0; i < header->stanzas_count; i++) {
		if (stanza_replaces(&header->stanzas[i], identity, file_key,
				    old_hash))
			return TRUE;
	}
	return FALSE;
}
