/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"

#include <sodium.h>

/* Enough for any type: sodium_malloc() puts the end of the memory, not its
   beginning, at the border of a page. */
#define SECRET_ALIGNMENT 16

int crypto_init(const char **error_r)
{
	if (sodium_init() < 0) {
		*error_r = "libsodium can't be initialised: "
			"no secure source of randomness";
		return -1;
	}
	return 0;
}

void *secret_alloc(size_t size)
{
	void *secret;

	i_assert(size > 0 && size <= SIZE_MAX - SECRET_ALIGNMENT);
	size = (size + SECRET_ALIGNMENT - 1) & ~(size_t)(SECRET_ALIGNMENT - 1);
	secret = sodium_malloc(size);
	if (secret == NULL)
		i_fatal_status(FATAL_OUTOFMEM,
			       "secret_alloc(%zu): Out of memory", size);
	memset(secret, 0, size);
	return secret;
}

void secret_free(void **secret)
{
	/* wipes what it frees */
	sodium_free(*secret);
	*secret = NULL;
}

void secret_wipe(void *data, size_t size)
{
	sodium_memzero(data, size);
}

bool secret_equals(const void *a, const void *b, size_t size)
{
	return sodium_memcmp(a, b, size) == 0;
}

void secret_random(void *data, size_t size)
{
	randombytes_buf(data, size);
}
