/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "test-common.h"
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "hex.h"

#include <stdio.h>

#define NONCE "070000004041424344454647"
#define AEAD_KEY \
	"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"

static bool openssl_is_loaded(void)
{
	char line[1024];
	bool found = FALSE;
	FILE *f = fopen("/proc/self/maps", "r");

	if (f == NULL)
		i_fatal("fopen(/proc/self/maps) failed: %m");
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = strstr(line, "/libcrypto.so") != NULL;
	fclose(f);
	return found;
}

/* A session that reads small mail alone doesn't pay for OpenSSL. */
static void test_aead_loading(void)
{
	const uint8_t *nonce = hex_bytes(NONCE);
	uint8_t *data = i_malloc(65536 + AEAD_TAG_SIZE);
	struct aead *aead;

	test_begin("aead: OpenSSL is loaded for large messages");
	aead = aead_init(hex_bytes(AEAD_KEY));
	aead_seal(aead, nonce, data, 16383, data);
	test_assert(!openssl_is_loaded());
	aead_seal(aead, nonce, data, 16384, data);
	test_assert(openssl_is_loaded());
	aead_deinit(&aead);
	i_free(data);
	test_end();
}

static void fill(uint8_t *data, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		data[i] = (i * 7 + i / 256) & 0xff;
}

/* The row of 114 bytes has the key, nonce and plaintext of RFC 8439, section
   2.8.2; its tag is another, as there is no associated data here. The sizes
   are on both sides of where another library takes over. The tags, and the
   second row, are by Python's cryptography. */
static void test_aead(void)
{
	static const struct {
		size_t size;
		const char *tag;
	} tests[] = {
		{ 0, "a0784d7a4716f3feb4f64e7f4b39bf04" },
		{ 16383, "2f5e5b08489afb77173603a6f42a5739" },
		{ 16384, "13eadc06e8d2f578db692e167f5e46c2" },
		{ 16385, "fb482de2cdd621fd7cd27096752c5aea" },
		{ 65536, "bebbc77be74d76fe43cf7ccefd0ab270" },
	};
	const uint8_t *nonce = hex_bytes(NONCE);
	uint8_t *plain = i_malloc(65536), *opened = i_malloc(65536);
	uint8_t *sealed = i_malloc(65536 + AEAD_TAG_SIZE);
	struct aead *aead = aead_init(hex_bytes(AEAD_KEY));
	unsigned int i;
	size_t size;

	fill(plain, 65536);
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		size = tests[i].size;
		test_begin(t_strdup_printf("aead: %zu bytes", size));
		aead_seal(aead, nonce, plain, size, sealed);
		test_assert(hex_equals(sealed + size, AEAD_TAG_SIZE,
				       tests[i].tag));
		test_assert(aead_open(aead, nonce, sealed,
				      size + AEAD_TAG_SIZE, opened));
		test_assert(memcmp(opened, plain, size) == 0);

		/* in place */
		memcpy(sealed, plain, size);
		aead_seal(aead, nonce, sealed, size, sealed);
		test_assert(hex_equals(sealed + size, AEAD_TAG_SIZE,
				       tests[i].tag));
		test_end();
	}
	aead_deinit(&aead);
	test_assert(aead == NULL);
	aead_deinit(&aead);
	i_free(plain);
	i_free(opened);
	i_free(sealed);
}

static void test_aead_rfc(void)
{
	static const char *const plain =
		"Ladies and Gentlemen of the class of '99: If I could offer "
		"you only one tip for the future, sunscreen would be it.";
	static const char *const expected =
		"d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a7"
		"36ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b29"
		"05d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4"
		"fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b"
		"61166a23a4681fd59456aea1d29f82477216";
	struct aead *aead = aead_init(hex_bytes(AEAD_KEY));
	uint8_t sealed[114 + AEAD_TAG_SIZE];

	test_begin("aead: RFC 8439");
	aead_seal(aead, hex_bytes(NONCE), (const uint8_t *)plain, 114, sealed);
	test_assert(hex_equals(sealed, sizeof(sealed), expected));
	aead_deinit(&aead);
	test_end();
}

static void test_aead_damage_at(struct aead *aead, uint8_t *sealed,
				size_t sealed_size, size_t pos)
{
	size_t size = sealed_size - AEAD_TAG_SIZE;
	uint8_t *opened = i_malloc(I_MAX(size, 1));

	memset(opened, 0xff, size);
	sealed[pos] ^= 1 << pos % 8;
	test_assert_idx(!aead_open(aead, hex_bytes(NONCE), sealed, sealed_size,
				   opened), pos);
	test_assert_idx(is_zeroed(opened, size), pos);
	sealed[pos] ^= 1 << pos % 8;
	i_free(opened);
}

static void test_aead_damage(void)
{
	static const struct {
		size_t size, step;
	} tests[] = {
		{ 0, 1 }, { 1, 1 }, { 1000, 1 }, { 16383, 97 }, { 16384, 97 },
		{ 65536, 997 },
	};
	const uint8_t *nonce = hex_bytes(NONCE);
	uint8_t *sealed = i_malloc(65536 + AEAD_TAG_SIZE);
	uint8_t *opened = i_malloc(65536);
	struct aead *aead = aead_init(hex_bytes(AEAD_KEY));
	size_t i, pos, sealed_size;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		sealed_size = tests[i].size + AEAD_TAG_SIZE;
		test_begin(t_strdup_printf("aead: damage to %zu bytes",
					   tests[i].size));
		fill(sealed, tests[i].size);
		aead_seal(aead, nonce, sealed, tests[i].size, sealed);
		for (pos = 0; pos < sealed_size; pos += tests[i].step)
			test_aead_damage_at(aead, sealed, sealed_size, pos);
		test_aead_damage_at(aead, sealed, sealed_size,
				    sealed_size - 1);
		/* a failure leaves nothing behind in the cipher */
		test_assert(aead_open(aead, nonce, sealed, sealed_size,
				      opened));
		for (pos = 0; pos < sealed_size; pos += tests[i].step) {
			test_assert_idx(!aead_open(aead, nonce, sealed, pos,
						   opened), pos);
		}
		test_end();
	}
	aead_deinit(&aead);
	i_free(sealed);
	i_free(opened);
}

static void test_aead_nonces(void)
{
	static const size_t sizes[] = { 65536, 5, 16384, 0, 16383, 65535 };
	uint8_t *plain = i_malloc(65536), *opened = i_malloc(65536);
	uint8_t *sealed = i_malloc(65536 + AEAD_TAG_SIZE);
	uint8_t nonce[AEAD_NONCE_SIZE] = { 0 };
	struct aead *aead = aead_init(hex_bytes(AEAD_KEY)), *other;
	unsigned int i;

	test_begin("aead: sealing and opening by turns, other keys");
	fill(plain, 65536);
	for (i = 0; i < N_ELEMENTS(sizes); i++) {
		size_t sealed_size = sizes[i] + AEAD_TAG_SIZE;

		nonce[0] = i;
		aead_seal(aead, nonce, plain, sizes[i], sealed);
		test_assert_idx(aead_open(aead, nonce, sealed, sealed_size,
					  opened), i);
		test_assert_idx(memcmp(plain, opened, sizes[i]) == 0, i);
		nonce[0]++;
		test_assert_idx(!aead_open(aead, nonce, sealed, sealed_size,
					   opened), i);
		nonce[0]--;
		other = aead_init(plain);
		test_assert_idx(!aead_open(other, nonce, sealed, sealed_size,
					   opened), i);
		aead_deinit(&other);
	}
	aead_deinit(&aead);
	i_free(plain);
	i_free(opened);
	i_free(sealed);
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		/* first, as there's no way to unload it */
		test_aead_loading,
		test_aead,
		test_aead_rfc,
		test_aead_damage,
		test_aead_nonces,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
