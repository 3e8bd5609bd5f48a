/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

/* ChaCha20-Poly1305 as in RFC 8439, without associated data. A cipher holds
   one key and serves any number of messages; the caller sees to it that no
   nonce comes twice. Sizes are bytes. libsodium does the work for small
   messages; OpenSSL, which is loaded with the first large one, for those. */

#define AEAD_KEY_SIZE 32
#define AEAD_NONCE_SIZE 12
/* A sealed message is this much longer than its plaintext. */
#define AEAD_TAG_SIZE 16

struct aead;

/* The caller keeps its copy of the key and wipes it. */
struct aead *aead_init(const uint8_t key[AEAD_KEY_SIZE]);
/* Wipe the key, free the cipher and set *aead to NULL. */
void aead_deinit(struct aead **aead);

/* Write plain_size + AEAD_TAG_SIZE bytes to sealed_r, which may be plain. */
void aead_seal(struct aead *aead, const uint8_t nonce[AEAD_NONCE_SIZE],
	       const uint8_t *plain, size_t plain_size, uint8_t *sealed_r);
/* Write sealed_size - AEAD_TAG_SIZE bytes to plain_r, which must not overlap
   sealed. Returns FALSE if the message is shorter than a tag or isn't
   authentic: plain_r (as far as it would have been written) is then zeroed. */
bool aead_open(struct aead *aead, const uint8_t nonce[AEAD_NONCE_SIZE],
	       const uint8_t *sealed, size_t sealed_size, uint8_t *plain_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
