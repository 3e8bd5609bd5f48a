/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/aead.h"
#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

struct aead {
	EVP_CIPHER_CTX *ctx;
};

/* OpenSSL's chunks are ints. */
#define AEAD_MAX_SIZE (INT_MAX - AEAD_TAG_SIZE)

static EVP_CIPHER *aead_cipher(void)
{
	static EVP_CIPHER *cipher = NULL;

	if (cipher == NULL)
		cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	if (cipher == NULL)
		i_fatal("OpenSSL has no ChaCha20-Poly1305");
	return cipher;
}

struct aead *aead_init(const uint8_t key[AEAD_KEY_SIZE])
{
	struct aead *aead = i_new(struct aead, 1);

	aead->ctx = EVP_CIPHER_CTX_new();
	if (aead->ctx == NULL)
		i_fatal_status(FATAL_OUTOFMEM, "EVP_CIPHER_CTX_new() failed");
	/* The direction may change with each nonce. */
	if (EVP_CipherInit_ex2(aead->ctx, aead_cipher(), key, NULL, 1,
			       NULL) != 1)
		i_panic("OpenSSL refuses a ChaCha20-Poly1305 key");
	return aead;
}

void aead_deinit(struct aead **_aead)
{
	struct aead *aead = *_aead;

	if (aead == NULL)
		return;
	*_aead = NULL;
	EVP_CIPHER_CTX_free(aead->ctx);
	i_free(aead);
}

/* Neither can fail: the context is complete and the sizes are checked. */
static void aead_start(struct aead *aead, const uint8_t *nonce, int encrypt)
{
	if (EVP_CipherInit_ex2(aead->ctx, NULL, NULL, nonce, encrypt,
			       NULL) != 1)
		i_panic("OpenSSL refuses a ChaCha20-Poly1305 nonce");
}

static void aead_update(struct aead *aead, const uint8_t *src, size_t size,
			uint8_t *dest)
{
	int done = 0;

	if (size > 0 &&
	    EVP_CipherUpdate(aead->ctx, dest, &done, src, (int)size) != 1)
		i_panic("OpenSSL fails in ChaCha20-Poly1305");
	i_assert((size_t)done == size);
}

void aead_seal(struct aead *aead, const uint8_t nonce[AEAD_NONCE_SIZE],
	       const uint8_t *plain, size_t plain_size, uint8_t *sealed_r)
{
	uint8_t *tag = sealed_r + plain_size;
	int done;

	i_assert(plain_size <= AEAD_MAX_SIZE);
	aead_start(aead, nonce, 1);
	aead_update(aead, plain, plain_size, sealed_r);
	if (EVP_CipherFinal_ex(aead->ctx, tag, &done) != 1 ||
	    EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_GET_TAG,
				AEAD_TAG_SIZE, tag) != 1)
		i_panic("OpenSSL gives no ChaCha20-Poly1305 tag");
}

bool aead_open(struct aead *aead, const uint8_t nonce[AEAD_NONCE_SIZE],
	       const uint8_t *sealed, size_t sealed_size, uint8_t *plain_r)
{
	uint8_t tag[AEAD_TAG_SIZE], none;
	size_t size;
	int done;

	if (sealed_size < AEAD_TAG_SIZE)
		return FALSE;
	size = sealed_size - AEAD_TAG_SIZE;
	i_assert(size <= AEAD_MAX_SIZE);

	/* OpenSSL takes the tag as something it might write to */
	memcpy(tag, sealed + size, sizeof(tag));
	aead_start(aead, nonce, 0);
	if (EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_SET_TAG,
				sizeof(tag), tag) != 1)
		i_panic("OpenSSL refuses a ChaCha20-Poly1305 tag");
	aead_update(aead, sealed, size, plain_r);
	if (EVP_CipherFinal_ex(aead->ctx, &none, &done) != 1) {
		secret_wipe(plain_r, size);
		return FALSE;
	}
	return TRUE;
}
