/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "hex-binary.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "key-private.h"

#define INFO_KEY "mail-seal/cache"
#define INFO_NAME "mail-seal/cache-name"

#define NAME_BYTES 8

static void make_name(struct cache_key *key,
		      const struct age_x25519_identity *identity)
{
	uint8_t id[KDF_KEY_SIZE];

	kdf_hkdf_sha256(identity->secret, sizeof(identity->secret),
			key->mailbox_guid, sizeof(key->mailbox_guid),
			INFO_NAME, id);
	i_strocpy(key->name, binary_to_hex(id, NAME_BYTES), sizeof(key->name));
	secret_wipe(id, sizeof(id));
}

struct cache_key *cache_key_init(const struct age_x25519_identity *identity,
				 const guid_128_t mailbox_guid)
{
	struct cache_key *key = secret_alloc(sizeof(*key));

	guid_128_copy(key->mailbox_guid, mailbox_guid);
	kdf_hkdf_sha256(identity->secret, sizeof(identity->secret),
			mailbox_guid, GUID_128_SIZE, INFO_KEY, key->key);
	make_name(key, identity);
	return key;
}

void cache_key_deinit(struct cache_key **_key)
{
	void *secret = *_key;

	*_key = NULL;
	secret_free(&secret);
}

const char *cache_key_name(const struct cache_key *key)
{
	return key->name;
}
