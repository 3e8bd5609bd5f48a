/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "test-common.h"
#include "cache/record.h"
#include "hex.h"

static const struct {
	uint64_t number;
	const char *hex;
} numbers[] = {
	{ 0, "00" },
	{ 1, "01" },
	{ 0x7f, "7f" },
	{ 0x80, "8001" },
	{ 300, "ac02" },
	{ 0x3fff, "ff7f" },
	{ 0x4000, "808001" },
	{ 0x1fffff, "ffff7f" },
	{ 0x200000, "80808001" },
	{ 0xfffffff, "ffffff7f" },
	{ 0x10000000, "8080808001" },
	{ UINT32_MAX, "ffffffff0f" },
	{ 1ULL << 35, "808080808001" },
	{ 1ULL << 42, "80808080808001" },
	{ 1ULL << 49, "8080808080808001" },
	{ 1ULL << 56, "808080808080808001" },
	{ (1ULL << 63) - 1, "ffffffffffffffff7f" },
	{ 1ULL << 63, "80808080808080808001" },
	{ UINT64_MAX, "ffffffffffffffffff01" },
};

/* A copy of its exact size, so that valgrind sees reads beyond it. */
static unsigned char *copy_hex(const char *hex, size_t *size_r)
{
	*size_r = strlen(hex) / 2;
	return i_memdup(hex_bytes(hex), I_MAX(*size_r, 1));
}

/* Returns the bytes of the number, or -1. */
static int read_number(const char *hex, uint64_t *number_r)
{
	size_t size, left;
	unsigned char *bytes = copy_hex(hex, &size);
	const unsigned char *data = bytes;
	int ret = -1;

	left = size;
	if (cache_number_next(&data, &left, number_r)) {
		ret = size - left;
		test_assert(data == bytes + ret);
	}
	i_free(bytes);
	return ret;
}

static void test_cache_numbers(void)
{
	buffer_t *data = t_buffer_create(16);
	const char *cut;
	uint64_t number;
	unsigned int i;

	test_begin("cache number: borders");
	for (i = 0; i < N_ELEMENTS(numbers); i++) {
		const char *hex = numbers[i].hex;
		int size = strlen(hex) / 2;

		buffer_set_used_size(data, 0);
		cache_number_add(data, numbers[i].number);
		test_assert_idx(hex_equals(data->data, data->used, hex), i);
		test_assert_idx(read_number(hex, &number) == size &&
				number == numbers[i].number, i);
		/* whatever follows */
		test_assert_idx(read_number(t_strconcat(hex, "ff", NULL),
					    &number) == size &&
				number == numbers[i].number, i);
		cut = t_strndup(hex, strlen(hex) - 2);
		test_assert_idx(read_number(cut, &number) < 0, i);
	}
	test_end();
}

static void test_cache_numbers_bad(void)
{
	static const char *const tests[] = {
		"", "80", "ffff", "ffffffffffffffffff",
		/* more than 64 bits */
		"80808080808080808002", "ffffffffffffffffff02",
		"ffffffffffffffffff7f", "ffffffffffffffffff81",
		"8080808080808080808001", "ffffffffffffffffffffffff01",
		/* a number has one spelling */
		"8000", "808000", "ff00", "80808080808080808000",
	};
	uint64_t number;
	unsigned int i;

	test_begin("cache number: there is none");
	for (i = 0; i < N_ELEMENTS(tests); i++)
		test_assert_idx(read_number(tests[i], &number) < 0, i);
	test_end();
}

static void test_cache_items(void)
{
	buffer_t *items = t_buffer_create(1024);
	uint8_t large[300];
	const unsigned char *data;
	struct cache_item item;
	uint64_t number;
	size_t size;

	test_begin("cache item: round trip");
	memset(large, 0xff, sizeof(large));
	cache_item_add_str(items, CACHE_ITEM_ENVELOPE, "NIL");
	cache_item_add(items, 200, large, sizeof(large));
	cache_item_add_number(items, CACHE_ITEM_FLAGS, UINT64_MAX);
	cache_item_add(items, CACHE_ITEM_PARTS, "", 0);
	cache_item_add_str(items, CACHE_ITEM_SNIPPET, "");
	buffer_append_zero(items, 3);
	test_assert(hex_equals(items->data, 6 + 3, "02044e494c00" "c8ac02"));
	data = items->data;
	size = items->used;

	test_assert(cache_item_next(&data, &size, &item) == 1 &&
		    item.type == CACHE_ITEM_ENVELOPE);
	test_assert_strcmp(cache_item_str(&item), "NIL");
	test_assert(!cache_item_number(&item, &number));
	/* Types that aren't known are passed. */
	test_assert(cache_item_next(&data, &size, &item) == 1 &&
		    item.type == 200 && item.size == sizeof(large) &&
		    memcmp(item.data, large, sizeof(large)) == 0);
	test_assert(cache_item_next(&data, &size, &item) == 1 &&
		    item.type == CACHE_ITEM_FLAGS);
	test_assert(cache_item_number(&item, &number) && number == UINT64_MAX);
	test_assert(cache_item_next(&data, &size, &item) == 1 &&
		    item.type == CACHE_ITEM_PARTS && item.size == 0);
	test_assert(cache_item_str(&item) == NULL);
	test_assert(!cache_item_number(&item, &number));
	test_assert(cache_item_next(&data, &size, &item) == 1 &&
		    item.type == CACHE_ITEM_SNIPPET);
	test_assert_strcmp(cache_item_str(&item), "");
	test_assert(cache_item_next(&data, &size, &item) == 0);
	test_assert(data == CONST_PTR_OFFSET(items->data, items->used - 3) &&
		    size == 3);
	test_end();
}

static void test_cache_items_bad(void)
{
	static const struct {
		const char *hex;
		/* of the first item, and of what follows it */
		int first, second;
	} tests[] = {
		{ "", 0, 0 },
		{ "00", 0, 0 },
		{ "000501", 0, 0 },
		{ "05", -1, 0 },
		{ "0580", -1, 0 },
		{ "0501", -1, 0 },
		{ "050261", -1, 0 },
		{ "0500", 1, 0 },
		{ "05016105", 1, -1 },
		{ "05016105010061", 1, 1 },
		{ "ff0161ff0261", 1, -1 },
		{ "058000", -1, 0 },
		{ "05ffffffff0f61", -1, 0 },
		{ "05ffffffffffffffffff0161", -1, 0 },
		{ "05ffffffffffffffffff0261", -1, 0 },
	};
	const unsigned char *data;
	unsigned char *bytes;
	struct cache_item item;
	unsigned int i;
	size_t size;

	test_begin("cache item: cut, and longer than there is");
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		data = bytes = copy_hex(tests[i].hex, &size);
		test_assert_idx(cache_item_next(&data, &size, &item) ==
				tests[i].first, i);
		if (tests[i].first > 0)
			test_assert_idx(cache_item_next(&data, &size, &item) ==
					tests[i].second, i);
		i_free(bytes);
	}
	test_end();
}

static void test_cache_item_values(void)
{
	static const struct {
		const char *hex, *str;
		int number;
	} tests[] = {
		{ "", NULL, -1 },
		{ "00", "", 0 },
		{ "05", NULL, 5 },
		{ "6100", "a", -1 },
		{ "61", NULL, 0x61 },
		{ "6162", NULL, -1 },
		{ "610062", NULL, -1 },
		{ "61006200", NULL, -1 },
		{ "610000", NULL, -1 },
		{ "ac02", NULL, 300 },
		{ "ac0200", "\xac\x02", -1 },
		{ "ac", NULL, -1 },
	};
	struct cache_item item = { .type = CACHE_ITEM_BODY };
	unsigned char *bytes;
	uint64_t number;
	unsigned int i;
	bool ok;

	test_begin("cache item: strings and numbers");
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		item.data = bytes = copy_hex(tests[i].hex, &item.size);
		test_assert_strcmp_idx(cache_item_str(&item), tests[i].str, i);
		ok = cache_item_number(&item, &number);
		test_assert_idx(ok == (tests[i].number >= 0), i);
		test_assert_idx(!ok || number == (uint64_t)tests[i].number, i);
		i_free(bytes);
	}
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_cache_numbers,
		test_cache_numbers_bad,
		test_cache_items,
		test_cache_items_bad,
		test_cache_item_values,
		NULL
	};

	return test_run(test_functions);
}
