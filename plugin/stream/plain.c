/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "memarea.h"
#include "crypto/secret.h"
#include "istream-age-private.h"
#include "chunk-cache-private.h"

/* What a buffer has beyond a chunk where the reader kept bytes of the one
   before: a reader that does so once will do so again, with a few more. */
#define KEPT_SLACK 1024

/* The buffer behind the stream's memarea. */
struct age_plain {
	/* used: bytes that ever held plaintext, to be wiped. */
	size_t capacity, used;
	unsigned char data[];
};

static void plain_free(struct age_plain *plain)
{
	secret_wipe(plain->data, plain->used);
	i_free(plain);
}

/* Takes the reference to area. */
static void
use_buffer(struct age_istream *astream, struct age_plain *plain,
	   struct memarea *area)
{
	struct istream_private *stream = &astream->istream;

	if (stream->memarea != NULL)
		memarea_unref(&stream->memarea);
	stream->memarea = area;
	/* buffer_size stays 0: i_stream_next_line() would else write NULs into
	   the chunk, which may be read once more. */
	stream->buffer = stream->w_buffer = plain->data;
	astream->plain = plain;
}

/* Make room for size bytes behind what the reader has not skipped yet, and drop
   what it has. Snapshots and the cache keep the old buffer, if it is theirs. */
static unsigned char *make_room(struct age_istream *astream, size_t size)
{
	struct istream_private *stream = &astream->istream;
	size_t kept = stream->pos - stream->skip;
	struct age_plain *plain = astream->plain;

	if (stream->w_buffer == NULL || plain->capacity < kept + size ||
	    memarea_get_refcount(stream->memarea) > 1) {
		size_t capacity = kept + size + (kept > 0 ? KEPT_SLACK : 0);

		plain = i_malloc(sizeof(*plain) + capacity);
		plain->capacity = capacity;
	}
	if (kept > 0)
		memmove(plain->data, stream->buffer + stream->skip, kept);
	plain->used = I_MAX(plain->used, kept + size);

	if (stream->w_buffer == NULL || plain != astream->plain) {
		use_buffer(astream, plain,
			   memarea_init(plain->data, plain->capacity,
					plain_free, plain));
	}
	stream->skip = 0;
	stream->pos = kept;
	astream->plain_offset = stream->istream.v_offset;
	astream->plain_size = kept;
	return plain->data + kept;
}

/* There are size bytes of plaintext more, of this chunk. */
static void
add_plain(struct age_istream *astream, uint64_t index, size_t size)
{
	if (astream->plain_size == 0)
		astream->plain_offset = index * AGE_CHUNK_SIZE;
	astream->plain_size += size;
	astream->next_index = index + 1;
}

/* Only where a chunk alone is in the buffer. */
static bool load_cached(struct age_istream *astream, uint64_t index)
{
	struct istream_private *stream = &astream->istream;
	const struct age_cached_chunk *chunk;

	if (astream->cache == NULL || stream->pos > stream->skip)
		return FALSE;
	chunk = age_chunk_cache_find(astream->cache, index);
	if (chunk == NULL)
		return FALSE;
	memarea_ref(chunk->area);
	use_buffer(astream, chunk->plain, chunk->area);
	stream->skip = stream->pos = 0;
	astream->plain_size = 0;
	add_plain(astream, index, AGE_CHUNK_SIZE);
	return TRUE;
}

static void keep_in_cache(struct age_istream *astream, uint64_t index)
{
	struct age_cached_chunk chunk = {
		.index = index,
		.area = astream->istream.memarea,
		.plain = astream->plain,
	};

	if (astream->cache != NULL && astream->plain_size == AGE_CHUNK_SIZE)
		age_chunk_cache_add(astream->cache, &chunk);
}

int age_istream_load_chunk(struct age_istream *astream, uint64_t index,
			   bool *found_r)
{
	const unsigned char *sealed;
	unsigned char *plain;
	size_t size, plain_size;
	bool more;
	int ret;

	if (load_cached(astream, index)) {
		*found_r = TRUE;
		return 1;
	}
	ret = age_istream_read_sealed(astream, index, &sealed, &size, &more);
	if (ret <= 0)
		return ret;
	*found_r = size > 0;
	if (size == 0)
		return 1;

	plain_size = size < AGE_CHUNK_TAG_SIZE ? 0 : size - AGE_CHUNK_TAG_SIZE;
	plain = make_room(astream, plain_size);
	if (age_istream_open_chunk(astream, index, sealed, size, more,
				   plain) < 0)
		return -1;
	add_plain(astream, index, plain_size);
	if (more)
		keep_in_cache(astream, index);
	return 1;
}

int age_istream_check_chunk(struct age_istream *astream, uint64_t index,
			    bool *found_r)
{
	const unsigned char *sealed;
	unsigned char *plain;
	size_t size;
	bool more;
	int ret;

	ret = age_istream_read_sealed(astream, index, &sealed, &size, &more);
	if (ret <= 0)
		return ret;
	*found_r = size > 0;
	if (size == 0)
		return 1;

	plain = i_malloc(AGE_CHUNK_SIZE);
	ret = age_istream_open_chunk(astream, index, sealed, size, more,
				     plain);
	secret_wipe(plain, AGE_CHUNK_SIZE);
	i_free(plain);
	return ret;
}
