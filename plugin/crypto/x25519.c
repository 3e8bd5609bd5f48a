/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"

#include <sodium.h>

void x25519_public(const uint8_t secret[X25519_KEY_SIZE],
		   uint8_t public_r[X25519_KEY_SIZE])
{
	if (crypto_scalarmult_curve25519_base(public_r, secret) != 0)
		i_unreached();
}

bool x25519_shared(const uint8_t secret[X25519_KEY_SIZE],
		   const uint8_t peer[X25519_KEY_SIZE],
		   uint8_t shared_r[X25519_KEY_SIZE])
{
	/* libsodium looks both at the peer and at the result */
	if (crypto_scalarmult_curve25519(shared_r, secret, peer) != 0) {
		secret_wipe(shared_r, X25519_KEY_SIZE);
		return FALSE;
	}
	return TRUE;
}
