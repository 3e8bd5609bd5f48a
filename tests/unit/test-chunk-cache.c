/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "istream.h"
#include "test-common.h"
#include "stream/chunk-cache.h"
#include "stream/istream-age.h"
#include "age-file.h"

#define CHUNKS_COUNT 5
#define READ_SIZE 4096
#define FILE_SIZE (CHUNKS_COUNT * AGE_CHUNK_SIZE - 100)

/* One file, which is opened anew for each piece. */
static struct {
	buffer_t *file;
	uint8_t *plain;
	size_t chunks_offset;
	struct age_chunk_cache *cache;
} t;

static void begin(const char *name)
{
	test_begin(name);
	t.file = buffer_create_dynamic(default_pool, 1024);
	t.plain = age_file_plain(FILE_SIZE);
	t.chunks_offset = age_file_seal(t.file, t.plain, FILE_SIZE);
	t.cache = age_chunk_cache_init();
}

static void end(void)
{
	age_chunk_cache_unref(&t.cache);
	test_assert(t.cache == NULL);
	buffer_free(&t.file);
	i_free(t.plain);
	test_end();
}

static struct istream *open_file(struct dribble_set *set)
{
	struct istream *parent, *input;

	parent = i_stream_create_dribble(set, t.file->data, t.file->used);
	input = i_stream_create_age(parent, age_file_open_key, NULL);
	i_stream_unref(&parent);
	i_stream_age_set_cache(input, t.cache);
	return input;
}

/* Returns 1 if the piece is read and right, 0 if it is wrong or short, -1 if the
   stream failed. Adds to *read_r what was read of the file. */
static int read_piece(uoff_t offset, size_t size, uoff_t *read_r)
{
	struct dribble_set set = { .step = READ_SIZE };
	struct istream *input = open_file(&set);
	const unsigned char *data;
	size_t done = 0, got;
	int ret = 1;

	i_stream_seek(input, offset);
	while (ret > 0 && done < size &&
	       i_stream_read_more(input, &data, &got) > 0) {
		got = I_MIN(got, size - done);
		if (memcmp(data, t.plain + offset + done, got) != 0)
			ret = 0;
		i_stream_skip(input, got);
		done += got;
	}
	if (input->stream_errno != 0)
		ret = -1;
	else if (done < size)
		ret = 0;
	i_stream_unref(&input);
	*read_r += set.bytes_read;
	return ret;
}

static void damage(uint64_t index)
{
	uint8_t *data = buffer_get_modifiable_data(t.file, NULL);

	data[t.chunks_offset + index * AGE_CHUNK_SEALED_SIZE + 10] ^= 1;
}

static void test_chunk_cache_pieces(void)
{
	static const size_t sizes[] = {
		1, 1000, 4096, 65535, 65536, 65537, 131072, 200000
	};
	unsigned int i;
	uoff_t offset, bytes_read = 0;

	begin("chunk cache: pieces");
	for (i = 0; i < N_ELEMENTS(sizes); i++) {
		size_t step = I_MAX(sizes[i], 999), size;

		for (offset = 0; offset < FILE_SIZE; offset += step) {
			size = I_MIN(sizes[i], FILE_SIZE - offset);
			test_assert_idx(read_piece(offset, size,
						   &bytes_read) == 1, i);
		}
	}
	end();
}

/* As Dovecot reads: each piece with the one before it. */
static void test_chunk_cache_once(void)
{
	/* The header each time, and up to a read more of each chunk. */
	const uoff_t limit = FILE_SIZE + 2 * CHUNKS_COUNT * READ_SIZE;
	const size_t piece = AGE_CHUNK_SIZE;
	uoff_t offset, bytes_read = 0;

	begin("chunk cache: each chunk is read once");
	for (offset = 1000; offset + 2 * piece < FILE_SIZE; offset += piece)
		test_assert(read_piece(offset, 2 * piece, &bytes_read) == 1);
	test_assert(bytes_read < limit);
	end();
}

/* What was authenticated stays so; what is not in the cache is read. */
static void test_chunk_cache_damage(void)
{
	uoff_t bytes_read = 0;
	uint64_t i;

	begin("chunk cache: damage");
	for (i = 0; i < 3; i++) {
		test_assert(read_piece(i * AGE_CHUNK_SIZE, 10,
				       &bytes_read) == 1);
	}
	for (i = 0; i < CHUNKS_COUNT; i++)
		damage(i);
	/* the two that were read last are there */
	test_assert(read_piece(1 * AGE_CHUNK_SIZE, 10, &bytes_read) == 1);
	test_assert(read_piece(2 * AGE_CHUNK_SIZE, 10, &bytes_read) == 1);
	test_assert(read_piece(0, 10, &bytes_read) == -1);
	test_assert(read_piece(3 * AGE_CHUNK_SIZE, 10, &bytes_read) == -1);
	/* and what failed has not come to be there */
	test_assert(read_piece(0, 10, &bytes_read) == -1);
	test_assert(read_piece(2 * AGE_CHUNK_SIZE, 10, &bytes_read) == 1);
	end();
}

/* The last chunk is the end of the file, which must be seen each time. */
static void test_chunk_cache_last(void)
{
	const uoff_t offset = (CHUNKS_COUNT - 1) * AGE_CHUNK_SIZE;
	uoff_t bytes_read = 0;

	begin("chunk cache: last chunk");
	test_assert(read_piece(offset, 10, &bytes_read) == 1);
	damage(CHUNKS_COUNT - 1);
	test_assert(read_piece(offset, 10, &bytes_read) == -1);
	end();
}

/* Two streams at once, one of which holds what the other reads on over. */
static void test_chunk_cache_shared(void)
{
	struct dribble_set set1 = { .step = 0 }, set2 = { .step = 0 };
	const unsigned char *data1, *data2;
	struct istream *input1, *input2;
	size_t size;
	uint64_t i;

	begin("chunk cache: streams that share a buffer");
	input1 = open_file(&set1);
	test_assert(i_stream_read_bytes(input1, &data1, &size, 100) > 0);
	input2 = open_file(&set2);
	for (i = 0; i < CHUNKS_COUNT; i++) {
		i_stream_seek(input2, i * AGE_CHUNK_SIZE);
		test_assert(i_stream_read_bytes(input2, &data2, &size,
						100) > 0 &&
			    memcmp(data2, t.plain + i * AGE_CHUNK_SIZE,
				   100) == 0);
		if (i == 0)
			test_assert(data2 == data1);
	}
	test_assert(memcmp(data1, t.plain, 100) == 0);
	i_stream_unref(&input1);
	i_stream_unref(&input2);
	end();
}

/* A reader that keeps bytes gets them in one row with the next chunk. */
static void test_chunk_cache_kept(void)
{
	struct dribble_set set = { .step = 0 };
	const unsigned char *data;
	struct istream *input;
	uoff_t bytes_read = 0;
	size_t size;

	begin("chunk cache: kept bytes");
	test_assert(read_piece(0, 2 * AGE_CHUNK_SIZE, &bytes_read) == 1);
	input = open_file(&set);
	i_stream_set_max_buffer_size(input, AGE_CHUNK_SIZE);
	i_stream_seek(input, AGE_CHUNK_SIZE - 50);
	test_assert(i_stream_read_bytes(input, &data, &size, 1000) > 0 &&
		    memcmp(data, t.plain + AGE_CHUNK_SIZE - 50, 1000) == 0);
	i_stream_unref(&input);
	test_assert(read_piece(0, 3 * AGE_CHUNK_SIZE, &bytes_read) == 1);
	end();
}

/* A stream that is synced wants to see the file as it is now. */
static void test_chunk_cache_sync(void)
{
	struct dribble_set set = { .step = 0 };
	const unsigned char *data;
	struct istream *input;
	uoff_t bytes_read = 0;
	size_t size;

	begin("chunk cache: sync");
	test_assert(read_piece(0, 100, &bytes_read) == 1);
	damage(0);
	input = open_file(&set);
	i_stream_sync(input);
	test_assert(i_stream_read_bytes(input, &data, &size, 1) < 0 &&
		    input->stream_errno == EINVAL);
	i_stream_unref(&input);
	end();
}

static void test_chunk_cache_references(void)
{
	struct dribble_set set = { .step = 0 };
	struct age_chunk_cache *cache;
	const unsigned char *data;
	struct istream *input;
	size_t size;

	begin("chunk cache: a stream keeps its cache");
	cache = t.cache;
	input = open_file(&set);
	age_chunk_cache_unref(&cache);
	t.cache = age_chunk_cache_init();
	i_stream_seek(input, AGE_CHUNK_SIZE);
	test_assert(i_stream_read_bytes(input, &data, &size, 1) > 0);
	i_stream_seek(input, 0);
	test_assert(i_stream_read_bytes(input, &data, &size, 1) > 0 &&
		    *data == t.plain[0]);
	i_stream_seek(input, AGE_CHUNK_SIZE);
	test_assert(i_stream_read_bytes(input, &data, &size, 1) > 0 &&
		    *data == t.plain[AGE_CHUNK_SIZE]);
	i_stream_unref(&input);
	end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_chunk_cache_pieces,
		test_chunk_cache_once,
		test_chunk_cache_damage,
		test_chunk_cache_last,
		test_chunk_cache_shared,
		test_chunk_cache_kept,
		test_chunk_cache_sync,
		test_chunk_cache_references,
		NULL
	};

	return test_run(test_functions);
}
