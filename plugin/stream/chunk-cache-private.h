/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CHUNK_CACHE_PRIVATE_H
#define CHUNK_CACHE_PRIVATE_H

#include "stream/chunk-cache.h"

/* The AGE_CHUNK_SIZE bytes of a chunk, or NULL if it isn't there. Valid until
   the next call. */
const unsigned char *
age_chunk_cache_find(struct age_chunk_cache *cache, uint64_t index);
/* Copy a full chunk, which isn't the last and isn't there yet. */
void age_chunk_cache_add(struct age_chunk_cache *cache, uint64_t index,
			 const unsigned char *plain);

#endif
