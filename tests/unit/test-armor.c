/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "age/armor.h"

#define BEGIN AGE_ARMOR_BEGIN"\n"
#define END AGE_ARMOR_END"\n"
/* 48 times the letter A. */
#define LINE64 \
	"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
#define A48 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static const char end_error[] =
	"The armor ends without \""AGE_ARMOR_END"\"";
static const char after_short[] =
	"Line 3 of the armor isn't \""AGE_ARMOR_END"\", though the one "
	"before was the last as it was short";
static const struct {
	const char *name, *src;
	const char *data;	/* NULL: must be rejected */
	const char *error;
} armors[] = {
	{ "nothing in it", BEGIN END, "", NULL },
	{ "one byte", BEGIN"QQ==\n"END, "A", NULL },
	{ "two bytes", BEGIN"QUI=\n"END, "AB", NULL },
	{ "three bytes", BEGIN"QUJD\n"END, "ABC", NULL },
	{ "a full line", BEGIN LINE64"\n"END, A48, NULL },
	{ "a full line and a byte", BEGIN LINE64"\nQQ==\n"END,
	  A48"A", NULL },
	{ "two full lines", BEGIN LINE64"\n"LINE64"\n"END,
	  A48 A48, NULL },
	{ "CRLF", AGE_ARMOR_BEGIN"\r\nQQ==\r\n"AGE_ARMOR_END"\r\n",
	  "A", NULL },
	{ "no end of line", BEGIN"QQ==\n"AGE_ARMOR_END, "A", NULL },
	{ "a carriage return at the end",
	  BEGIN"QQ==\n"AGE_ARMOR_END"\r", "A", NULL },
	{ "white space around", "\n \r\n\t\v\f\n"BEGIN"QQ==\n"END
	  "\n\t \r\n ", "A", NULL },

	{ "empty", "", NULL, end_error },
	{ "white space alone", " \n\n", NULL, end_error },
	{ "no end", BEGIN"QQ==\n", NULL, end_error },
	{ "no data, no end", BEGIN, NULL, end_error },
	{ "end cut off", BEGIN"QQ==\n-----END AGE ENCRYPTED FILE----",
	  NULL, after_short },
	{ "end in lower case", BEGIN LINE64"\n-----end age encrypted "
	  "file-----\n", NULL,
	  "Line 3 of the armor isn't canonical, padded base64" },
	{ "another label", "-----BEGIN AGE ENCRYPTED MAIL-----\n", NULL,
	  "Line 1 of the armor isn't \""AGE_ARMOR_BEGIN"\"" },
	{ "spaces in the label", "----- BEGIN AGE ENCRYPTED FILE -----\n",
	  NULL, "Line 1 of the armor isn't \""AGE_ARMOR_BEGIN"\"" },
	{ "space before begin", " "BEGIN"QQ==\n"END, NULL,
	  "Line 1 of the armor isn't \""AGE_ARMOR_BEGIN"\"" },
	{ "space behind begin", AGE_ARMOR_BEGIN" \nQQ==\n"END, NULL,
	  "Line 1 of the armor isn't \""AGE_ARMOR_BEGIN"\"" },
	{ "text before", "\nhello\n"BEGIN"QQ==\n"END, NULL,
	  "Line 2 of the armor isn't \""AGE_ARMOR_BEGIN"\"" },
	{ "text behind", BEGIN"QQ==\n"END"x", NULL,
	  "Line 4 of the armor stands behind \""AGE_ARMOR_END"\"" },
	{ "another armor behind", BEGIN END BEGIN END, NULL,
	  "Line 3 of the armor stands behind \""AGE_ARMOR_END"\"" },
	{ "two ends", BEGIN END END, NULL,
	  "Line 3 of the armor stands behind \""AGE_ARMOR_END"\"" },
	{ "two begins", BEGIN BEGIN"QQ==\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "a header", BEGIN"Key: value\n\nQQ==\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "an empty line first", BEGIN"\nQQ==\n"END, NULL,
	  "Line 2 of the armor is empty" },
	{ "an empty line last", BEGIN LINE64"\n\n"END, NULL,
	  "Line 3 of the armor is empty" },
	{ "two carriage returns", BEGIN"QQ==\r\r\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "space behind data", BEGIN"QQ== \n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "space before data", BEGIN" QUJ\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "a long line", BEGIN LINE64"QUFB\n"END, NULL,
	  "Line 2 of the armor has more than 64 characters" },
	{ "a short line before", BEGIN"QUFB\n"LINE64"\n"END, NULL,
	  after_short },
	{ "two short lines", BEGIN"QUFB\nQUFB\n"END, NULL, after_short },
	{ "a full line with padding before", BEGIN
	  "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
	  "QUE=\nQQ==\n"END, NULL, after_short },
	{ "no padding", BEGIN"QQ\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "half the padding", BEGIN"QQ=\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "padding on a line of its own", BEGIN"QQ=\n=\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "too much padding", BEGIN"Q===\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "padding alone", BEGIN"====\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "padding in between", BEGIN"QQ==QQ==\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "leftover bits", BEGIN"QR==\n"END, NULL,
	  "Line 2 of the armor isn't canonical, padded base64" },
	{ "checksum of PGP", BEGIN"QQ==\n=twTO\n"END, NULL,
	  after_short },
};

static void test_armor_table(void)
{
	buffer_t *dest = t_buffer_create(256);
	const char *error;
	unsigned int i;
	int ret;

	for (i = 0; i < N_ELEMENTS(armors); i++) {
		test_begin(t_strdup_printf("armor: %s", armors[i].name));
		buffer_set_used_size(dest, 0);
		error = NULL;
		ret = age_armor_decode(armors[i].src, strlen(armors[i].src),
				       dest, &error);
		test_assert(ret == (armors[i].data != NULL ? 0 : -1));
		test_assert_strcmp(error, armors[i].error);
		if (ret == 0)
			test_assert_strcmp(str_c(dest), armors[i].data);
		test_end();
	}
}

static buffer_t *armored(size_t size, uint8_t *data)
{
	buffer_t *text = buffer_create_dynamic(default_pool, 256);
	size_t i;

	for (i = 0; i < size; i++)
		data[i] = i * 37;
	age_armor_encode(data, size, text);
	return text;
}

static void test_armor_sizes(void)
{
	uint8_t data[200];
	buffer_t *text, *dest = t_buffer_create(256);
	const char *error;
	size_t size;

	test_begin("armor: all sizes");
	for (size = 0; size <= sizeof(data); size++) {
		text = armored(size, data);
		buffer_set_used_size(dest, 0);
		test_assert_idx(age_armor_decode(text->data, text->used, dest,
						 &error) == 0, size);
		test_assert_idx(dest->used == size &&
				memcmp(dest->data, data, size) == 0, size);
		buffer_free(&text);
	}
	test_end();
}

/* An armored file has one form, if the line ends are left out of account. */
static void test_armor_damage(void)
{
	uint8_t data[100];
	buffer_t *text = armored(sizeof(data), data);
	buffer_t *dest = t_buffer_create(256), *again = t_buffer_create(256);
	uint8_t *bytes = buffer_get_modifiable_data(text, NULL);
	unsigned int bit, decoded_count = 0;
	const char *error;
	size_t size;

	test_begin("armor: flip every bit");
	for (bit = 0; bit < text->used * 8; bit++) {
		bytes[bit / 8] ^= 1 << bit % 8;
		buffer_set_used_size(dest, 0);
		if (age_armor_decode(text->data, text->used, dest,
				     &error) == 0 &&
		    bit / 8 != text->used - 1) {
			decoded_count++;
			buffer_set_used_size(again, 0);
			age_armor_encode(dest->data, dest->used, again);
			test_assert_idx(buffer_cmp(again, text), bit);
		}
		bytes[bit / 8] ^= 1 << bit % 8;
	}
	test_assert(decoded_count > 100);
	test_end();

	test_begin("armor: cut at every length");
	/* without its last line feed it is whole */
	for (size = 0; size < text->used - 1; size++) {
		test_assert_idx(age_armor_decode(text->data, size, dest,
						 &error) == -1, size);
	}
	buffer_free(&text);
	test_end();
}

static void test_armor_decoder_is_small(void)
{
	struct age_armor_decoder decoder = { .line = 0 };
	uint8_t data[AGE_ARMOR_LINE_SIZE];
	const char *error;
	unsigned int i;
	size_t size;

	test_begin("armor: line by line");
	test_assert(age_armor_decode_line(&decoder, AGE_ARMOR_BEGIN,
					  strlen(AGE_ARMOR_BEGIN), data, &size,
					  &error) == 0 && size == 0);
	for (i = 0; i < 10000; i++) {
		test_assert(age_armor_decode_line(&decoder, LINE64, 64, data,
						  &size, &error) == 0);
		test_assert(size == 48 && memcmp(data, A48, 48) == 0);
	}
	test_assert(!decoder.ended);
	test_assert(age_armor_decode_line(&decoder, AGE_ARMOR_END,
					  strlen(AGE_ARMOR_END), data, &size,
					  &error) == 0 && size == 0);
	test_assert(decoder.ended && decoder.line == 10002);
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_armor_table,
		test_armor_sizes,
		test_armor_damage,
		test_armor_decoder_is_small,
		NULL
	};

	return test_run(tests);
}
