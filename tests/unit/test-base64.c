/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "age/base64.h"

static void test_base64_table(void)
{
	static const struct {
		const char *name, *src;
		const char *bytes;	/* NULL: must be rejected */
		size_t size;
	} tests[] = {
		{ "nothing",			"",	"", 0 },
		{ "four leftover bits",		"AQ",	"\1", 1 },
		{ "two leftover bits",		"AQI",	"\1\2", 2 },
		{ "none",			"AQID",	"\1\2\3", 3 },
		{ "both signs",			"+/+/",	"\xfb\xff\xbf", 3 },
		{ "all ones",			"/w",	"\xff", 1 },
		{ "two groups",		"AQIDBAU",	"\1\2\3\4\5", 5 },
		{ "padding of one",		"AQI=",	NULL, 0 },
		{ "padding of two",		"AQ==",	NULL, 0 },
		{ "padding alone",		"=",	NULL, 0 },
		{ "leftover bit set, of two",	"AQJ",	NULL, 0 },
		{ "leftover bits set, of two",	"AQL",	NULL, 0 },
		{ "leftover bit set, of four",	"AR",	NULL, 0 },
		{ "highest leftover bit set",	"AY",	NULL, 0 },
		{ "one character",		"A",	NULL, 0 },
		{ "five characters",		"AQIDA", NULL, 0 },
		{ "space before",		" AQI",	NULL, 0 },
		{ "space behind",		"AQI ",	NULL, 0 },
		{ "line feed",			"AQ\nI", NULL, 0 },
		{ "carriage return",		"AQI\r", NULL, 0 },
		{ "alphabet of URLs, minus",	"-w",	NULL, 0 },
		{ "alphabet of URLs, underscore", "_w",	NULL, 0 },
		{ "eighth bit",			"A\xd1",	NULL, 0 },
	};
	uint8_t data[16];
	unsigned int i;
	bool accepted;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("base64: %s", tests[i].name));
		accepted = age_base64_decode(tests[i].src,
					     strlen(tests[i].src), data);
		test_assert(accepted == (tests[i].bytes != NULL));
		if (accepted) {
			test_assert(AGE_BASE64_DECODED_SIZE(
				strlen(tests[i].src)) == tests[i].size);
			test_assert(memcmp(data, tests[i].bytes,
					   tests[i].size) == 0);
		}
		test_end();
	}
}

/* Of all 256 bytes 64 are of the alphabet, each with a value of its own. */
static void test_base64_alphabet(void)
{
	string_t *str = t_str_new(8);
	char src[4] = "AAA";
	uint8_t data[3];
	unsigned int c, count = 0;

	test_begin("base64: alphabet");
	src[3] = 'A';
	for (c = 0; c < 256; c++) {
		src[0] = c;
		if (!age_base64_decode(src, sizeof(src), data))
			continue;
		count++;
		str_truncate(str, 0);
		age_base64_encode(data, sizeof(data), str);
		test_assert_idx((uint8_t)str_data(str)[0] == c, c);
	}
	test_assert(count == 64);
	test_end();
}

/* Whatever is accepted has this one spelling. */
static void test_base64_canonical(void)
{
	static const char chars[] = "AQgwz09+/=";
	string_t *str = t_str_new(8);
	unsigned int size, n, i, rest, count, accepted = 0;
	char src[4];
	uint8_t data[3];

	test_begin("base64: one spelling");
	for (size = 0; size <= sizeof(src); size++) {
		for (count = 1, i = 0; i < size; i++)
			count *= sizeof(chars) - 1;
		for (n = 0; n < count; n++) {
			for (rest = n, i = 0; i < size; i++) {
				src[i] = chars[rest % (sizeof(chars) - 1)];
				rest /= sizeof(chars) - 1;
			}
			if (!age_base64_decode(src, size, data))
				continue;
			accepted++;
			str_truncate(str, 0);
			age_base64_encode(data, AGE_BASE64_DECODED_SIZE(size),
					  str);
			test_assert_idx(str_len(str) == size &&
					memcmp(str_data(str), src, size) == 0,
					n);
		}
	}
	test_assert(accepted > 6561);
	test_end();
}

static void test_base64_sizes(void)
{
	uint8_t data[200], decoded[200];
	string_t *str = t_str_new(300);
	unsigned int i, size;

	test_begin("base64: all sizes");
	for (i = 0; i < sizeof(data); i++)
		data[i] = i * 151;
	for (size = 0; size <= sizeof(data); size++) {
		str_truncate(str, 0);
		str_append_c(str, '>');
		age_base64_encode(data, size, str);
		test_assert_idx(str_len(str) ==
				1 + AGE_BASE64_ENCODED_SIZE(size), size);
		test_assert_idx(str_data(str)[0] == '>', size);
		test_assert_idx(age_base64_decode(str_c(str) + 1,
						  str_len(str) - 1,
						  decoded), size);
		test_assert_idx(memcmp(data, decoded, size) == 0, size);
	}
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_base64_table,
		test_base64_alphabet,
		test_base64_canonical,
		test_base64_sizes,
		NULL
	};

	return test_run(tests);
}
