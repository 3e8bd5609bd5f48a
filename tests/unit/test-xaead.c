/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "test-common.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/xaead.h"
#include "hex.h"

#define XAEAD_KEY \
	"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
#define NONCE "404142434445464748494a4b4c4d4e4f5051525354555657"
#define AD "50515253c0c1c2c3c4c5c6c7"
#define AD_SIZE 12

static const char rfc_plain[] =
	"Ladies and Gentlemen of the class of '99: If I could offer "
	"you only one tip for the future, sunscreen would be it.";
#define RFC_SIZE (sizeof(rfc_plain) - 1)
#define RFC_SEALED_SIZE (RFC_SIZE + XAEAD_TAG_SIZE)

static void seal_rfc(uint8_t sealed_r[RFC_SEALED_SIZE])
{
	xaead_seal(hex_bytes(XAEAD_KEY), hex_bytes(NONCE), hex_bytes(AD),
		   AD_SIZE, (const uint8_t *)rfc_plain, RFC_SIZE, sealed_r);
}

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1 */
static void test_xaead_draft(void)
{
	static const char *const expected =
		"bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c"
		"21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216"
		"cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2b"
		"c369488f76b2383565d3fff921f9664c97637da9768812f615c68b13"
		"b52ec0875924c1c7987947deafd8780acf49";
	uint8_t sealed[RFC_SEALED_SIZE], opened[RFC_SIZE];

	test_begin("xaead: the draft's vector");
	seal_rfc(sealed);
	test_assert(hex_equals(sealed, sizeof(sealed), expected));
	test_assert(xaead_open(hex_bytes(XAEAD_KEY), hex_bytes(NONCE),
			       hex_bytes(AD), AD_SIZE, sealed, sizeof(sealed),
			       opened));
	test_assert(memcmp(opened, rfc_plain, RFC_SIZE) == 0);

	memcpy(sealed, rfc_plain, RFC_SIZE);
	xaead_seal(hex_bytes(XAEAD_KEY), hex_bytes(NONCE), hex_bytes(AD),
		   AD_SIZE, sealed, RFC_SIZE, sealed);
	test_assert(hex_equals(sealed, sizeof(sealed), expected));
	test_end();
}

/* The tags are by a HChaCha20 written in Python and Python's cryptography. */
static void test_xaead_empty(void)
{
	uint8_t tag[XAEAD_TAG_SIZE], opened[1] = { 0xff };

	test_begin("xaead: nothing to seal");
	xaead_seal(hex_bytes(XAEAD_KEY), hex_bytes(NONCE), hex_bytes(AD),
		   AD_SIZE, opened, 0, tag);
	test_assert(hex_equals(tag, sizeof(tag),
			       "e4c5191f68fd06d9592f83754480d19d"));
	test_assert(xaead_open(hex_bytes(XAEAD_KEY), hex_bytes(NONCE),
			       hex_bytes(AD), AD_SIZE, tag, sizeof(tag),
			       opened));
	test_assert(!xaead_open(hex_bytes(XAEAD_KEY), hex_bytes(NONCE),
				NULL, 0, tag, sizeof(tag), opened));
	xaead_seal(hex_bytes(XAEAD_KEY), hex_bytes(NONCE), NULL, 0, opened, 0,
		   tag);
	test_assert(hex_equals(tag, sizeof(tag),
			       "1dac8f73146d1e9da796cb7f7221a5df"));
	test_assert(xaead_open(hex_bytes(XAEAD_KEY), hex_bytes(NONCE),
			       NULL, 0, tag, sizeof(tag), opened));
	test_assert(opened[0] == 0xff);
	test_end();
}

/* What is sealed, and by what: each is refused if a bit of it changes. */
struct parts {
	uint8_t key[XAEAD_KEY_SIZE], nonce[XAEAD_NONCE_SIZE], ad[AD_SIZE];
	uint8_t sealed[RFC_SEALED_SIZE];
};

static void make_parts(struct parts *parts_r)
{
	memcpy(parts_r->key, hex_bytes(XAEAD_KEY), XAEAD_KEY_SIZE);
	memcpy(parts_r->nonce, hex_bytes(NONCE), XAEAD_NONCE_SIZE);
	memcpy(parts_r->ad, hex_bytes(AD), AD_SIZE);
	seal_rfc(parts_r->sealed);
}

static bool open_parts(const struct parts *parts, size_t ad_size,
		       uint8_t opened_r[RFC_SIZE])
{
	memset(opened_r, 0xff, RFC_SIZE);
	return xaead_open(parts->key, parts->nonce, parts->ad, ad_size,
			  parts->sealed, sizeof(parts->sealed), opened_r);
}

static void test_xaead_flips(void)
{
	struct parts parts;
	uint8_t *bytes = (uint8_t *)&parts, opened[RFC_SIZE];
	size_t i;

	test_begin("xaead: flip every bit of key, nonce, data and record");
	make_parts(&parts);
	test_assert(open_parts(&parts, AD_SIZE, opened));
	for (i = 0; i < sizeof(parts) * 8; i++) {
		bytes[i / 8] ^= 1 << i % 8;
		test_assert_idx(!open_parts(&parts, AD_SIZE, opened), i);
		test_assert_idx(is_zeroed(opened, sizeof(opened)), i);
		bytes[i / 8] ^= 1 << i % 8;
	}
	for (i = 0; i < AD_SIZE; i++)
		test_assert_idx(!open_parts(&parts, i, opened), i);
	test_assert(open_parts(&parts, AD_SIZE, opened));
	test_end();
}

/* A copy of its exact size, so that valgrind sees what is touched beyond. */
static bool open_cut(const struct parts *parts, size_t size)
{
	size_t plain_size = size < XAEAD_TAG_SIZE ? 0 : size - XAEAD_TAG_SIZE;
	uint8_t *sealed = i_malloc(I_MAX(size, 1));
	uint8_t *opened = i_malloc(I_MAX(plain_size, 1));
	bool ret;

	memcpy(sealed, parts->sealed, size);
	memset(opened, 0xff, plain_size);
	ret = xaead_open(parts->key, parts->nonce, parts->ad, AD_SIZE,
			 sealed, size, opened);
	if (!ret)
		test_assert_idx(is_zeroed(opened, plain_size), size);
	i_free(sealed);
	i_free(opened);
	return ret;
}

static void test_xaead_cut(void)
{
	struct parts parts;
	size_t i;

	test_begin("xaead: cut at every length");
	make_parts(&parts);
	for (i = 0; i < RFC_SEALED_SIZE; i++)
		test_assert_idx(!open_cut(&parts, i), i);
	test_assert(open_cut(&parts, RFC_SEALED_SIZE));
	test_end();
}

/* By b2sum -l 256: RFC 7693's own vector is one of 64 bytes. */
static void test_hash(void)
{
	uint8_t bytes[256], hash[HASH_SIZE];
	unsigned int i;

	test_begin("hash: BLAKE2b of 32 bytes");
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	hash_blake2b("", 0, hash);
	test_assert(hex_equals(hash, sizeof(hash),
		"0e5751c026e543b2e8ab2eb06099daa1"
		"d1e5df47778f7787faab45cdf12fe3a8"));
	hash_blake2b("abc", 3, hash);
	test_assert(hex_equals(hash, sizeof(hash),
		"bddd813c634239723171ef3fee98579b"
		"94964e3bb1cb3e427262c8c068d52319"));
	hash_blake2b(bytes, sizeof(bytes), hash);
	test_assert(hex_equals(hash, sizeof(hash),
		"39a7eb9fedc19aabc83425c6755dd90e"
		"6f9d0c804964a1f4aaeea3b9fb599835"));
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_xaead_draft,
		test_xaead_empty,
		test_xaead_flips,
		test_xaead_cut,
		test_hash,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(test_functions);
}
