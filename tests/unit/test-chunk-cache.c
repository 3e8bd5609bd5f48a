/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "istream.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "stream/chunk-cache.h"
#include "stream/istream-age.h"
#include "age-file.h"

/* A file that is opened anew for each piece, as imap does, with a cache between
   the openings. */

#define PIECE_SIZE (64 * 1024)

static struct istream *
open_cached(const buffer_t *file, struct age_chunk_cache *cache,
	    struct dribble_set *set)
{
	struct istream *parent, *input;

	i_zero(set);
	set->max_buffer_size = 8192;
	parent = i_stream_create_dribble(set, file->data, file->used);
	input = i_stream_create_age(parent, age_file_open_key, NULL);
	i_stream_unref(&parent);
	if (cache != NULL)
		i_stream_age_set_cache(input, cache);
	return input;
}

/* Returns the number of bytes that are as in plain, or -1 on error. */
static int
read_piece(struct istream *input, uoff_t offset, const uint8_t *plain)
{
	const unsigned char *data;
	size_t size, done = 0;
	int ret = 0;

	i_stream_seek(input, offset);
	while (done < PIECE_SIZE &&
	       (ret = i_stream_read_more(input, &data, &size)) > 0) {
		if (size > PIECE_SIZE - done)
			size = PIECE_SIZE - done;
		if (memcmp(data, plain + offset + done, size) != 0)
			return -1;
		i_stream_skip(input, size);
		done += size;
	}
	return input->stream_errno != 0 ? -1 : (int)done;
}

/* Read a file in pieces that lie across the borders of chunks. Returns how many
   bytes of it were read. */
static uoff_t
read_all_pieces(const buffer_t *file, struct age_chunk_cache *cache,
		const uint8_t *plain, size_t plain_size)
{
	struct dribble_set set;
	struct istream *input;
	uoff_t offset, bytes_read = 0;

	for (offset = 100; offset + PIECE_SIZE <= plain_size;
	     offset += PIECE_SIZE) {
		input = open_cached(file, cache, &set);
		test_assert_idx(read_piece(input, offset, plain) == PIECE_SIZE,
				offset);
		i_stream_unref(&input);
		bytes_read += set.bytes_read;
	}
	return bytes_read;
}

static void test_chunk_cache_pieces(void)
{
	const size_t plain_size = 5 * AGE_CHUNK_SIZE + 1000;
	uint8_t *plain = age_file_plain(plain_size);
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	struct age_chunk_cache *cache = age_chunk_cache_init();
	uoff_t with_cache, without_cache;

	test_begin("chunk cache: a chunk isn't read again for the next piece");
	(void)age_file_seal(file, plain, plain_size);
	with_cache = read_all_pieces(file, cache, plain, plain_size);
	without_cache = read_all_pieces(file, NULL, plain, plain_size);
	/* Four chunks, of which the parent reads a little ahead. */
	test_assert(with_cache + 3 * AGE_CHUNK_SEALED_SIZE <= without_cache);
	age_chunk_cache_unref(&cache);
	test_assert(cache == NULL);
	buffer_free(&file);
	i_free(plain);
	test_end();
}

static void test_chunk_cache_damage(void)
{
	const size_t plain_size = 3 * AGE_CHUNK_SIZE;
	uint8_t *plain = age_file_plain(plain_size);
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	struct age_chunk_cache *cache = age_chunk_cache_init();
	struct dribble_set set;
	struct istream *input;
	size_t start;

	test_begin("chunk cache: what wasn't authenticated isn't in it");
	start = age_file_seal(file, plain, plain_size);
	((uint8_t *)buffer_get_modifiable_data(file, NULL))
		[start + AGE_CHUNK_SEALED_SIZE + 5] ^= 1;
	input = open_cached(file, cache, &set);
	test_assert(read_piece(input, 0, plain) == PIECE_SIZE);
	test_assert(read_piece(input, AGE_CHUNK_SIZE, plain) == -1);
	i_stream_unref(&input);
	/* The first chunk is there, the damaged one is not. */
	input = open_cached(file, cache, &set);
	test_assert(read_piece(input, 0, plain) == PIECE_SIZE);
	i_stream_unref(&input);
	input = open_cached(file, cache, &set);
	test_assert(read_piece(input, AGE_CHUNK_SIZE, plain) == -1);
	test_assert(i_stream_age_failure(input) == AGE_ISTREAM_BAD_PAYLOAD);
	i_stream_unref(&input);
	age_chunk_cache_unref(&cache);
	buffer_free(&file);
	i_free(plain);
	test_end();
}

static void test_chunk_cache_references(void)
{
	uint8_t *plain = age_file_plain(2 * AGE_CHUNK_SIZE);
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	struct age_chunk_cache *cache = age_chunk_cache_init();
	struct dribble_set set;
	struct istream *input;

	test_begin("chunk cache: a stream keeps its cache");
	(void)age_file_seal(file, plain, 2 * AGE_CHUNK_SIZE);
	input = open_cached(file, cache, &set);
	age_chunk_cache_unref(&cache);
	test_assert(read_piece(input, 0, plain) == PIECE_SIZE);
	test_assert(read_piece(input, PIECE_SIZE, plain) == PIECE_SIZE);
	test_assert(read_piece(input, 0, plain) == PIECE_SIZE);
	i_stream_unref(&input);
	buffer_free(&file);
	i_free(plain);
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_chunk_cache_pieces,
		test_chunk_cache_damage,
		test_chunk_cache_references,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(test_functions);
}
