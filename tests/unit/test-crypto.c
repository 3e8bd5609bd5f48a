/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "test-common.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"
#include "hex.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_secret(void)
{
	static const size_t sizes[] = { 1, 15, 16, 17, 32, 4096, 65537 };
	void *secret;
	unsigned int i;

	test_begin("secret memory");
	for (i = 0; i < N_ELEMENTS(sizes); i++) {
		secret = secret_alloc(sizes[i]);
		test_assert_idx(is_zeroed(secret, sizes[i]), i);
		test_assert_idx((uintptr_t)secret % sizeof(void *) == 0, i);
		secret_random(secret, sizes[i]);
		secret_free(&secret);
		test_assert_idx(secret == NULL, i);
		secret_free(&secret);
	}
	test_end();
}

static void test_secret_compare(void)
{
	uint8_t a[32], b[32];
	unsigned int i;

	test_begin("secret compare, wipe, random");
	secret_random(a, sizeof(a));
	secret_random(b, sizeof(b));
	test_assert(!secret_equals(a, b, sizeof(a)));
	memcpy(b, a, sizeof(b));
	test_assert(secret_equals(a, b, sizeof(a)));
	for (i = 0; i < sizeof(a) * 8; i++) {
		b[i / 8] ^= 1 << i % 8;
		test_assert_idx(!secret_equals(a, b, sizeof(a)), i);
		b[i / 8] ^= 1 << i % 8;
	}
	secret_wipe(a, sizeof(a));
	test_assert(is_zeroed(a, sizeof(a)));
	test_end();
}

/* RFC 7748, sections 5.2 and 6.1. The second row has the unused bit of the
   point set, which must be ignored. */
static void test_x25519(void)
{
	static const struct {
		const char *name, *secret, *peer, *shared;
	} tests[] = {
		{ "first",
		  "a546e36bf0527c9d3b16154b82465edd"
		  "62144c0ac1fc5a18506a2244ba449ac4",
		  "e6db6867583030db3594c1a424b15f7c"
		  "726624ec26b3353b10a903a6d0ab1c4c",
		  "c3da55379de9c6908e94ea4df28d084f"
		  "32eccf03491c71f754b4075577a28552" },
		{ "unused bit",
		  "4b66e9d4d1b4673c5ad22691957d6af5"
		  "c11b6421e0ea01d42ca4169e7918ba0d",
		  "e5210f12786811d3f4b7959d0538ae2c"
		  "31dbe7106fc03c3efc4cd549c715a493",
		  "95cbde9476e8907d7aade45cb4b873f8"
		  "8b595a68799fa152e6f8f7647aac7957" },
		{ "Alice and Bob",
		  "5dab087e624a8a4b79e17f8b83800ee6"
		  "6f3bb1292618b6fd1c2f8b27ff88e0eb",
		  "8520f0098930a754748b7ddcb43ef75a"
		  "0dbf3a0d26381af4eba4a98eaa9b4e6a",
		  "4a5d9d5ba4ce2de1728e3bf480350f25"
		  "e07e21c947d19e3376f09b3c1e161742" },
	};
	uint8_t key[X25519_KEY_SIZE];
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("x25519: %s", tests[i].name));
		test_assert(x25519_shared(hex_bytes(tests[i].secret),
					  hex_bytes(tests[i].peer), key));
		test_assert(hex_equals(key, sizeof(key), tests[i].shared));
		test_end();
	}

	test_begin("x25519: public key");
	x25519_public(hex_bytes(tests[2].secret), key);
	test_assert(hex_equals(key, sizeof(key),
			       "de9edb7d7b7dc1b4d35b61c2ece43537"
			       "3f8343c85b78674dadfc7e146f882b4f"));
	test_end();
}

static void test_x25519_iterated(void)
{
	uint8_t key[X25519_KEY_SIZE] = { 9 }, point[X25519_KEY_SIZE] = { 9 };
	uint8_t shared[X25519_KEY_SIZE];
	unsigned int i;

	test_begin("x25519: a thousand times");
	for (i = 0; i < 1000; i++) {
		test_assert_idx(x25519_shared(key, point, shared), i);
		memcpy(point, key, sizeof(point));
		memcpy(key, shared, sizeof(key));
	}
	test_assert(hex_equals(key, sizeof(key),
			       "684cf59ba83309552800ef566f2f4d3c"
			       "1c3887c49360e3875f2eb94d99532c51"));
	test_end();
}

/* All points of low order, in every spelling: whatever the secret, the result
   would be zero. */
static void test_x25519_low_order(void)
{
	static const char *const points[] = {
		"00000000000000000000000000000000"
		"00000000000000000000000000000000",
		"01000000000000000000000000000000"
		"00000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46a"
		"da098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b"
		"04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffff"
		"ffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffff"
		"ffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffff"
		"ffffffffffffffffffffffffffffff7f",
	};
	uint8_t secret[X25519_KEY_SIZE], point[X25519_KEY_SIZE];
	uint8_t shared[X25519_KEY_SIZE];
	unsigned int i;

	test_begin("x25519: low order");
	for (i = 0; i < N_ELEMENTS(points) * 2; i++) {
		memcpy(point, hex_bytes(points[i / 2]), sizeof(point));
		/* once with the unused bit set */
		point[31] |= (i % 2) << 7;
		secret_random(secret, sizeof(secret));
		memset(shared, 0xff, sizeof(shared));
		test_assert_idx(!x25519_shared(secret, point, shared), i);
		test_assert_idx(is_zeroed(shared, sizeof(shared)), i);
	}
	test_end();
}

/* RFC 5869, appendix A: the first block of each output. */
static void test_hkdf(void)
{
	static const struct {
		const char *name, *secret, *salt, *info, *key;
	} tests[] = {
		{ "first",
		  "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
		  "000102030405060708090a0b0c",
		  "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9",
		  "3cb25f25faacd57a90434f64d0362f2a"
		  "2d2d0a90cf1a5a4c5db02d56ecc4c5bf" },
		{ "longer than a block of SHA-256",
		  "000102030405060708090a0b0c0d0e0f"
		  "101112131415161718191a1b1c1d1e1f"
		  "202122232425262728292a2b2c2d2e2f"
		  "303132333435363738393a3b3c3d3e3f"
		  "404142434445464748494a4b4c4d4e4f",
		  "606162636465666768696a6b6c6d6e6f"
		  "707172737475767778797a7b7c7d7e7f"
		  "808182838485868788898a8b8c8d8e8f"
		  "909192939495969798999a9b9c9d9e9f"
		  "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
		  "\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xbb\xbc\xbd"
		  "\xbe\xbf\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xcb"
		  "\xcc\xcd\xce\xcf\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9"
		  "\xda\xdb\xdc\xdd\xde\xdf\xe0\xe1\xe2\xe3\xe4\xe5\xe6\xe7"
		  "\xe8\xe9\xea\xeb\xec\xed\xee\xef\xf0\xf1\xf2\xf3\xf4\xf5"
		  "\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff",
		  "b11e398dc80327a1c8e7f78c596a4934"
		  "4f012eda2d4efad8a050cc4c19afa97c" },
		{ "no salt, no info",
		  "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		  "8da4e775a563c18f715f802a063c5a31"
		  "b8a11f5c5ee1879ec3454e5f3c738d2d" },
	};
	uint8_t key[KDF_KEY_SIZE];
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("hkdf: %s", tests[i].name));
		kdf_hkdf_sha256(hex_bytes(tests[i].secret),
				strlen(tests[i].secret) / 2,
				hex_bytes(tests[i].salt),
				strlen(tests[i].salt) / 2, tests[i].info, key);
		test_assert(hex_equals(key, sizeof(key), tests[i].key));
		test_end();
	}
}

/* RFC 4231, test cases 1, 2 and 4: a shorter key is one ending in zeros. */
static void test_hmac(void)
{
	static const struct {
		const char *name, *key, *data, *mac;
	} tests[] = {
		{ "case 1",
		  "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
		  "0b0b0b0b000000000000000000000000",
		  "4869205468657265",
		  "b0344c61d8db38535ca8afceaf0bf12b"
		  "881dc200c9833da726e9376c2e32cff7" },
		{ "case 2",
		  "4a656665000000000000000000000000"
		  "00000000000000000000000000000000",
		  "7768617420646f2079612077616e7420"
		  "666f72206e6f7468696e673f",
		  "5bdcc146bf60754e6a042426089575c7"
		  "5a003f089d2739839dec58b964ec3843" },
		{ "case 4",
		  "0102030405060708090a0b0c0d0e0f10"
		  "11121314151617181900000000000000",
		  "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
		  "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
		  "82558a389a443c0ea4cc819899f2083a"
		  "85f0faa3e578f8077a2e3ff46729665b" },
	};
	uint8_t mac[KDF_HMAC_SIZE];
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("hmac: %s", tests[i].name));
		kdf_hmac_sha256(hex_bytes(tests[i].key),
				hex_bytes(tests[i].data),
				strlen(tests[i].data) / 2, mac);
		test_assert(hex_equals(mac, sizeof(mac), tests[i].mac));
		test_end();
	}
}

/* RFC 9106 has only an example with four lanes: these are by OpenSSL 3.5. */
static void test_argon2id(void)
{
	static const struct {
		const char *name, *secret, *salt;
		uint32_t memory_kib, passes;
		const char *key;
	} tests[] = {
		{ "two passes", "password",
		  "000102030405060708090a0b0c0d0e0f", 8192, 2,
		  "937638fd13ac494fa6fd1cc6b6e8006c"
		  "577546db9fc516ecfd8dd6a982b1c2eb" },
		{ "the least, no secret", "",
		  "00000000000000000000000000000000", 8, 1,
		  "cfa0d2d242da6703d311d7eefc922e39"
		  "cc60c9f4ec93a67d20995be541a06be4" },
		{ "memory that is no multiple of four",
		  "correct horse battery staple",
		  "101112131415161718191a1b1c1d1e1f", 1031, 4,
		  "70b3a3dd925d5fb2a33b1127fa92947c"
		  "2ff95b78a7af79de36dc95ab58833228" },
	};
	uint8_t key[KDF_KEY_SIZE];
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("argon2id: %s", tests[i].name));
		test_assert(kdf_argon2id(tests[i].secret,
					 strlen(tests[i].secret),
					 hex_bytes(tests[i].salt),
					 tests[i].memory_kib, tests[i].passes,
					 key) == 0);
		test_assert(hex_equals(key, sizeof(key), tests[i].key));
		test_end();
	}

	test_begin("argon2id: secret with a zero in it");
	test_assert(kdf_argon2id("\0\xff", 2, hex_bytes(
			"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"), 64, 3, key) == 0);
	test_assert(hex_equals(key, sizeof(key),
			       "a31db169debd79a413bf29bc57c3793a"
			       "defe7e2f30e65ed101f600b90e61af05"));
	test_end();
}

/* The first is from RFC 7914, section 12, the others are by Python's. */
static void test_scrypt(void)
{
	static const struct {
		const char *name, *secret;
		size_t secret_size;
		const char *salt;
		size_t salt_size;
		unsigned int log_n;
		const char *key;
	} tests[] = {
		{ "2^14", "pleaseletmein", 13, "SodiumChloride", 14, 14,
		  "7023bdcb3afd7348461c06cd81fd38eb"
		  "fda8fbba904f8e3ea9b543f6545da1f2" },
		{ "the least, nothing at all", "", 0, "", 0, 1,
		  "ec57b472d742138d12501bc49372377b"
		  "3b96d6a2ff9f6a53e769a63c429a1792" },
		{ "zeros within", "pass\0word", 9, "sa\0lt", 5, 10,
		  "f503666de3058101d03c1f2d83db3e4a"
		  "c4591938a9dd4e67ecabecee40a842b8" },
	};
	uint8_t key[KDF_KEY_SIZE];
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("scrypt: %s", tests[i].name));
		test_assert(kdf_scrypt(tests[i].secret, tests[i].secret_size,
				       tests[i].salt, tests[i].salt_size,
				       tests[i].log_n, key) == 0);
		test_assert(hex_equals(key, sizeof(key), tests[i].key));
		test_end();
	}
}

/* Let this process have 64 MiB more than it has; sanitizers have much. */
static bool limit_memory(void)
{
	struct rlimit limit;
	unsigned long long pages;
	FILE *f = fopen("/proc/self/statm", "r");
	bool found = f != NULL && fscanf(f, "%llu", &pages) == 1;

	if (f != NULL)
		fclose(f);
	if (!found)
		return FALSE;
	limit.rlim_cur = pages * getpagesize() + (64 << 20);
	limit.rlim_max = limit.rlim_cur;
	return setrlimit(RLIMIT_AS, &limit) == 0;
}

/* How many of two derivations, of 256 MiB each, fail. */
static int failures_without_memory(void)
{
	uint8_t key[KDF_KEY_SIZE], salt[KDF_ARGON2ID_SALT_SIZE] = { 0 };
	int failures = 0;

	if (!limit_memory())
		return -1;
	if (kdf_argon2id("x", 1, salt, 256 << 10, 1, key) < 0)
		failures++;
	if (kdf_scrypt("x", 1, salt, sizeof(salt), 18, key) < 0)
		failures++;
	return failures;
}

static void test_no_memory(void)
{
	pid_t pid;
	int status = -1;

	test_begin("argon2id, scrypt: no memory");
	pid = fork();
	if (pid == 0)
		_exit(failures_without_memory());
	test_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	test_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_secret,
		test_secret_compare,
		test_x25519,
		test_x25519_iterated,
		test_x25519_low_order,
		test_hkdf,
		test_hmac,
		test_argon2id,
		test_scrypt,
		test_no_memory,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
