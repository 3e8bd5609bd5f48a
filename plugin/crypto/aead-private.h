/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_AEAD_PRIVATE_H
#define CRYPTO_AEAD_PRIVATE_H

#include "crypto/aead.h"

/* ChaCha20-Poly1305 by OpenSSL, which is loaded when it is first wanted. The
   functions are those of aead.h. */

struct aead_openssl;

/* Returns NULL if there is no OpenSSL, or it has no ChaCha20-Poly1305. */
struct aead_openssl *aead_openssl_init(const uint8_t key[AEAD_KEY_SIZE]);
void aead_openssl_deinit(struct aead_openssl **aead);

void aead_openssl_seal(struct aead_openssl *aead,
		       const uint8_t nonce[AEAD_NONCE_SIZE],
		       const uint8_t *plain, size_t size, uint8_t *sealed_r);
/* size is that of the plaintext. */
bool aead_openssl_open(struct aead_openssl *aead,
		       const uint8_t nonce[AEAD_NONCE_SIZE],
		       const uint8_t *sealed, size_t size, uint8_t *plain_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
