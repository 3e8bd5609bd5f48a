/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/hash.h"

#include <sodium.h>

void hash_blake2b(const void *data, size_t size, uint8_t hash_r[HASH_SIZE])
{
	if (crypto_generichash(hash_r, HASH_SIZE, data, size, NULL, 0) != 0)
		i_unreached();
}
