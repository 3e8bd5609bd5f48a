/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "aead-private.h"

#include <sodium.h>

/* Two libraries share the work. OpenSSL takes half the time or less for a full
   chunk, but to load it takes longer than to log in, and more memory than all
   the rest of us. So it is not loaded before the first message that repays it:
   stanzas, keyrings and small mail are libsodium's. */
#define AEAD_OPENSSL_MIN_SIZE (16 * 1024)

/* OpenSSL counts in ints. */
#define AEAD_MAX_SIZE (INT_MAX - AEAD_TAG_SIZE)

struct aead {
	uint8_t key[AEAD_KEY_SIZE];
	/* NULL before it is wanted. */
	struct aead_openssl *openssl;
	bool openssl_tried;
};

struct aead *aead_init(const uint8_t key[AEAD_KEY_SIZE])
{
	struct aead *aead = i_new(struct aead, 1);

	memcpy(aead->key, key, sizeof(aead->key));
	return aead;
}

void aead_deinit(struct aead **_aead)
{
	struct aead *aead = *_aead;

	if (aead == NULL)
		return;
	*_aead = NULL;
	aead_openssl_deinit(&aead->openssl);
	secret_wipe(aead, sizeof(*aead));
	i_free(aead);
}

static bool aead_uses_openssl(struct aead *aead, size_t size)
{
	if (size < AEAD_OPENSSL_MIN_SIZE)
		return FALSE;
	if (!aead->openssl_tried) {
		aead->openssl = aead_openssl_init(aead->key);
		aead->openssl_tried = TRUE;
	}
	return aead->openssl != NULL;
}

void aead_seal(struct aead *aead, const uint8_t nonce[AEAD_NONCE_SIZE],
	       const uint8_t *plain, size_t plain_size, uint8_t *sealed_r)
{
	i_assert(plain_size <= AEAD_MAX_SIZE);

	if (aead_uses_openssl(aead, plain_size)) {
		aead_openssl_seal(aead->openssl, nonce, plain, plain_size,
				  sealed_r);
		return;
	}
	if (crypto_aead_chacha20poly1305_ietf_encrypt(
			sealed_r, NULL, plain, plain_size, NULL, 0,
			NULL, nonce, aead->key) != 0)
		i_unreached();
}

bool aead_open(struct aead *aead, const uint8_t nonce[AEAD_NONCE_SIZE],
	       const uint8_t *sealed, size_t sealed_size, uint8_t *plain_r)
{
	size_t size = sealed_size - AEAD_TAG_SIZE;

	if (sealed_size < AEAD_TAG_SIZE)
		return FALSE;
	i_assert(size <= AEAD_MAX_SIZE);

	if (aead_uses_openssl(aead, size)) {
		return aead_openssl_open(aead->openssl, nonce, sealed, size,
					 plain_r);
	}
	/* looks at the tag first and zeroes plain_r if it is wrong */
	return crypto_aead_chacha20poly1305_ietf_decrypt(
		plain_r, NULL, NULL, sealed, sealed_size, NULL, 0,
		nonce, aead->key) == 0;
}
