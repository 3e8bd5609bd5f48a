/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "fuzzer.h"
#include "crypto/secret.h"
#include "cache/header.h"
#include "cache/ranks.h"

/* Aims at cache_item_next(), cache_item_str(), cache_item_number(),
   cache_header_next_name(), cache_header_get_lines() and cache_ranks_get(), with the input as
   items: what is read and written again is the same bytes. And at
   cache_record_open(), with the input as a record, and with a record of the
   input that is damaged: it opens nothing but the authentic one. */

#define RECORD_OVERHEAD (1 + 24 + 16)

static const struct cache_record_place place = {
	.uid_validity = 0x01020304, .uid = 0x05060708, .slot = 3
};

/* The key of the corpus. */
static struct cache_key *get_key(void)
{
	static const guid_128_t guid = "mailbox of fuzz";
	static const uint8_t secret[AGE_X25519_KEY_SIZE] = "identity of fuzz";
	static struct cache_key *key = NULL;
	struct age_x25519_identity identity;
	const char *error;

	if (key != NULL)
		return key;
	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	age_x25519_identity_from_secret(secret, &identity);
	key = cache_key_init(&identity, guid);
	return key;
}

static void
check_header(const struct cache_item *item, buffer_t *written)
{
	const unsigned char *data = item->data;
	ARRAY_TYPE(cache_header_line) lines;
	const struct cache_header_line *line;
	size_t size = item->size;
	const char *name;
	uint8_t code;

	t_array_init(&lines, 4);
	if (!cache_header_next_name(&data, &size, &code, &name) ||
	    !cache_header_get_lines(data, size, &lines))
		return;
	array_foreach(&lines, line) {
		i_assert(line->number > 0 && line->text >= data &&
			 line->text + line->size <= item->data + item->size);
	}
	if (code != 0)
		name = cache_header_name(code);
	/* A header may have got its code later; and isn't written if it has
	   too long a name. */
	if (cache_header_code(name) != code ||
	    strlen(name) > CACHE_HEADER_NAME_MAX_SIZE)
		return;
	buffer_set_used_size(written, 0);
	cache_header_add(written, name, array_front(&lines),
			 array_count(&lines));
	i_assert(written->used > item->size &&
		 memcmp(CONST_PTR_OFFSET(written->data,
					 written->used - item->size),
			item->data, item->size) == 0);
}

static void check_absent(const struct cache_item *item)
{
	const unsigned char *data = item->data;
	size_t size = item->size;
	const char *name;
	uint8_t code;

	while (size > 0) {
		if (!cache_header_next_name(&data, &size, &code, &name))
			return;
		i_assert(code < CACHE_HEADER_CODE_COUNT);
		i_assert((code == 0) == (name != NULL));
		i_assert(data + size == item->data + item->size);
		i_assert(name == NULL ||
			 name + strlen(name) + 1 == (const char *)data);
	}
}

static void check_values(const struct cache_item *item, buffer_t *written)
{
	const char *str = cache_item_str(item);
	uint64_t number;

	i_assert(str == NULL || strlen(str) + 1 == item->size);
	if (!cache_item_number(item, &number))
		return;
	buffer_set_used_size(written, 0);
	cache_number_add(written, number);
	i_assert(written->used == item->size &&
		 memcmp(written->data, item->data, item->size) == 0);
}

static void
check_ranks(const struct cache_item *of_any_type, buffer_t *written)
{
	struct cache_item item = *of_any_type;
	ARRAY_TYPE(cache_rank) ranks;

	item.type = CACHE_ITEM_RANKS;
	i_array_init(&ranks, 16);
	if (cache_ranks_get(&item, &ranks)) {
		buffer_set_used_size(written, 0);
		cache_ranks_add(written, &ranks);
		i_assert(written->used > item.size &&
			 memcmp(CONST_PTR_OFFSET(written->data,
						 written->used - item.size),
				item.data, item.size) == 0);
	}
	array_free(&ranks);
}

static void check_items(const unsigned char *items, size_t items_size)
{
	buffer_t *all = buffer_create_dynamic(default_pool, 1024);
	buffer_t *written = buffer_create_dynamic(default_pool, 1024);
	const unsigned char *data = items;
	size_t size = items_size;
	struct cache_item item;

	while (cache_item_next(&data, &size, &item) > 0) {
		i_assert(item.data + item.size == data &&
			 data + size == items + items_size);
		check_values(&item, written);
		check_header(&item, written);
		check_absent(&item);
		check_ranks(&item, written);
		cache_item_add(all, item.type, item.data, item.size);
		i_assert(all->used == items_size - size &&
			 memcmp(all->data, items, all->used) == 0);
	}
	buffer_free(&written);
	buffer_free(&all);
}

/* Seal the input, and flip one bit of it. */
static void check_seal(const unsigned char *data, size_t size)
{
	buffer_t *record = buffer_create_dynamic(default_pool, 1024);
	buffer_t *items = buffer_create_dynamic(default_pool, 1024);
	size_t bit = 0, i;
	unsigned char *bytes;

	cache_record_seal(get_key(), &place, data, size, record);
	i_assert((record->used - RECORD_OVERHEAD) % 64 == 0);
	if (!cache_record_open(get_key(), &place, record->data, record->used,
			       items))
		i_unreached();
	i_assert(items->used >= size && items->used < size + 64);
	i_assert(memcmp(items->data, data, size) == 0);

	for (i = 0; i < size; i++)
		bit = bit * 31 + data[i];
	bit %= record->used * 8;
	bytes = buffer_get_modifiable_data(record, NULL);
	bytes[bit / 8] ^= 1 << bit % 8;
	buffer_set_used_size(items, 0);
	i_assert(!cache_record_open(get_key(), &place, record->data,
				    record->used, items));
	i_assert(items->used == 0);
	buffer_free(&items);
	buffer_free(&record);
}

static void check_open(const unsigned char *data, size_t size)
{
	buffer_t *items = buffer_create_dynamic(default_pool, 1024);

	buffer_append_c(items, 'x');
	if (cache_record_open(get_key(), &place, data, size, items)) {
		i_assert(items->used == 1 + size - RECORD_OVERHEAD);
		check_items(CONST_PTR_OFFSET(items->data, 1), items->used - 1);
	} else {
		i_assert(items->used == 1);
	}
	buffer_free(&items);
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	check_items(data, size);
	check_seal(data, size);
	check_open(data, size);
}
FUZZ_END
