/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CHUNK_CACHE_PRIVATE_H
#define CHUNK_CACHE_PRIVATE_H

#include "stream/chunk-cache.h"

struct memarea;
struct age_plain;

/* A full chunk which isn't the last: the first AGE_CHUNK_SIZE bytes of a buffer
   that streams and the cache share, each with a reference. */
struct age_cached_chunk {
	uint64_t index;
	/* NULL in an entry that isn't used. */
	struct memarea *area;
	struct age_plain *plain;
};

/* NULL if it isn't there. Valid until the next call. */
const struct age_cached_chunk *
age_chunk_cache_find(struct age_chunk_cache *cache, uint64_t index);
/* Add a chunk that isn't there yet. References area. */
void age_chunk_cache_add(struct age_chunk_cache *cache,
			 const struct age_cached_chunk *chunk);

#endif
