/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "test-common.h"
#include "age/chunk.h"
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "hex.h"

#define KEY \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static uint8_t *make_plain(void)
{
	uint8_t *plain = i_malloc(AGE_CHUNK_SIZE);

	memset(plain, 0x55, AGE_CHUNK_SIZE);
	return plain;
}

static size_t chunk_size(enum age_chunk_position position)
{
	return position == AGE_CHUNK_LAST ? 3 : AGE_CHUNK_SIZE;
}

static void test_chunk_keys(void)
{
	uint8_t key[AGE_PAYLOAD_KEY_SIZE];
	struct age_chunk_cipher *cipher;
	uint8_t sealed[11 + AGE_CHUNK_TAG_SIZE];

	test_begin("chunk: key and only chunk of a payload");
	age_payload_key(hex_bytes("000102030405060708090a0b0c0d0e0f"),
			hex_bytes("202122232425262728292a2b2c2d2e2f"), key);
	test_assert(hex_equals(key, sizeof(key),
			       "355cc9b133c5eac96f6a11da85e3c178"
			       "420960d18ea8a6e0b23c6bf0f8b3d578"));
	cipher = age_chunk_cipher_init(key);
	age_chunk_seal(cipher, 0, AGE_CHUNK_LAST,
		       (const uint8_t *)"Hello, age!", 11, sealed);
	test_assert(hex_equals(sealed, sizeof(sealed),
			       "1ae6af48444745d428602491c5acb0"
			       "714fa1b7bdd5a1f699a2d115"));
	age_chunk_cipher_deinit(&cipher);
	test_assert(cipher == NULL);
	age_chunk_cipher_deinit(&cipher);
	test_end();
}

/* The tags tell that the nonce is as the specification says. By Python. */
static void test_chunk_nonces(void)
{
	static const struct {
		uint64_t index;
		enum age_chunk_position position;
		const char *tag;
	} tests[] = {
		{ 0, AGE_CHUNK_MIDDLE, "ffcf4a08df62ef5b4e6bc95186eddb86" },
		{ 0, AGE_CHUNK_LAST, "cc649572b2c0b1921dcaff0119cc3034" },
		{ 1, AGE_CHUNK_MIDDLE, "850d340bdbc6df8c65d0a74226635d97" },
		{ 255, AGE_CHUNK_LAST, "25534596964866109f8e3f3f4ee293f0" },
		{ 256, AGE_CHUNK_LAST, "f5aee2776d2f5cb0a249ae4a162b64f4" },
		{ 4294967296ULL, AGE_CHUNK_MIDDLE,
		  "35d9c412328c066a8424969ad2a05cd3" },
		{ UINT64_MAX, AGE_CHUNK_LAST,
		  "2f5d2e0f03bdca909f85697f07a80c04" },
	};
	struct age_chunk_cipher *cipher = age_chunk_cipher_init(hex_bytes(KEY));
	uint8_t *plain = make_plain(), *opened = i_malloc(AGE_CHUNK_SIZE);
	uint8_t *sealed = i_malloc(AGE_CHUNK_SEALED_SIZE);
	unsigned int i, j;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		enum age_chunk_position position = tests[i].position;
		size_t size = chunk_size(position);

		memcpy(plain, size == 3 ? "abc" : "UUU", 3);
		test_begin(t_strdup_printf("chunk: %s %"PRIu64,
			position == AGE_CHUNK_LAST ? "last" : "middle",
			tests[i].index));
		age_chunk_seal(cipher, tests[i].index, position, plain, size,
			       sealed);
		test_assert(hex_equals(sealed + size, AGE_CHUNK_TAG_SIZE,
				       tests[i].tag));
		/* opens at its own place and no other */
		for (j = 0; j < N_ELEMENTS(tests); j++) {
			memset(opened, 0, size);
			test_assert_idx(age_chunk_open(cipher, tests[j].index,
				tests[j].position, sealed,
				size + AGE_CHUNK_TAG_SIZE, opened) ==
				(i == j), j);
			test_assert_idx(i == j ?
				memcmp(opened, plain, size) == 0 :
				is_zeroed(opened, size), j);
		}
		test_end();
	}
	age_chunk_cipher_deinit(&cipher);
	i_free(plain);
	i_free(opened);
	i_free(sealed);
}

/* All of these are authentic as such: it's the size that is wrong. */
static void test_chunk_sizes(void)
{
	static const struct {
		uint64_t index;
		enum age_chunk_position position;
		size_t size;
		bool valid;
	} tests[] = {
		{ 0, AGE_CHUNK_LAST, 0, TRUE },
		{ 0, AGE_CHUNK_LAST, 1, TRUE },
		{ 0, AGE_CHUNK_LAST, AGE_CHUNK_SIZE - 1, TRUE },
		{ 0, AGE_CHUNK_LAST, AGE_CHUNK_SIZE, TRUE },
		{ 0, AGE_CHUNK_LAST, AGE_CHUNK_SIZE + 1, FALSE },
		{ 1, AGE_CHUNK_LAST, 0, FALSE },
		{ 1, AGE_CHUNK_LAST, 1, TRUE },
		{ 1, AGE_CHUNK_LAST, AGE_CHUNK_SIZE, TRUE },
		{ 0, AGE_CHUNK_MIDDLE, 0, FALSE },
		{ 0, AGE_CHUNK_MIDDLE, 1, FALSE },
		{ 0, AGE_CHUNK_MIDDLE, AGE_CHUNK_SIZE - 1, FALSE },
		{ 0, AGE_CHUNK_MIDDLE, AGE_CHUNK_SIZE, TRUE },
		{ 0, AGE_CHUNK_MIDDLE, AGE_CHUNK_SIZE + 1, FALSE },
		{ UINT64_MAX, AGE_CHUNK_MIDDLE, AGE_CHUNK_SIZE, TRUE },
	};
	struct age_chunk_cipher *cipher = age_chunk_cipher_init(hex_bytes(KEY));
	struct aead *aead = aead_init(hex_bytes(KEY));
	uint8_t *plain = i_malloc(AGE_CHUNK_SIZE + 1);
	uint8_t *sealed = i_malloc(AGE_CHUNK_SEALED_SIZE + 1);
	uint8_t *opened = i_malloc(AGE_CHUNK_SIZE + 1);
	uint8_t nonce[AEAD_NONCE_SIZE];
	unsigned int i, j;
	size_t size;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		size = tests[i].size;
		test_begin(t_strdup_printf("chunk: %s %"PRIu64" of %zu bytes",
			tests[i].position == AGE_CHUNK_LAST ? "last" : "middle",
			tests[i].index, size));
		for (j = 0; j < 11; j++)
			nonce[j] = j < 3 ? 0 :
				tests[i].index >> 8 * (10 - j) & 0xff;
		nonce[11] = tests[i].position == AGE_CHUNK_LAST ? 1 : 0;
		aead_seal(aead, nonce, plain, size, sealed);
		test_assert(age_chunk_open(cipher, tests[i].index,
			tests[i].position, sealed, size + AGE_CHUNK_TAG_SIZE,
			opened) == tests[i].valid);
		test_end();
	}
	age_chunk_cipher_deinit(&cipher);
	aead_deinit(&aead);
	i_free(plain);
	i_free(opened);
	i_free(sealed);
}

static void test_chunk_damage(void)
{
	struct age_chunk_cipher *cipher = age_chunk_cipher_init(hex_bytes(KEY));
	uint8_t sealed[100 + AGE_CHUNK_TAG_SIZE], opened[100];
	unsigned int bit, size;

	test_begin("chunk: flip every bit, cut at every length");
	memset(sealed, 'x', 100);
	age_chunk_seal(cipher, 7, AGE_CHUNK_LAST, sealed, 100, sealed);
	for (bit = 0; bit < sizeof(sealed) * 8; bit++) {
		memset(opened, 0, sizeof(opened));
		sealed[bit / 8] ^= 1 << bit % 8;
		test_assert_idx(!age_chunk_open(cipher, 7, AGE_CHUNK_LAST,
						sealed, sizeof(sealed),
						opened), bit);
		test_assert_idx(is_zeroed(opened, sizeof(opened)), bit);
		sealed[bit / 8] ^= 1 << bit % 8;
	}
	for (size = 0; size < sizeof(sealed); size++) {
		test_assert_idx(!age_chunk_open(cipher, 7, AGE_CHUNK_LAST,
						sealed, size, opened), size);
	}
	test_assert(age_chunk_open(cipher, 7, AGE_CHUNK_LAST, sealed,
				   sizeof(sealed), opened));
	age_chunk_cipher_deinit(&cipher);
	test_end();
}

static void test_payload_sizes(void)
{
	static const struct {
		uint64_t payload, plain;
		bool valid;
	} tests[] = {
		{ 0, 0, FALSE },
		{ 15, 0, FALSE },
		{ 16, 0, FALSE },
		{ 31, 0, FALSE },
		{ 32, 0, TRUE },
		{ 33, 1, TRUE },
		{ 16 + 65551, 65535, TRUE },
		{ 16 + 65552, 65536, TRUE },
		{ 16 + 65552 + 1, 0, FALSE },
		{ 16 + 65552 + 15, 0, FALSE },
		/* an empty last chunk behind another */
		{ 16 + 65552 + 16, 0, FALSE },
		{ 16 + 65552 + 17, 65537, TRUE },
		{ 16 + 2 * 65552, 131072, TRUE },
		{ 16 + 2 * 65552 + 16, 0, FALSE },
		{ 16 + 2 * 65552 + 17, 131073, TRUE },
		{ 16 + 1000000 * 65552ULL, 65536000000ULL, TRUE },
		{ UINT64_MAX, 18442241573325438943ULL, TRUE },
	};
	uint64_t plain;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("payload of %"PRIu64" bytes",
					   tests[i].payload));
		test_assert(age_payload_plain_size(tests[i].payload, &plain) ==
			    tests[i].valid);
		if (tests[i].valid) {
			test_assert(plain == tests[i].plain);
			test_assert(age_payload_sealed_size(tests[i].plain) ==
				    tests[i].payload);
		}
		test_end();
	}
}

/* The two directions agree, and together leave no size out. */
static void test_payload_sizes_agree(void)
{
	uint64_t size, plain, valid_count = 0;

	test_begin("payload sizes agree");
	for (size = 0; size <= 3 * 65552 + 100; size++) {
		if (!age_payload_plain_size(size, &plain))
			continue;
		test_assert(plain == valid_count);
		test_assert(age_payload_sealed_size(plain) == size);
		valid_count++;
	}
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_chunk_keys,
		test_chunk_nonces,
		test_chunk_sizes,
		test_chunk_damage,
		test_payload_sizes,
		test_payload_sizes_agree,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
