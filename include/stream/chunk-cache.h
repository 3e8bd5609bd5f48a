/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STREAM_CHUNK_CACHE_H
#define STREAM_CHUNK_CACHE_H

/* The two chunks of one file that were opened last: for a reader who opens the
   file anew for each piece that is read. What it holds was authenticated, and
   is plaintext: it is wiped when the last reference goes. */

struct istream;
struct age_chunk_cache;

struct age_chunk_cache *age_chunk_cache_init(void);
void age_chunk_cache_ref(struct age_chunk_cache *cache);
/* Set *cache to NULL. */
void age_chunk_cache_unref(struct age_chunk_cache **cache);

/* Let a stream of i_stream_create_age() take chunks from the cache, and put in
   those that it opens. The caller sees to it that a cache serves one file. The
   stream references the cache. */
void i_stream_age_set_cache(struct istream *input,
			    struct age_chunk_cache *cache);

#endif
