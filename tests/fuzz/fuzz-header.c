/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "fuzzer.h"
#include "age/argon2id.h"
#include "age/scrypt.h"
#include "age/x25519.h"
#include "crypto/secret.h"

/* Aims at age_header_parse(), at age_header_write(), which must undo it, and at
   the checks of stanzas in age_header_open(). The MAC is repaired, so as to get
   behind it. */

/* Higher work factors than this are refused, so that a run takes no time. */
#define MAX_LOG_N 2

static const uint8_t file_key[AGE_FILE_KEY_SIZE] = "YELLOW SUBMARINE";

static int parse(const uint8_t *data, size_t size, pool_t pool,
		 struct age_header *header_r)
{
	/* of its own, so that reading behind it is noticed */
	uint8_t *copy = i_malloc(I_MAX(size, 1));
	const char *error = NULL;
	int ret;

	memcpy(copy, data, size);
	ret = age_header_parse(pool, copy, size, header_r, &error);
	i_assert((ret < 0) == (error != NULL));
	i_free(copy);
	return ret;
}

/* Shorter and longer data must lead to the same header, or to none. */
static void check_prefix(const uint8_t *data, size_t size, int ret,
			 size_t header_size)
{
	pool_t pool = pool_alloconly_create("fuzz prefix", 256);
	size_t prefix_size = size == 0 ? 0 : data[size - 1] * size / 256;
	struct age_header header;
	int prefix_ret;

	prefix_ret = parse(data, prefix_size, pool, &header);
	if (ret > 0)
		i_assert((prefix_ret > 0) == (prefix_size >= header_size));
	else if (ret == 0)
		i_assert(prefix_ret == 0);
	else
		i_assert(prefix_ret <= 0);
	pool_unref(&pool);
}

static void check_open(const struct age_header *header)
{
	struct age_x25519_identity x25519;
	struct age_scrypt_identity scrypt;
	const struct age_identity *list[] = {
		&x25519.identity, &scrypt.identity
	};
	uint8_t secret[AGE_X25519_KEY_SIZE] = { 1 }, key[AGE_FILE_KEY_SIZE];
	uint32_t passes, memory_kib;
	const char *error = NULL;
	int ret;

	age_x25519_identity_from_secret(secret, &x25519);
	age_scrypt_identity_init(&scrypt, "password", MAX_LOG_N);
	ret = age_header_open(header, list, N_ELEMENTS(list), key, &error);
	i_assert((ret < 0) == (error != NULL));

	error = NULL;
	ret = age_argon2id_costs(&header->stanzas[0], &passes, &memory_kib,
				 &error);
	i_assert((ret < 0) == (error != NULL));
	if (ret > 0) {
		i_assert(passes >= AGE_ARGON2ID_MIN_PASSES &&
			 passes <= AGE_ARGON2ID_MAX_PASSES);
		i_assert(memory_kib >= AGE_ARGON2ID_MIN_MEMORY_KIB &&
			 memory_kib <= AGE_ARGON2ID_MAX_MEMORY_KIB);
	}
}

static void check_header(const uint8_t *data, const struct age_header *header,
			 pool_t pool)
{
	buffer_t *dest = buffer_create_dynamic(default_pool, 256);
	struct age_header repaired;

	age_header_write(header->stanzas, header->stanzas_count, file_key,
			 dest, NULL);
	i_assert(dest->used == header->size);
	i_assert(memcmp(dest->data, data, header->authenticated_size) == 0);
	i_assert(memcmp(header->authenticated, data,
			header->authenticated_size) == 0);
	i_assert(parse(dest->data, dest->used, pool, &repaired) == 1);
	i_assert(age_header_verify(&repaired, file_key));
	check_open(&repaired);
	buffer_free(&dest);
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	pool_t pool = pool_alloconly_create("fuzz header", 1024);
	struct age_header header = { .size = 0 };
	const char *error;
	int ret;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	ret = parse(data, size, pool, &header);
	if (ret > 0)
		check_header(data, &header, pool);
	check_prefix(data, size, ret, header.size);
	pool_unref(&pool);
}
FUZZ_END
