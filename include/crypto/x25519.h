/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_X25519_H
#define CRYPTO_X25519_H

/* X25519 as in RFC 7748, section 5. */

#define X25519_KEY_SIZE 32

/* public_r = X25519(secret, 9) */
void x25519_public(const uint8_t secret[X25519_KEY_SIZE],
		   uint8_t public_r[X25519_KEY_SIZE]);
/* shared_r = X25519(secret, peer); the caller wipes it. Returns FALSE if the
   peer's point is of low order, so that the result is all zero (RFC 7748,
   section 6.1). */
bool x25519_shared(const uint8_t secret[X25519_KEY_SIZE],
		   const uint8_t peer[X25519_KEY_SIZE],
		   uint8_t shared_r[X25519_KEY_SIZE]) ATTR_WARN_UNUSED_RESULT;

#endif
