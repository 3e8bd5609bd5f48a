/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "test-common.h"
#include "age/bech32.h"
#include "age/x25519.h"
#include "crypto/secret.h"
#include "hex.h"

/* The examples of the age specification: the secret is 32 times 0x42. */
#define IDENTITY "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZ" \
	"GFPYYSJZGFPQ4EGAEX"
#define RECIPIENT "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xee" \
	"xvn73equnujwj"
#define RECIPIENT_KEY "132c442be010fbd57e72603328aa76e7" \
	"1fccc1503aae219327d14d9c9993f472"

static void test_bech32_encode(void)
{
	static const struct {
		const char *hrp, *hex, *str;
	} tests[] = {
		{ "test", "", "test12hrzfj" },
		{ "test", "00", "test1qq2htfgz" },
		{ "test", "ff", "test1lu0zy72x" },
		{ "test", "616263", "test1v93xxdwew6u" },
		{ "test", "0001020304", "test1qqqsyqcyhvuj95" },
		{ "test", "000102030405060708090a0b0c0d0e0f10111213",
		  "test1qqqsyqcyq5rqwzqfpg9scrgwpugpzysn00vyad" },
		{ "age", RECIPIENT_KEY, RECIPIENT },
		{ "AGE-SECRET-KEY-", "42424242424242424242424242424242"
		  "42424242424242424242424242424242", IDENTITY },
	};
	char str[100];
	uint8_t data[32];
	const char *error;
	unsigned int i;
	size_t size;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		size = strlen(tests[i].hex) / 2;
		test_begin(t_strdup_printf("bech32: %s", tests[i].str));
		age_bech32_encode(tests[i].hrp, hex_bytes(tests[i].hex), size,
				  str);
		test_assert_strcmp(str, tests[i].str);
		test_assert(strlen(str) == AGE_BECH32_ENCODED_SIZE(
			strlen(tests[i].hrp), size));
		test_assert(age_bech32_decode(str, tests[i].hrp, data, size,
					      &error) == 0);
		test_assert(hex_equals(data, size, tests[i].hex));
		test_end();
	}
}

static const char unknown_char[] =
	"has a character at position %u that does not occur in bech32";
static const struct {
	const char *name, *str, *error;
} mistakes[] = {
	{ "nothing", "", "doesn't begin with age1" },
	{ "no separator", "age", "doesn't begin with age1" },
	{ "separator alone", "1", "doesn't begin with age1" },
	{ "other prefix", "aga1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye"
	  "869xeexvn73equnujwj", "doesn't begin with age1" },
	{ "longer prefix", "age1pq1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82h"
	  "zrye869xeexvn73equnujwj", "doesn't begin with age1" },
	{ "identity", IDENTITY, "doesn't begin with age1" },
	{ "prefix alone", "age1", "has 4 characters instead of 62" },
	{ "one character too few", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues"
	  "2s82hzrye869xeexvn73equnujw",
	  "has 61 characters instead of 62" },
	{ "one character too many", RECIPIENT"j",
	  "has 63 characters instead of 62" },
	{ "one byte too few", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82h"
	  "zrye869xeexvn7s3pqez7", "has 60 characters instead of 62" },
	{ "one byte too many", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82h"
	  "zrye869xeexvn73eqqhruuh4",
	  "has 63 characters instead of 62" },
	{ "space behind", RECIPIENT" ",
	  "has 63 characters instead of 62" },
	{ "upper case", "AGE1ZVKYG2LQZRAA2LNJVQEJ32NKUU0UES2S82HZRYE86"
	  "9XEEXVN73EQUNUJWJ",
	  "is in upper case instead of lower case" },
	{ "one upper-case letter", "age1Zvkyg2lqzraa2lnjvqej32nkuu0ues"
	  "2s82hzrye869xeexvn73equnujwj",
	  "mixes upper and lower case" },
	{ "prefix in upper case", "AGE1zvkyg2lqzraa2lnjvqej32nkuu0ues"
	  "2s82hzrye869xeexvn73equnujwj",
	  "mixes upper and lower case" },
	{ "b", "age1bvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73"
	  "equnujwj", unknown_char },
	{ "i at the end", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye"
	  "869xeexvn73equnujwi", unknown_char },
	{ "line feed", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869"
	  "xeexvn73equnujw\n", unknown_char },
	{ "eighth bit", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye86"
	  "9xeexvn73equnujw\xea", unknown_char },
	{ "a letter mistyped", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82"
	  "hzrye869xeexvn73equnujwk",
	  "has a wrong checksum, check for a typing mistake" },
	{ "letters swapped", "age1zvkgy2lqzraa2lnjvqej32nkuu0ues2s82hz"
	  "rye869xeexvn73equnujwj",
	  "has a wrong checksum, check for a typing mistake" },
	{ "a bit behind the data", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues"
	  "2s82hzrye869xeexvn73epp9g8nq",
	  "has bits set behind its data" },
	{ "the highest of them", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s"
	  "82hzrye869xeexvn73egz8c7s0",
	  "has bits set behind its data" },
};

static void test_bech32_errors(void)
{
	static const unsigned int positions[] = { 5, 62, 62, 62 };
	const char *error, *expected;
	unsigned int i, position = 0;
	uint8_t data[32];

	for (i = 0; i < N_ELEMENTS(mistakes); i++) {
		test_begin(t_strdup_printf("bech32: %s", mistakes[i].name));
		memset(data, 0xff, sizeof(data));
		error = NULL;
		test_assert(age_bech32_decode(mistakes[i].str, "age", data,
					      sizeof(data), &error) == -1);
		expected = mistakes[i].error;
		if (expected == unknown_char) {
			expected = t_strdup_printf(unknown_char,
						   positions[position++]);
		}
		test_assert_strcmp(error, expected);
		test_assert(is_zeroed(data, sizeof(data)));
		test_end();
	}
}

static void test_bech32_lower_case_identity(void)
{
	char *lower = i_strdup(IDENTITY);
	const char *error;
	uint8_t data[32];

	test_begin("bech32: identity in lower case");
	lower = str_lcase(lower);
	test_assert(age_bech32_decode(lower, "AGE-SECRET-KEY-", data,
				      sizeof(data), &error) == -1);
	test_assert_strcmp(error, "is in lower case instead of upper case");
	i_free(lower);
	test_end();
}

/* Any one character exchanged, any two neighbours swapped: that's what the
   checksum is for. */
static void test_bech32_typing(void)
{
	static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
	char str[sizeof(RECIPIENT)];
	unsigned int pos, i;
	const char *error;
	uint8_t data[32];

	test_begin("bech32: typing mistakes");
	for (pos = 4; pos < sizeof(RECIPIENT) - 1; pos++) {
		memcpy(str, RECIPIENT, sizeof(str));
		for (i = 0; i < 32; i++) {
			str[pos] = alphabet[i];
			test_assert_idx(
				(age_bech32_decode(str, "age", data, 32,
						   &error) == 0) ==
				(str[pos] == RECIPIENT[pos]), pos);
		}
		memcpy(str, RECIPIENT, sizeof(str));
		if (str[pos] == str[pos - 1] || pos == 4)
			continue;
		str[pos] = RECIPIENT[pos - 1];
		str[pos - 1] = RECIPIENT[pos];
		test_assert_idx(age_bech32_decode(str, "age", data, 32,
						  &error) == -1, pos);
	}
	test_end();
}

static void test_bech32_sizes(void)
{
	uint8_t data[64], decoded[64];
	char str[AGE_BECH32_ENCODED_SIZE(3, sizeof(data)) + 1];
	const char *error;
	unsigned int i, size;

	test_begin("bech32: all sizes");
	for (i = 0; i < sizeof(data); i++)
		data[i] = 255 - i * 3;
	for (size = 0; size <= sizeof(data); size++) {
		memset(str, 'x', sizeof(str));
		age_bech32_encode("a-b", data, size, str);
		test_assert_idx(strlen(str) ==
				AGE_BECH32_ENCODED_SIZE(3, size), size);
		test_assert_idx(age_bech32_decode(str, "a-b", decoded, size,
						  &error) == 0, size);
		test_assert_idx(memcmp(data, decoded, size) == 0, size);
	}
	test_end();
}

static void test_bech32_no_secret_in_error(void)
{
	struct age_x25519_identity identity;
	char str[sizeof(IDENTITY)];
	const char *error;
	unsigned int pos;

	test_begin("bech32: no error repeats a secret");
	for (pos = 0; pos < sizeof(IDENTITY) - 1; pos++) {
		memcpy(str, IDENTITY, sizeof(str));
		str[pos] = str[pos] == 'Z' ? 'X' : 'Z';
		test_assert_idx(age_x25519_identity_parse(
			str, &identity, &error) == -1, pos);
		test_assert_idx(strstr(error, "GFPYY") == NULL, pos);
		test_assert_idx(is_zeroed(&identity, sizeof(identity)), pos);
	}
	test_end();
}

static void test_bech32_keys(void)
{
	struct age_x25519_identity identity;
	struct age_x25519_recipient recipient, parsed;
	char str[AGE_X25519_IDENTITY_CHARS + 1];
	const char *error;

	test_begin("bech32: keys of the age specification");
	test_assert(age_x25519_identity_parse(IDENTITY, &identity,
					      &error) == 0);
	age_x25519_identity_str(&identity, str);
	test_assert_strcmp(str, IDENTITY);
	age_x25519_identity_recipient(&identity, &recipient);
	test_assert_strcmp(age_x25519_recipient_str(&recipient), RECIPIENT);
	test_assert(age_x25519_recipient_parse(RECIPIENT, &parsed,
					       &error) == 0);
	test_assert(memcmp(&parsed, &recipient, sizeof(parsed)) == 0);
	test_assert(hex_equals(parsed.key, sizeof(parsed.key), RECIPIENT_KEY));
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_bech32_encode,
		test_bech32_errors,
		test_bech32_lower_case_identity,
		test_bech32_typing,
		test_bech32_sizes,
		test_bech32_no_secret_in_error,
		test_bech32_keys,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
