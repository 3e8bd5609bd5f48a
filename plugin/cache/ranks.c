/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "byteorder.h"
#include "crypto/secret.h"
#include "cache/ranks.h"

#define RANK_SIZE sizeof(uint32_t)
/* With a UID's difference of one byte and of ten, which a number takes at most. */
#define ENTRY_MIN_SIZE (1 + RANK_SIZE)
#define ENTRY_MAX_SIZE (10 + RANK_SIZE)

void cache_ranks_add(buffer_t *items, const ARRAY_TYPE(cache_rank) *ranks)
{
	const struct cache_rank *rank;
	uint32_t uid = 0;
	uint8_t number[RANK_SIZE];
	buffer_t *data;

	data = buffer_create_dynamic(default_pool, 10 + array_count(ranks) *
				     ENTRY_MAX_SIZE);
	cache_number_add(data, array_count(ranks));
	array_foreach(ranks, rank) {
		i_assert(rank->uid > uid && rank->rank != 0);
		cache_number_add(data, rank->uid - uid);
		cpu32_to_be_unaligned(rank->rank, number);
		buffer_append(data, number, sizeof(number));
		uid = rank->uid;
	}
	cache_item_add(items, CACHE_ITEM_RANKS, data->data, data->used);
	secret_wipe(buffer_get_modifiable_data(data, NULL), data->used);
	buffer_free(&data);
}

static bool
next_rank(const unsigned char **data, size_t *size, struct cache_rank *rank)
{
	uint64_t distance;

	if (!cache_number_next(data, size, &distance) || distance == 0 ||
	    distance > UINT32_MAX - rank->uid || *size < RANK_SIZE)
		return FALSE;
	rank->uid += distance;
	rank->rank = be32_to_cpu_unaligned(*data);
	*data += RANK_SIZE;
	*size -= RANK_SIZE;
	return rank->rank != 0;
}

static bool
get_all(const unsigned char *data, size_t size, ARRAY_TYPE(cache_rank) *ranks)
{
	struct cache_rank rank = { .uid = 0 };
	uint64_t count;

	if (!cache_number_next(&data, &size, &count) ||
	    count > size / ENTRY_MIN_SIZE)
		return FALSE;
	for (; count > 0; count--) {
		if (!next_rank(&data, &size, &rank))
			return FALSE;
		array_push_back(ranks, &rank);
	}
	return size == 0;
}

bool cache_ranks_get(const struct cache_item *item,
		     ARRAY_TYPE(cache_rank) *ranks)
{
	if (item->type == CACHE_ITEM_RANKS &&
	    get_all(item->data, item->size, ranks))
		return TRUE;
	array_clear(ranks);
	return FALSE;
}
