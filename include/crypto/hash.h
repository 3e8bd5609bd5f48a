/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

/* BLAKE2b (RFC 7693) with a result of 32 bytes, without a key: for data that are
   public. */

#define HASH_SIZE 32

void hash_blake2b(const void *data, size_t size, uint8_t hash_r[HASH_SIZE]);

#endif
