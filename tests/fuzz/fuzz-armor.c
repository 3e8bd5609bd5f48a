/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "fuzzer.h"
#include "age/armor.h"

/* Aims at age_armor_decode() and so at age_armor_decode_line() and
   age_base64_decode(): what is accepted has, line ends and white space around
   it apart, no other spelling than the one that age_armor_encode() gives. The
   second half of the runs puts the data between the marks, so as to get behind
   them. */

static bool is_white_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* As age_armor_encode() would have it: LF, and nothing around. */
static void normalise(const uint8_t *data, size_t size, buffer_t *dest)
{
	size_t i;

	while (size > 0 && is_white_space(data[size - 1]))
		size--;
	while (size > 0 && is_white_space(*data)) {
		data++;
		size--;
	}
	for (i = 0; i < size; i++) {
		if (data[i] != '\r' || i + 1 == size || data[i + 1] != '\n')
			buffer_append_c(dest, data[i]);
	}
	buffer_append_c(dest, '\n');
}

static void check(const uint8_t *data, size_t size)
{
	buffer_t *decoded = buffer_create_dynamic(default_pool, 256);
	buffer_t *encoded = buffer_create_dynamic(default_pool, 256);
	buffer_t *normal = buffer_create_dynamic(default_pool, 256);
	const char *error = NULL;
	int ret;

	ret = age_armor_decode((const char *)data, size, decoded, &error);
	i_assert((ret < 0) == (error != NULL));
	if (ret == 0) {
		age_armor_encode(decoded->data, decoded->used, encoded);
		normalise(data, size, normal);
		i_assert(buffer_cmp(encoded, normal));
	}
	buffer_free(&decoded);
	buffer_free(&encoded);
	buffer_free(&normal);
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	buffer_t *text = buffer_create_dynamic(default_pool, 256);

	check(data, size);
	str_append(text, AGE_ARMOR_BEGIN"\n");
	buffer_append(text, data, size);
	str_append(text, "\n"AGE_ARMOR_END"\n");
	check(text->data, text->used);
	buffer_free(&text);
}
FUZZ_END
