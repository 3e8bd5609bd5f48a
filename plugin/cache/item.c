/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "cache/record.h"

/* Bytes of 7 bits that make 64. */
#define NUMBER_MAX_BYTES 10

void cache_number_add(buffer_t *dest, uint64_t number)
{
	while (number >= 0x80) {
		buffer_append_c(dest, (number & 0x7f) | 0x80);
		number >>= 7;
	}
	buffer_append_c(dest, number);
}

bool cache_number_next(const unsigned char **data, size_t *size,
		       uint64_t *number_r)
{
	uint64_t number = 0;
	size_t i;

	for (i = 0; i < *size && i < NUMBER_MAX_BYTES; i++) {
		unsigned char byte = (*data)[i];

		/* A number has one spelling: no zeros in front. There is room
		   for one bit of the tenth byte. */
		if ((byte == 0 && i > 0) ||
		    (byte > 1 && i == NUMBER_MAX_BYTES - 1))
			return FALSE;
		number |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			*data += i + 1;
			*size -= i + 1;
			*number_r = number;
			return TRUE;
		}
	}
	return FALSE;
}

void cache_item_add(buffer_t *items, enum cache_item_type type,
		    const void *data, size_t size)
{
	buffer_append_c(items, type);
	cache_number_add(items, size);
	buffer_append(items, data, size);
}

void cache_item_add_str(buffer_t *items, enum cache_item_type type,
			const char *str)
{
	cache_item_add(items, type, str, strlen(str) + 1);
}

void cache_item_add_number(buffer_t *items, enum cache_item_type type,
			   uint64_t number)
{
	unsigned char data[NUMBER_MAX_BYTES];
	buffer_t buf;

	buffer_create_from_data(&buf, data, sizeof(data));
	cache_number_add(&buf, number);
	cache_item_add(items, type, buf.data, buf.used);
}

int cache_item_next(const unsigned char **data, size_t *size,
		    struct cache_item *item_r)
{
	uint64_t item_size;

	if (*size == 0 || **data == 0)
		return 0;
	item_r->type = **data;
	*data += 1;
	*size -= 1;
	if (!cache_number_next(data, size, &item_size) || item_size > *size)
		return -1;
	item_r->data = *data;
	item_r->size = item_size;
	*data += item_size;
	*size -= item_size;
	return 1;
}

const char *cache_item_str(const struct cache_item *item)
{
	if (item->size == 0 ||
	    memchr(item->data, '\0', item->size) !=
	    item->data + item->size - 1)
		return NULL;
	return (const char *)item->data;
}

bool cache_item_number(const struct cache_item *item, uint64_t *number_r)
{
	const unsigned char *data = item->data;
	size_t size = item->size;

	return cache_number_next(&data, &size, number_r) && size == 0;
}
