/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/xaead.h"

#include <sodium.h>

void xaead_seal(const uint8_t key[XAEAD_KEY_SIZE],
		const uint8_t nonce[XAEAD_NONCE_SIZE],
		const void *ad, size_t ad_size,
		const uint8_t *plain, size_t plain_size, uint8_t *sealed_r)
{
	if (crypto_aead_xchacha20poly1305_ietf_encrypt(
			sealed_r, NULL, plain, plain_size, ad, ad_size,
			NULL, nonce, key) != 0)
		i_unreached();
}

bool xaead_open(const uint8_t key[XAEAD_KEY_SIZE],
		const uint8_t nonce[XAEAD_NONCE_SIZE],
		const void *ad, size_t ad_size,
		const uint8_t *sealed, size_t sealed_size, uint8_t *plain_r)
{
	if (sealed_size < XAEAD_TAG_SIZE)
		return FALSE;
	/* looks at the tag first and zeroes plain_r if it is wrong */
	return crypto_aead_xchacha20poly1305_ietf_decrypt(
		plain_r, NULL, NULL, sealed, sealed_size, ad, ad_size,
		nonce, key) == 0;
}
