/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "cache/record.h"
#include "hex.h"

#define RECORD_OVERHEAD (1 + 24 + 16)

static const struct cache_record_place place = {
	.uid_validity = 0x01020304, .uid = 0x05060708, .slot = 3
};

/* Made of bytes that count up from these. */
static struct cache_key *make_key(uint8_t secret, uint8_t guid)
{
	struct age_x25519_identity *identity = secret_alloc(sizeof(*identity));
	uint8_t bytes[AGE_X25519_KEY_SIZE];
	guid_128_t mailbox_guid;
	struct cache_key *key;
	void *memory = identity;
	unsigned int i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = secret + i;
	for (i = 0; i < sizeof(mailbox_guid); i++)
		mailbox_guid[i] = guid + i;
	age_x25519_identity_from_secret(bytes, identity);
	key = cache_key_init(identity, mailbox_guid);
	secret_free(&memory);
	return key;
}

/* Appends behind a byte: on failure nothing else is there, and nothing that was
   opened is left behind. */
static bool
open_at(const struct cache_key *key, const struct cache_record_place *where,
	const void *record, size_t size)
{
	uint8_t memory[8192];
	buffer_t items;
	bool ret;

	memset(memory, 0, sizeof(memory));
	buffer_create_from_data(&items, memory, sizeof(memory));
	buffer_append_c(&items, 'x');
	ret = cache_record_open(key, where, record, size, &items);
	test_assert(memory[0] == 'x');
	test_assert(items.used == (ret ? 1 + size - RECORD_OVERHEAD : 1));
	if (!ret)
		test_assert(is_zeroed(memory + 1, sizeof(memory) - 1));
	return ret;
}

static void test_cache_record_sizes(void)
{
	static const size_t sizes[] = {
		0, 1, 63, 64, 65, 127, 128, 129, 1000, 100000
	};
	struct cache_key *key = make_key(1, 0xa0);
	buffer_t *record = buffer_create_dynamic(default_pool, 1024);
	buffer_t *items = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = i_malloc(100000);
	unsigned int i;
	size_t padded;

	test_begin("cache record: sizes");
	memset(plain, 0x7f, 100000);
	for (i = 0; i < N_ELEMENTS(sizes); i++) {
		padded = (sizes[i] + 63) & ~(size_t)63;
		buffer_set_used_size(record, 0);
		buffer_append_c(record, 'x');
		cache_record_seal(key, &place, plain, sizes[i], record);
		test_assert_idx(record->used == 1 + RECORD_OVERHEAD + padded,
				i);
		buffer_set_used_size(items, 0);
		buffer_append_c(items, 'y');
		test_assert_idx(cache_record_open(
			key, &place, CONST_PTR_OFFSET(record->data, 1),
			record->used - 1, items), i);
		test_assert_idx(items->used == 1 + padded, i);
		test_assert_idx(memcmp(CONST_PTR_OFFSET(items->data, 1), plain,
				       sizes[i]) == 0, i);
		test_assert_idx(is_zeroed(
			CONST_PTR_OFFSET(items->data, 1 + sizes[i]),
			padded - sizes[i]), i);
	}
	i_free(plain);
	buffer_free(&items);
	buffer_free(&record);
	cache_key_deinit(&key);
	test_assert(key == NULL);
	test_end();
}

static void test_cache_record_nonces(void)
{
	struct cache_key *key = make_key(1, 0xa0);
	buffer_t *a = t_buffer_create(256), *b = t_buffer_create(256);

	test_begin("cache record: no two are the same");
	cache_record_seal(key, &place, "items", 5, a);
	cache_record_seal(key, &place, "items", 5, b);
	test_assert(a->used == b->used);
	test_assert(memcmp(CONST_PTR_OFFSET(a->data, 1),
			   CONST_PTR_OFFSET(b->data, 1), 24) != 0);
	test_assert(memcmp(CONST_PTR_OFFSET(a->data, 25),
			   CONST_PTR_OFFSET(b->data, 25), 64) != 0);
	cache_key_deinit(&key);
	test_end();
}

static void
check_other_key(const buffer_t *record, const struct cache_key *own,
		uint8_t secret, uint8_t guid)
{
	struct cache_key *key = make_key(secret, guid);

	test_assert(!open_at(key, &place, record->data, record->used));
	test_assert(strcmp(cache_key_name(key), cache_key_name(own)) != 0);
	cache_key_deinit(&key);
}

static void test_cache_record_places(void)
{
	const struct cache_record_place others[] = {
		{ place.uid_validity + 1, place.uid, place.slot },
		{ place.uid_validity ^ 0x80000000, place.uid, place.slot },
		{ place.uid_validity, place.uid - 1, place.slot },
		{ place.uid_validity, place.uid ^ 0x80000000, place.slot },
		{ place.uid_validity, place.uid, place.slot ^ 1 },
		{ place.uid_validity, place.uid, place.slot ^ 0x80 },
		{ place.uid, place.uid_validity, place.slot },
		{ 0, 0, 0 },
	};
	struct cache_key *key = make_key(1, 0xa0), *same = make_key(1, 0xa0);
	buffer_t *record = t_buffer_create(256);
	unsigned int i;

	test_begin("cache record: in another one's place");
	cache_record_seal(key, &place, "items", 5, record);
	test_assert(open_at(same, &place, record->data, record->used));
	test_assert_strcmp(cache_key_name(same), cache_key_name(key));
	for (i = 0; i < N_ELEMENTS(others); i++)
		test_assert_idx(!open_at(key, &others[i], record->data,
					 record->used), i);
	check_other_key(record, key, 2, 0xa0);
	check_other_key(record, key, 1, 0xa1);
	cache_key_deinit(&key);
	cache_key_deinit(&same);
	test_end();
}

static void test_cache_record_damage(void)
{
	struct cache_key *key = make_key(1, 0xa0);
	buffer_t *record = t_buffer_create(256);
	uint8_t *data, *copy;
	size_t i;

	test_begin("cache record: flip every bit, cut at every length");
	cache_record_seal(key, &place, "items", 5, record);
	data = buffer_get_modifiable_data(record, NULL);
	for (i = 0; i < record->used * 8; i++) {
		data[i / 8] ^= 1 << i % 8;
		test_assert_idx(!open_at(key, &place, data, record->used), i);
		data[i / 8] ^= 1 << i % 8;
	}
	for (i = 0; i < record->used; i++) {
		/* of its exact size, for valgrind */
		copy = i_malloc(I_MAX(i, 1));
		memcpy(copy, data, i);
		test_assert_idx(!open_at(key, &place, copy, i), i);
		i_free(copy);
	}
	test_assert(open_at(key, &place, data, record->used));
	buffer_append_c(record, 0);
	test_assert(!open_at(key, &place, record->data, record->used));
	cache_key_deinit(&key);
	test_end();
}

/* Records stand in files: this one, made in Python, opens for ever. */
static void test_cache_record_format(void)
{
	static const char *const record =
		"01404142434445464748494a4b4c4d4e4f5051525354555657f1f70b"
		"a5b86d36dcb682bbfb26729e24cec756014f8e25c66f9bfff0085cfa"
		"0dc17c473d52e67b9453f2be268338ad6bd452ffd67194dcd83c61d2"
		"3db171a83261ba2d2d7caffd9c435904488369ab95";
	/* snippet, virtual size 1234, and "Subject" in line 3 */
	static const char *const expected =
		"0509612077616c727573000902d209" "0c1a060103"
		"165375626a6563743a207365616c0a2077616c7275730a";
	struct cache_key *key = make_key(1, 0xa0);
	buffer_t *items = t_buffer_create(256);

	test_begin("cache record: the format");
	test_assert_strcmp(cache_key_name(key), "3222f4e1ea02c675");
	test_assert(cache_record_open(key, &place, hex_bytes(record),
				      strlen(record) / 2, items));
	test_assert(items->used == 64);
	test_assert(hex_equals(items->data, 43, expected));
	test_assert(is_zeroed(CONST_PTR_OFFSET(items->data, 43), 64 - 43));
	cache_key_deinit(&key);
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_cache_record_sizes,
		test_cache_record_nonces,
		test_cache_record_places,
		test_cache_record_damage,
		test_cache_record_format,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(test_functions);
}
