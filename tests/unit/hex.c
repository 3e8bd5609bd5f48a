/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "hex-binary.h"
#include "hex.h"

void hex_append(buffer_t *dest, const char *hex)
{
	if (hex_to_binary(hex, dest) < 0)
		i_panic("not hex digits: %s", hex);
}

const uint8_t *hex_bytes(const char *hex)
{
	buffer_t *buffer = t_buffer_create(strlen(hex) / 2 + 1);

	hex_append(buffer, hex);
	return buffer->data;
}

bool hex_equals(const void *data, size_t size, const char *hex)
{
	return strlen(hex) == size * 2 &&
		memcmp(data, hex_bytes(hex), size) == 0;
}

bool is_zeroed(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t i;

	for (i = 0; i < size; i++) {
		if (bytes[i] != 0)
			return FALSE;
	}
	return TRUE;
}
