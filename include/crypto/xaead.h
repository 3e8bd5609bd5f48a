/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_XAEAD_H
#define CRYPTO_XAEAD_H

/* XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), with associated data, for
   records that are sealed in any order and number under one key: the nonce is
   long enough to be random. Sizes are bytes. */

#define XAEAD_KEY_SIZE 32
#define XAEAD_NONCE_SIZE 24
#define XAEAD_TAG_SIZE 16

/* Write plain_size + XAEAD_TAG_SIZE bytes to sealed_r, which may be plain. */
void xaead_seal(const uint8_t key[XAEAD_KEY_SIZE],
		const uint8_t nonce[XAEAD_NONCE_SIZE],
		const void *ad, size_t ad_size,
		const uint8_t *plain, size_t plain_size, uint8_t *sealed_r);
/* Write sealed_size - XAEAD_TAG_SIZE bytes to plain_r. Returns FALSE if the
   record is shorter than a tag or isn't authentic: plain_r (as far as it would
   have been written) is then zeroed. */
bool xaead_open(const uint8_t key[XAEAD_KEY_SIZE],
		const uint8_t nonce[XAEAD_NONCE_SIZE],
		const void *ad, size_t ad_size,
		const uint8_t *sealed, size_t sealed_size, uint8_t *plain_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
