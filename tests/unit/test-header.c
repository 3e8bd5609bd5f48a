/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "age/header.h"
#include "crypto/secret.h"
#include "hex.h"

#define V1 "age-encryption.org/v1\n"
#define MAC_LINE "--- GyEKwO52X8ZDvj9jro+av8aNKo/ntTOgN01yaE0lduQ\n"
#define LINE64 \
	"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"

/* The file key is 00 01 … 0f. Made with Python. */
#define FILE_KEY "000102030405060708090a0b0c0d0e0f"
#define HEADER \
	V1 \
	"-> example.org/kind a b!~\n" \
	LINE64"\n" \
	"\n" \
	"-> X25519 Z13VdO13iTELPS52gfN5C0ZsdzsVIf7PNld5WDcepS8\n" \
	"/cIpoFWzwbkbmav9SRPVdhwTlFj1nWwO2vHtsDiIwb0\n" \
	"-> X25519 ST6C/HRGSlkmiBdiPSBTxeuOLMSpiLT+4XnsawENUx0\n" \
	"B9wMVnwqPD/kjCGBwJKkOKYsh4WzPBlgZ7lELtydNN4\n" \
	MAC_LINE

static int parse(const void *data, size_t size, struct age_header *header_r,
		 pool_t *pool_r, const char **error_r)
{
	*pool_r = pool_alloconly_create("test header", 512);
	*error_r = NULL;
	return age_header_parse(*pool_r, data, size, header_r, error_r);
}

/* What is parsed and written again must be the same bytes. */
static bool is_rewritten(const struct age_header *header, const void *data)
{
	uint8_t file_key[AGE_FILE_KEY_SIZE] = { 0 };
	buffer_t *dest = buffer_create_dynamic(default_pool, 256);
	bool same;

	age_header_write(header->stanzas, header->stanzas_count, file_key,
			 dest, NULL);
	/* all but the MAC, for which we have no key */
	same = dest->used == header->size &&
		header->authenticated_size < header->size &&
		memcmp(dest->data, data, header->authenticated_size) == 0 &&
		memcmp(header->authenticated, data,
		       header->authenticated_size) == 0;
	buffer_free(&dest);
	return same;
}

static void test_header_known(void)
{
	struct age_header header;
	const struct age_stanza *stanza;
	const char *error;
	pool_t pool;

	test_begin("header: what was parsed");
	test_assert(parse(HEADER"payload", sizeof(HEADER) + 6, &header, &pool,
			  &error) == 1);
	test_assert(header.size == strlen(HEADER));
	test_assert(header.stanzas_count == 3);
	stanza = &header.stanzas[0];
	test_assert(stanza->args_count == 3);
	test_assert_strcmp(stanza->args[0], "example.org/kind");
	test_assert_strcmp(stanza->args[1], "a");
	test_assert_strcmp(stanza->args[2], "b!~");
	test_assert(stanza->body_size == 48);
	test_assert(stanza->body[0] == 7 && stanza->body[47] == 7);
	stanza = &header.stanzas[2];
	test_assert(stanza->args_count == 2);
	test_assert_strcmp(stanza->args[0], "X25519");
	test_assert(hex_equals(stanza->body, stanza->body_size,
			       "07dc0c567c2a3c3fe48c2181c092a438"
			       "a62c8785b33c196067b9442edc9d34de"));
	test_assert(hex_equals(header.mac, sizeof(header.mac),
			       "1b210ac0ee765fc643be3f63ae8f9abf"
			       "c68d2a8fe7b533a0374d72684d2576e4"));
	test_assert(is_rewritten(&header, HEADER));
	pool_unref(&pool);
	test_end();
}

static void test_header_mac(void)
{
	uint8_t file_key[AGE_FILE_KEY_SIZE], mac[AGE_HEADER_MAC_SIZE];
	struct age_header header;
	const char *error;
	buffer_t *dest = buffer_create_dynamic(default_pool, 256);
	unsigned int i;
	pool_t pool;

	test_begin("header: MAC");
	memcpy(file_key, hex_bytes(FILE_KEY), sizeof(file_key));
	test_assert(parse(HEADER, strlen(HEADER), &header, &pool, &error) == 1);
	test_assert(age_header_verify(&header, file_key));
	buffer_append(dest, "before", 6);
	age_header_write(header.stanzas, header.stanzas_count, file_key, dest,
			 mac);
	test_assert(dest->used == 6 + strlen(HEADER) &&
		    memcmp(dest->data, "before"HEADER, dest->used) == 0);
	test_assert(memcmp(mac, header.mac, sizeof(mac)) == 0);
	for (i = 0; i < sizeof(file_key) * 8; i++) {
		file_key[i / 8] ^= 1 << i % 8;
		test_assert_idx(!age_header_verify(&header, file_key), i);
		file_key[i / 8] ^= 1 << i % 8;
	}
	for (i = 0; i < sizeof(header.mac) * 8; i++) {
		header.mac[i / 8] ^= 1 << i % 8;
		test_assert_idx(!age_header_verify(&header, file_key), i);
		header.mac[i / 8] ^= 1 << i % 8;
	}
	pool_unref(&pool);
	buffer_free(&dest);
	test_end();
}

static void test_header_accepted(void)
{
	static const struct {
		const char *name, *src;
		size_t body_size;
	} tests[] = {
		{ "empty body", V1"-> a\n\n"MAC_LINE, 0 },
		{ "body of one byte", V1"-> a\nAQ\n"MAC_LINE, 1 },
		{ "body of 47 bytes",
		  V1"-> a\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
		  "HBwcHBwcHBwc\n"MAC_LINE, 47 },
		{ "body of one full line",
		  V1"-> a\n"LINE64"\n\n"MAC_LINE, 48 },
		{ "body of two full lines",
		  V1"-> a\n"LINE64"\n"LINE64"\n\n"MAC_LINE, 96 },
		{ "body of 49 bytes", V1"-> a\n"LINE64"\nAQ\n"MAC_LINE, 49 },
		{ "all visible characters",
		  V1"-> !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUV"
		  "WXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\n\n"MAC_LINE, 0 },
		{ "arguments like marks", V1"-> -> --- =\n\n"MAC_LINE, 0 },
	};
	struct age_header header;
	const char *error;
	unsigned int i;
	pool_t pool;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("header: %s", tests[i].name));
		test_assert(parse(tests[i].src, strlen(tests[i].src), &header,
				  &pool, &error) == 1);
		if (error == NULL) {
			test_assert(header.stanzas[0].body_size ==
				    tests[i].body_size);
			test_assert(is_rewritten(&header, tests[i].src));
		}
		pool_unref(&pool);
		test_end();
	}
}

/* None of these is whole: wrong bytes must be noticed as soon as they come. */
static const struct {
	const char *name, *src, *error;
} rejected[] = {
	{ "first byte", "b", "Line 1 of the header doesn't begin with "
	  "\"age-encryption.org/\": this is no age file" },
	{ "armor", "-", "Line 1 of the header doesn't" },
	{ "a mail", "R", "Line 1 of the header doesn't" },
	{ "version 2", "age-encryption.org/v2",
	  "Line 1 of the header isn't \"age-encryption.org/v1\": "
	  "no other version can be read" },
	{ "version 10", "age-encryption.org/v10", "Line 1 of" },
	{ "no version", "age-encryption.org/\n", "Line 1 of" },
	{ "carriage return", "age-encryption.org/v1\r", "Line 1 of" },
	{ "space", "age-encryption.org/v1 ", "Line 1 of" },
	{ "upper case", "A", "Line 1 of" },
	{ "no stanza", V1"--", "Line 2 of the header ends it without "
	  "any stanza" },
	{ "empty line", V1"\n", "Line 2 of the header doesn't begin "
	  "with \"-> \" or \"--- \"" },
	{ "stanza without dash", V1">", "Line 2 of the header does" },
	{ "stanza without space", V1"->a", "Line 2 of the header do" },
	{ "stanza without arguments", V1"->\n", "Line 2 of the header" },
	{ "empty argument alone", V1"-> \n", "Line 2 of the header has "
	  "a line feed where an argument is expected" },
	{ "two spaces", V1"->  ", "Line 2 of the header has a space "
	  "where an argument is expected" },
	{ "two spaces between", V1"-> a  ", "Line 2 of the header has "
	  "a space where an argument is expected" },
	{ "space at the end", V1"-> a \n", "Line 2 of the header has "
	  "a line feed where an argument is expected" },
	{ "tab", V1"-> a\t", "Line 2 of the header has the byte 0x09 "
	  "where" },
	{ "carriage return in arguments", V1"-> a\r", "Line 2 of the "
	  "header has a carriage return where" },
	{ "DEL", V1"-> \x7f", "Line 2 of the header has the byte 0x7f" },
	{ "eighth bit", V1"-> \xc3", "Line 2 of the header has the "
	  "byte 0xc3" },
	{ "space before body", V1"-> a\n ", "Line 3 of the header has "
	  "a space where only base64 may stand" },
	{ "padding", V1"-> a\nAQ=", "Line 3 of the header has '=' "
	  "where" },
	{ "alphabet of URLs", V1"-> a\n_", "Line 3 of the header has "
	  "'_' where" },
	{ "carriage return in body", V1"-> a\nAQ\r", "Line 3 of the "
	  "header has a carriage return where" },
	{ "no body", V1"-> a\n-", "Line 3 of the header has '-' "
	  "where" },
	{ "no final line", V1"-> a\n"LINE64"\n-", "Line 4 of the "
	  "header has '-' where" },
	{ "leftover bits", V1"-> a\nAR\n", "Line 3 of the header isn't "
	  "canonical base64" },
	{ "one character", V1"-> a\n"LINE64"\nA\n", "Line 4 of the "
	  "header isn't canonical base64" },
	{ "line of 65", V1"-> a\n"LINE64"B", "Line 3 of the header has "
	  "more than 64 characters of base64" },
	{ "two short lines", V1"-> a\nAQ\nA", "Line 4 of the header "
	  "doesn't begin with \"-> \" or \"--- \"" },
	{ "MAC without space", V1"-> a\n\n---G", "Line 4 of the header "
	  "doesn't begin with \"--- \" and a MAC" },
	{ "two dashes", V1"-> a\n\n-- ", "Line 4 of the header does" },
	{ "no MAC", V1"-> a\n\n---\n", "Line 4 of the header doesn't" },
	{ "MAC cut off", V1"-> a\n\n--- GyEK\n", "Line 4 of the header "
	  "has 4 characters of MAC instead of 43" },
	{ "MAC of 42", V1"-> a\n\n--- GyEKwO52X8ZDvj9jro+av8aNKo/ntTOgN"
	  "01yaE0ldQ\n", "Line 4 of the header has 42 characters of MAC" },
	{ "MAC of 44", V1"-> a\n\n--- GyEKwO52X8ZDvj9jro+av8aNKo/ntTOgN"
	  "01yaE0lduQA", "Line 4 of the header has more than 43 " },
	{ "leftover bits of the MAC", V1"-> a\n\n--- GyEKwO52X8ZDvj9jr"
	  "o+av8aNKo/ntTOgN01yaE0lduR\n", "Line 4 of the header isn't" },
	{ "two spaces before MAC", V1"-> a\n\n---  ", "Line 4 of the "
	  "header has a space where only base64 may stand" },
	{ "space behind MAC", V1"-> a\n\n--- GyEKwO52X8ZDvj9jro+av8aNKo"
	  "/ntTOgN01yaE0lduQ ", "Line 4 of the header has a space" },
	{ "carriage return behind MAC", V1"-> a\n\n--- GyEKwO52X8ZDvj9j"
	  "ro+av8aNKo/ntTOgN01yaE0lduQ\r", "Line 4 of the header has" },
	{ "padded MAC", V1"-> a\n\n--- GyEKwO52X8ZDvj9jro+av8aNKo/ntTOg"
	  "N01yaE0lduQ=", "Line 4 of the header has '='" },
};

static void test_header_rejected(void)
{
	struct age_header header;
	const char *error;
	unsigned int i;
	pool_t pool;

	for (i = 0; i < N_ELEMENTS(rejected); i++) {
		test_begin(t_strdup_printf("header: %s", rejected[i].name));
		test_assert(parse(rejected[i].src, strlen(rejected[i].src),
				  &header, &pool, &error) == -1);
		/* the row may give but the beginning of the error */
		if (error == NULL || strncmp(error, rejected[i].error,
					     strlen(rejected[i].error)) != 0)
			test_assert_strcmp(error, rejected[i].error);
		pool_unref(&pool);
		/* and not before its last byte has come */
		if (strlen(rejected[i].src) > 1) {
			test_assert(parse(rejected[i].src,
					  strlen(rejected[i].src) - 1, &header,
					  &pool, &error) == 0);
			pool_unref(&pool);
		}
		test_end();
	}
}

static void test_header_cut(void)
{
	struct age_header header;
	const char *error;
	size_t size;
	pool_t pool;

	test_begin("header: cut at every length");
	for (size = 0; size < strlen(HEADER); size++) {
		/* of its own, so that reading behind it is noticed */
		uint8_t *data = i_malloc(I_MAX(size, 1));

		memcpy(data, HEADER, size);
		test_assert_idx(parse(data, size, &header, &pool,
				      &error) == 0, size);
		pool_unref(&pool);
		i_free(data);
	}
	test_end();
}

/* Every bit of the header matters: either it isn't one any more, or it is
   another one. */
static void test_header_damage(void)
{
	uint8_t file_key[AGE_FILE_KEY_SIZE];
	char data[] = HEADER;
	struct age_header header;
	unsigned int bit, parsed_count = 0;
	const char *error;
	pool_t pool;

	test_begin("header: flip every bit");
	memcpy(file_key, hex_bytes(FILE_KEY), sizeof(file_key));
	for (bit = 0; bit < strlen(HEADER) * 8; bit++) {
		data[bit / 8] ^= 1 << bit % 8;
		if (parse(data, strlen(HEADER), &header, &pool, &error) == 1) {
			parsed_count++;
			test_assert_idx(is_rewritten(&header, data), bit);
			test_assert_idx(!age_header_verify(&header, file_key),
					bit);
		}
		pool_unref(&pool);
		data[bit / 8] ^= 1 << bit % 8;
	}
	test_assert(parsed_count > 100);
	test_end();
}

/* A header of exactly this size, or as near below as stanzas make it. */
static buffer_t *make_header(size_t size)
{
	const char *args[] = { "x" };
	struct age_stanza *stanzas = i_new(struct age_stanza, 2);
	buffer_t *dest = buffer_create_dynamic(default_pool, size);
	uint8_t file_key[AGE_FILE_KEY_SIZE] = { 0 };
	size_t rest = size - strlen(V1"-> x\n\n"MAC_LINE);
	char *arg = i_malloc(rest + 2);
	uint8_t *body;

	/* half of it in the argument's name, half in the body */
	stanzas[0].body_size = rest / 130 * 48;
	rest -= rest / 130 * 65;
	body = i_malloc(I_MAX(stanzas[0].body_size, 1));
	memset(arg, 'x', rest + 1);
	args[0] = arg;
	stanzas[0].args = args;
	stanzas[0].args_count = 1;
	stanzas[0].body = body;
	age_header_write(stanzas, 1, file_key, dest, NULL);
	i_free(stanzas);
	i_free(body);
	i_free(arg);
	return dest;
}

static void test_header_limit(void)
{
	static const struct {
		size_t size;
		int ret;
	} tests[] = {
		{ 1000, 1 },
		{ AGE_HEADER_MAX_SIZE - 1, 1 },
		{ AGE_HEADER_MAX_SIZE, 1 },
		{ AGE_HEADER_MAX_SIZE + 1, -1 },
		{ 3 * AGE_HEADER_MAX_SIZE, -1 },
	};
	struct age_header header;
	const char *error;
	buffer_t *data;
	unsigned int i;
	pool_t pool;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		data = make_header(tests[i].size);
		test_begin(t_strdup_printf("header: %zu bytes", data->used));
		test_assert(data->used == tests[i].size);
		test_assert(parse(data->data, data->used, &header, &pool,
				  &error) == tests[i].ret);
		if (tests[i].ret < 0) {
			test_assert_strcmp(error, "The header is larger "
					   "than 262144 bytes");
		}
		pool_unref(&pool);
		/* what follows doesn't count */
		buffer_write_zero(data, data->used, AGE_HEADER_MAX_SIZE);
		test_assert(parse(data->data, data->used, &header, &pool,
				  &error) == tests[i].ret);
		pool_unref(&pool);
		buffer_free(&data);
		test_end();
	}
}

/* With so many bytes and no end in sight there's nothing to wait for. */
static void test_header_limit_reached(void)
{
	buffer_t *data = make_header(AGE_HEADER_MAX_SIZE + 1);
	struct age_header header;
	const char *error;
	pool_t pool;

	test_begin("header: at the limit and not whole");
	test_assert(parse(data->data, AGE_HEADER_MAX_SIZE - 1, &header, &pool,
			  &error) == 0);
	pool_unref(&pool);
	test_assert(parse(data->data, AGE_HEADER_MAX_SIZE, &header, &pool,
			  &error) == -1);
	pool_unref(&pool);
	buffer_free(&data);
	test_end();
}

/* Nothing is allocated for what isn't a header, however much of it there is. */
static void test_header_junk(void)
{
	static const struct {
		const char *name, *begin, *repeat;
	} tests[] = {
		{ "an endless argument", V1"-> ", "x" },
		{ "endless arguments", V1"-> x", " x" },
		{ "an endless body", V1"-> x\n", LINE64"\n" },
		{ "endless stanzas", V1, "-> x\n\n" },
		{ "an endless version", "age-encryption.org/v1", "1" },
	};
	size_t used, size = 4 * AGE_HEADER_MAX_SIZE;
	buffer_t *data = buffer_create_dynamic(default_pool, size + 100);
	struct age_header header;
	const char *error;
	unsigned int i;
	pool_t pool;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("header: %s", tests[i].name));
		buffer_set_used_size(data, 0);
		str_append(data, tests[i].begin);
		while (data->used < size)
			str_append(data, tests[i].repeat);
		test_assert(parse(data->data, data->used, &header, &pool,
				  &error) == -1);
		used = pool_alloconly_get_total_used_size(pool);
		test_assert(used < 1024);
		pool_unref(&pool);
		test_end();
	}
	buffer_free(&data);
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_header_known,
		test_header_mac,
		test_header_accepted,
		test_header_rejected,
		test_header_cut,
		test_header_damage,
		test_header_limit,
		test_header_limit_reached,
		test_header_junk,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
