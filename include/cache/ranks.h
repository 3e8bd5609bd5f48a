/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CACHE_RANKS_H
#define CACHE_RANKS_H

#include "cache/record.h"

/* The ranks of a mailbox's messages by one SORT key, as Dovecot's index-sort
   numbers them: messages that are equal have the same. They are a
   CACHE_ITEM_RANKS in a record of their own, whose place has the UID 0.

	ranks = count (number), and for each, in ascending order of UIDs:
		UID minus the one before (number) | rank (4 bytes, big endian) */

struct cache_rank {
	uint32_t uid;
	/* Not 0 */
	uint32_t rank;
};
ARRAY_DEFINE_TYPE(cache_rank, struct cache_rank);

/* Append the item. */
void cache_ranks_add(buffer_t *items, const ARRAY_TYPE(cache_rank) *ranks);

/* Append the ranks of an item. Returns FALSE, and ranks is then empty, if it
   isn't one of ranks. */
bool cache_ranks_get(const struct cache_item *item,
		     ARRAY_TYPE(cache_rank) *ranks) ATTR_WARN_UNUSED_RESULT;

#endif
