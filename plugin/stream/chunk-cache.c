/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "memarea.h"
#include "istream-age-private.h"
#include "chunk-cache-private.h"

/* A piece of 64 KiB lies in two chunks, and the next one begins in the second.
   Dovecot reads the piece before once more, too, to count line ends. */
#define CHUNKS_COUNT 2

struct age_chunk_cache {
	int refcount;
	/* The one used last comes first. */
	struct age_cached_chunk chunks[CHUNKS_COUNT];
};

struct age_chunk_cache *age_chunk_cache_init(void)
{
	struct age_chunk_cache *cache = i_new(struct age_chunk_cache, 1);

	cache->refcount = 1;
	return cache;
}

void age_chunk_cache_ref(struct age_chunk_cache *cache)
{
	i_assert(cache->refcount > 0);
	cache->refcount++;
}

void age_chunk_cache_unref(struct age_chunk_cache **_cache)
{
	struct age_chunk_cache *cache = *_cache;
	unsigned int i;

	*_cache = NULL;
	i_assert(cache->refcount > 0);
	if (--cache->refcount > 0)
		return;
	for (i = 0; i < CHUNKS_COUNT; i++) {
		/* the last reference wipes it */
		if (cache->chunks[i].area != NULL)
			memarea_unref(&cache->chunks[i].area);
	}
	i_free(cache);
}

static void move_to_front(struct age_chunk_cache *cache, unsigned int pos)
{
	struct age_cached_chunk chunk = cache->chunks[pos];

	memmove(cache->chunks + 1, cache->chunks, pos * sizeof(chunk));
	cache->chunks[0] = chunk;
}

const struct age_cached_chunk *
age_chunk_cache_find(struct age_chunk_cache *cache, uint64_t index)
{
	unsigned int i;

	for (i = 0; i < CHUNKS_COUNT; i++) {
		if (cache->chunks[i].area != NULL &&
		    cache->chunks[i].index == index) {
			move_to_front(cache, i);
			return &cache->chunks[0];
		}
	}
	return NULL;
}

void age_chunk_cache_add(struct age_chunk_cache *cache,
			 const struct age_cached_chunk *chunk)
{
	move_to_front(cache, CHUNKS_COUNT - 1);
	if (cache->chunks[0].area != NULL)
		memarea_unref(&cache->chunks[0].area);
	memarea_ref(chunk->area);
	cache->chunks[0] = *chunk;
}

void i_stream_age_set_cache(struct istream *input,
			    struct age_chunk_cache *cache)
{
	struct age_istream *astream = age_istream_cast(input);

	age_chunk_cache_ref(cache);
	if (astream->cache != NULL)
		age_chunk_cache_unref(&astream->cache);
	astream->cache = cache;
}
