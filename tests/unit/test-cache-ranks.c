/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "test-common.h"
#include "cache/ranks.h"
#include "hex.h"

static const struct {
	const char *hex;
	unsigned int count;
	struct cache_rank ranks[3];
} lists[] = {
	{ "00", 0, {{ 0, 0 }} },
	{ "010100000001", 1, {{ 1, 1 }} },
	{ "01ffffffff0fffffffff", 1, {{ UINT32_MAX, UINT32_MAX }} },
	{ "03" "0180000000" "01" "40000000" "ac02" "80000000", 3,
	  {{ 1, 0x80000000 }, { 2, 0x40000000 }, { 302, 0x80000000 }} },
};

static const char *const malformed[] = {
	"", "01", "0101", "01010000", "0101000000",
	/* more than it says */
	"0000", "01010000000100", "01010000000101000000ff",
	/* fewer */
	"02" "0100000001", "ffffffffffffffffff01" "0100000001",
	/* a UID twice, and too large ones */
	"02" "0100000001" "0000000001", "01" "808080801000000001",
	"02" "0100000001" "ffffffff0f00000001",
	"02" "0100000001" "ffffffffffffffffff0100000001",
	/* no rank */
	"01" "0100000000",
	/* a number that has another spelling */
	"8100" "0100000001", "01" "810000000001",
};

/* In memory of its exact size, so that valgrind sees reads beyond it. */
static bool
get_ranks(const unsigned char *bytes, size_t size, ARRAY_TYPE(cache_rank) *ranks)
{
	unsigned char *data = i_memdup(bytes, I_MAX(size, 1));
	struct cache_item item = {
		.type = CACHE_ITEM_RANKS, .data = data, .size = size
	};
	bool ok = cache_ranks_get(&item, ranks);

	test_assert(ok || array_count(ranks) == 0);
	i_free(data);
	return ok;
}

static void test_cache_ranks(void)
{
	ARRAY_TYPE(cache_rank) ranks;
	const struct cache_rank *rank;
	buffer_t *items = t_buffer_create(64);
	const unsigned char *data, *bytes;
	struct cache_item item;
	size_t size, hex_size;
	unsigned int i, j;

	test_begin("cache ranks");
	t_array_init(&ranks, 4);
	for (i = 0; i < N_ELEMENTS(lists); i++) {
		array_clear(&ranks);
		array_append(&ranks, lists[i].ranks, lists[i].count);
		buffer_set_used_size(items, 0);
		cache_ranks_add(items, &ranks);
		data = items->data;
		size = items->used;
		test_assert_idx(cache_item_next(&data, &size, &item) == 1 &&
				size == 0, i);
		hex_size = strlen(lists[i].hex) / 2;
		bytes = hex_bytes(lists[i].hex);
		test_assert_idx(item.size == hex_size &&
				memcmp(item.data, bytes, hex_size) == 0, i);

		array_clear(&ranks);
		test_assert_idx(get_ranks(bytes, hex_size, &ranks), i);
		test_assert_idx(array_count(&ranks) == lists[i].count, i);
		for (j = 0; j < array_count(&ranks); j++) {
			rank = array_idx(&ranks, j);
			test_assert_idx(rank->uid == lists[i].ranks[j].uid &&
				rank->rank == lists[i].ranks[j].rank, i);
		}
		for (size = 0; size < hex_size; size++) {
			array_clear(&ranks);
			test_assert_idx(!get_ranks(bytes, size, &ranks), i);
		}
	}
	test_end();
}

static void test_cache_ranks_malformed(void)
{
	ARRAY_TYPE(cache_rank) ranks;
	struct cache_item item = { .type = CACHE_ITEM_PARTS };
	unsigned int i;

	test_begin("cache ranks: malformed");
	t_array_init(&ranks, 4);
	for (i = 0; i < N_ELEMENTS(malformed); i++) {
		test_assert_idx(!get_ranks(hex_bytes(malformed[i]),
					   strlen(malformed[i]) / 2, &ranks), i);
	}
	item.data = hex_bytes("00");
	item.size = 1;
	test_assert(!cache_ranks_get(&item, &ranks));
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_cache_ranks,
		test_cache_ranks_malformed,
		NULL
	};

	return test_run(test_functions);
}
