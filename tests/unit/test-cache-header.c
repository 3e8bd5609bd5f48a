/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "cache/header.h"
#include "crypto/hash.h"
#include "hex.h"

#include <ctype.h>

static void test_cache_header_codes(void)
{
	const char *name, *p;
	unsigned int code;
	char *upper;

	test_begin("cache header: codes");
	for (code = 1; code < CACHE_HEADER_CODE_COUNT; code++) {
		name = cache_header_name(code);
		test_assert_idx(name != NULL, code);
		if (name == NULL)
			continue;
		/* of another code if the name stood twice */
		test_assert_idx(cache_header_code(name) == code, code);
		test_assert_idx(cache_header_code(t_str_lcase(name)) == code,
				code);
		upper = t_strdup_noconst(name);
		test_assert_idx(cache_header_code(str_ucase(upper)) == code,
				code);
		for (p = name; *p != '\0'; p++)
			test_assert_idx(i_isalnum(*p) || *p == '-', code);
		test_assert_idx(cache_header_code(t_strconcat(name, "-", NULL))
				== 0, code);
		test_assert_idx(cache_header_code(t_strndup(
			name, strlen(name) - 1)) == 0, code);
	}
	test_assert(cache_header_name(0) == NULL);
	for (; code <= UINT8_MAX; code++)
		test_assert_idx(cache_header_name(code) == NULL, code);
	test_assert(cache_header_code("") == 0);
	test_assert(cache_header_code("X-Walrus") == 0);
	test_assert(cache_header_code(" Subject") == 0);
	test_end();
}

/* They stand in files: what they are never changes. All are in this hash, by
   printf '%s\n' Date From … | b2sum -l 256. */
static void test_cache_header_codes_kept(void)
{
	string_t *names = t_str_new(1024);
	uint8_t hash[HASH_SIZE];
	unsigned int code;

	test_begin("cache header: codes never change");
	for (code = 1; code < CACHE_HEADER_CODE_COUNT; code++) {
		str_append(names, cache_header_name(code));
		str_append_c(names, '\n');
	}
	hash_blake2b(str_data(names), str_len(names), hash);
	test_assert(hex_equals(hash, sizeof(hash),
		"3a4c62305aa61958cc333d4de376a104"
		"24f996a7c8d07833c5a41f920821c9d1"));
	test_assert_strcmp(cache_header_name(6), "Subject");
	test_end();
}

#define LINE(number, text) \
	{ number, (const unsigned char *)text, sizeof(text) - 1 }

static const struct cache_header_line received[] = {
	LINE(1, "Received: from a\n\tby b\n"),
	LINE(2, "RECEIVED:\n"),
	LINE(300, "received : \0\xff\n"),
	LINE(UINT32_MAX, "Received: x"),
};

/* The name and the lines of an item. */
struct header {
	uint8_t code;
	const char *name;
	ARRAY_TYPE(cache_header_line) lines;
};

static bool parse_header(const struct cache_item *item, struct header *header_r)
{
	const unsigned char *data = item->data;
	size_t size = item->size;

	t_array_init(&header_r->lines, 1);
	return item->type == CACHE_ITEM_HEADER &&
		cache_header_next_name(&data, &size, &header_r->code,
				       &header_r->name) &&
		cache_header_get_lines(data, size, &header_r->lines);
}

static void
check_lines(const struct header *header, const struct cache_header_line *lines,
	    unsigned int count)
{
	const struct cache_header_line *line;
	unsigned int i;

	test_assert(array_count(&header->lines) == count);
	if (array_count(&header->lines) != count)
		return;
	for (i = 0; i < count; i++) {
		line = array_idx(&header->lines, i);
		test_assert_idx(line->number == lines[i].number, i);
		test_assert_idx(line->size == lines[i].size &&
				memcmp(line->text, lines[i].text,
				       line->size) == 0, i);
	}
}

static void test_cache_header_lines(void)
{
	const unsigned int count = N_ELEMENTS(received);
	buffer_t *items = t_buffer_create(256);
	const unsigned char *data;
	struct cache_item item;
	struct header header;
	unsigned int i;
	size_t size;

	test_begin("cache header: lines");
	for (i = 1; i <= count; i++)
		cache_header_add(items, "Received", received, i);
	cache_header_add(items, "SUBJECT", received, count);
	data = items->data;
	size = items->used;
	for (i = 1; i <= count; i++) {
		test_assert_idx(cache_item_next(&data, &size, &item) == 1, i);
		test_assert_idx(parse_header(&item, &header), i);
		test_assert_idx(header.code == 0, i);
		test_assert_strcmp_idx(header.name, "Received", i);
		check_lines(&header, received, i);
	}
	test_assert(cache_item_next(&data, &size, &item) == 1);
	test_assert(parse_header(&item, &header));
	test_assert(header.code == cache_header_code("Subject") &&
		    header.name == NULL);
	check_lines(&header, received, count);
	test_assert(cache_item_next(&data, &size, &item) == 0);
	test_end();
}

/* Further lines go behind those that are there. */
static void test_cache_header_appends(void)
{
	buffer_t *items = t_buffer_create(256);
	ARRAY_TYPE(cache_header_line) lines;
	const struct cache_header_line *line;
	const unsigned char *data;
	struct cache_item item;
	const char *name;
	unsigned int i;
	uint8_t code;
	size_t size;

	test_begin("cache header: lines are appended");
	t_array_init(&lines, 1);
	cache_header_add(items, "To", received, 2);
	for (i = 1; i <= 2; i++) {
		data = items->data;
		size = items->used;
		test_assert(cache_item_next(&data, &size, &item) == 1);
		test_assert(cache_header_next_name(&item.data, &item.size,
						   &code, &name));
		test_assert(cache_header_get_lines(item.data, item.size,
						   &lines));
		test_assert_idx(array_count(&lines) == 2 * i, i);
	}
	line = array_idx(&lines, 0);
	test_assert(memcmp(line[0].text, received[0].text,
			   received[0].size) == 0);
	test_assert(line[3].text == line[1].text);
	test_end();
}

static void test_cache_header_absent(void)
{
	static const char *const names[] = { "Subject", "X-Walrus", "", "to" };
	buffer_t *items = t_buffer_create(256), *all = t_buffer_create(256);
	const unsigned char *data;
	struct cache_item item;
	const char *name;
	unsigned int i;
	uint8_t code;
	size_t size;

	test_begin("cache header: absent ones");
	for (i = 0; i < N_ELEMENTS(names); i++)
		cache_header_add(items, names[i], NULL, 0);
	data = items->data;
	size = items->used;
	while (cache_item_next(&data, &size, &item) > 0) {
		test_assert(item.type == CACHE_ITEM_ABSENT_HEADERS);
		buffer_append(all, item.data, item.size);
	}
	/* in one item */
	data = all->data;
	size = all->used;
	for (i = 0; i < N_ELEMENTS(names); i++) {
		test_assert_idx(cache_header_next_name(&data, &size, &code,
						       &name), i);
		test_assert_idx(code == cache_header_code(names[i]), i);
		test_assert_strcmp_idx(name, code != 0 ? NULL : names[i], i);
	}
	test_assert(size == 0);
	test_assert(!cache_header_next_name(&data, &size, &code, &name));
	test_end();
}

static void test_cache_header_bad(void)
{
	static const char *const tests[] = {
		/* names: none, none of that code, without their end */
		"", "40", "ff", "00", "0041",
		/* cut: after the name, within and after the count, the number
		   and the size */
		"06", "0680", "0601", "060180", "060101", "06010180",
		"0602010101", "00410001",
		/* more lines than there can be */
		"06020101", "06ffffffffffffffffff0101014141",
		"06808080801001014141",
		/* text: none, too short, too long, for one or two lines */
		"06010101", "0601010241", "060101014141", "060201010201414141",
		"06020101020241", "060201010201" "41",
		/* sizes whose sum passes 64 bits */
		"06020102" "02ffffffffffffffffff01" "4141",
		/* a line's number that is none */
		"0601808080801001" "41", "0601000141",
		/* lines that are none: absent fields have an item of theirs */
		"0600", "060041",
	};
	struct cache_item item = { .type = CACHE_ITEM_HEADER };
	struct header header;
	unsigned char *bytes;
	unsigned int i;

	test_begin("cache header: malformed ones");
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		item.size = strlen(tests[i]) / 2;
		/* of its exact size, for valgrind */
		item.data = bytes = i_memdup(hex_bytes(tests[i]),
					     I_MAX(item.size, 1));
		test_assert_idx(!parse_header(&item, &header), i);
		i_free(bytes);
	}
	item.data = hex_bytes("0601010141");
	item.size = 5;
	test_assert(parse_header(&item, &header));
	test_end();
}

/* A name that is too long isn't cached. */
static void test_cache_header_long_name(void)
{
	buffer_t *items = t_buffer_create(256);
	char name[CACHE_HEADER_NAME_MAX_SIZE + 2];
	const unsigned char *data;
	struct cache_item item;
	struct header header;
	size_t size;

	test_begin("cache header: long names");
	memset(name, 'x', sizeof(name));
	name[CACHE_HEADER_NAME_MAX_SIZE + 1] = '\0';
	cache_header_add(items, name, received, 1);
	cache_header_add(items, name, NULL, 0);
	test_assert(items->used == 0);
	name[CACHE_HEADER_NAME_MAX_SIZE] = '\0';
	cache_header_add(items, name, received, 1);
	data = items->data;
	size = items->used;
	test_assert(cache_item_next(&data, &size, &item) == 1);
	test_assert(parse_header(&item, &header));
	test_assert_strcmp(header.name, name);
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_cache_header_codes,
		test_cache_header_codes_kept,
		test_cache_header_lines,
		test_cache_header_appends,
		test_cache_header_absent,
		test_cache_header_bad,
		test_cache_header_long_name,
		NULL
	};

	return test_run(test_functions);
}
