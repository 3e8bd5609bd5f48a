/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "age/base64.h"

#define BITS_PER_CHAR 6
#define INVALID 0xff

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void age_base64_encode(const uint8_t *data, size_t size, string_t *dest)
{
	size_t i, chars = AGE_BASE64_ENCODED_SIZE(size);
	char *out = buffer_append_space_unsafe(dest, chars);
	unsigned int bits = 0, bits_count = 0;

	for (i = 0; i < size; i++) {
		bits = bits << 8 | data[i];
		bits_count += 8;
		while (bits_count >= BITS_PER_CHAR) {
			bits_count -= BITS_PER_CHAR;
			*out++ = alphabet[bits >> bits_count & 0x3f];
		}
	}
	if (bits_count > 0)
		*out = alphabet[bits << (BITS_PER_CHAR - bits_count) & 0x3f];
}

static uint8_t char_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	if (c == '/')
		return 63;
	return INVALID;
}

bool age_base64_decode(const char *src, size_t chars, uint8_t *data_r)
{
	unsigned int bits = 0, bits_count = 0;
	uint8_t value;
	size_t i;

	/* one character alone has not enough bits for a byte */
	if (chars % 4 == 1)
		return FALSE;
	for (i = 0; i < chars; i++) {
		value = char_value(src[i]);
		if (value == INVALID)
			return FALSE;
		bits = bits << BITS_PER_CHAR | value;
		bits_count += BITS_PER_CHAR;
		if (bits_count >= 8) {
			bits_count -= 8;
			*data_r++ = bits >> bits_count & 0xff;
		}
	}
	return (bits & ((1U << bits_count) - 1)) == 0;
}
