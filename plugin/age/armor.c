/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "age/armor.h"
#include "age/base64.h"

#define COLUMNS 64

static bool is_white_space(const char *line, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (line[i] != ' ' && (line[i] < '\t' || line[i] > '\r'))
			return FALSE;
	}
	return TRUE;
}

static bool line_equals(const char *line, size_t size, const char *str)
{
	return size == strlen(str) && memcmp(line, str, size) == 0;
}

static int armor_error(const struct age_armor_decoder *decoder,
		       const char *error, const char **error_r)
{
	*error_r = t_strdup_printf("Line %u of the armor %s",
				   decoder->line, error);
	return -1;
}

static int decode_outside(struct age_armor_decoder *decoder,
			  const char *line, size_t size, const char **error_r)
{
	if (is_white_space(line, size))
		return 0;
	if (decoder->ended) {
		return armor_error(decoder, "stands behind "
				   "\""AGE_ARMOR_END"\"", error_r);
	}
	if (!line_equals(line, size, AGE_ARMOR_BEGIN)) {
		return armor_error(decoder, "isn't "
				   "\""AGE_ARMOR_BEGIN"\"", error_r);
	}
	decoder->begun = TRUE;
	return 0;
}

/* Decode a line of 4 to COLUMNS characters, with padding if it isn't full. */
static int decode_data(const struct age_armor_decoder *decoder,
		       const char *line, size_t size, uint8_t *data_r,
		       size_t *data_size_r, const char **error_r)
{
	size_t chars = size;

	if (size == 0)
		return armor_error(decoder, "is empty", error_r);
	if (size > COLUMNS) {
		return armor_error(decoder, "has more than 64 characters",
				   error_r);
	}
	while (chars > 0 && size - chars < 2 && line[chars - 1] == '=')
		chars--;
	if (size % 4 != 0 || !age_base64_decode(line, chars, data_r)) {
		return armor_error(decoder, "isn't canonical, padded base64",
				   error_r);
	}
	*data_size_r = AGE_BASE64_DECODED_SIZE(chars);
	return 0;
}

int age_armor_decode_line(struct age_armor_decoder *decoder,
			  const char *line, size_t line_size,
			  uint8_t data_r[AGE_ARMOR_LINE_SIZE],
			  size_t *data_size_r, const char **error_r)
{
	decoder->line++;
	*data_size_r = 0;
	if (!decoder->begun || decoder->ended)
		return decode_outside(decoder, line, line_size, error_r);
	if (line_equals(line, line_size, AGE_ARMOR_END)) {
		decoder->ended = TRUE;
		return 0;
	}
	if (decoder->short_line) {
		return armor_error(decoder, "isn't \""AGE_ARMOR_END"\", "
				   "though the one before was the last "
				   "as it was short", error_r);
	}
	if (decode_data(decoder, line, line_size, data_r, data_size_r,
			error_r) < 0)
		return -1;
	decoder->short_line = *data_size_r < AGE_ARMOR_LINE_SIZE;
	return 0;
}

int age_armor_decode(const char *text, size_t size, buffer_t *dest,
		     const char **error_r)
{
	struct age_armor_decoder decoder;
	const char *line = text, *end = text + size, *next, *line_end;
	uint8_t data[AGE_ARMOR_LINE_SIZE];
	size_t data_size;

	i_zero(&decoder);
	for (; line < end; line = next) {
		line_end = memchr(line, '\n', end - line);
		next = line_end == NULL ? end : line_end + 1;
		if (line_end == NULL)
			line_end = end;
		if (line_end > line && line_end[-1] == '\r')
			line_end--;
		if (age_armor_decode_line(&decoder, line, line_end - line,
					  data, &data_size, error_r) < 0)
			return -1;
		buffer_append(dest, data, data_size);
	}
	if (!decoder.ended) {
		*error_r = "The armor ends without \""AGE_ARMOR_END"\"";
		return -1;
	}
	return 0;
}

void age_armor_encode(const uint8_t *data, size_t size, string_t *dest)
{
	size_t line_size;

	str_append(dest, AGE_ARMOR_BEGIN"\n");
	for (; size > 0; data += line_size, size -= line_size) {
		line_size = I_MIN(size, AGE_ARMOR_LINE_SIZE);
		age_base64_encode(data, line_size, dest);
		/* unlike all other base64 of age, this one is padded */
		if (line_size % 3 == 1)
			str_append(dest, "==");
		else if (line_size % 3 == 2)
			str_append_c(dest, '=');
		str_append_c(dest, '\n');
	}
	str_append(dest, AGE_ARMOR_END"\n");
}
