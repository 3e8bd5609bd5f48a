/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "istream.h"
#include "test-common.h"
#include "stream/istream-age.h"
#include "age-file.h"
#include "under-valgrind.h"

#include <ctype.h>

/* Read until the stream ends or fails. Returns the number of bytes delivered,
   or SIZE_MAX if one of them is wrong. */
static size_t read_all(struct istream *input, const uint8_t *plain)
{
	const unsigned char *data;
	size_t size, total = 0;

	while (i_stream_read(input) > 0) {
		data = i_stream_get_data(input, &size);
		if (memcmp(data, plain + total, size) != 0)
			return SIZE_MAX;
		i_stream_skip(input, size);
		total += size;
	}
	return total;
}

struct outcome {
	enum age_istream_failure failure;
	size_t delivered;
};

/* Damaged data must fail, for a reader that reads all, for one that asks for
   the size first and for one that never sees the end. */
static struct outcome
read_damaged(const void *data, size_t size, const uint8_t *plain, bool rescue)
{
	struct dribble_set set = { .step = 0 };
	struct istream *parent = i_stream_create_dribble(&set, data, size);
	struct istream *input;
	struct outcome outcome;
	uoff_t known;

	input = i_stream_create_age(parent, age_file_open_key, NULL);
	if (rescue)
		i_stream_age_set_rescue(input);
	outcome.delivered = read_all(input, plain);
	outcome.failure = i_stream_age_failure(input);
	test_assert(input->eof);
	test_assert((input->stream_errno != 0) ==
		    (outcome.failure != AGE_ISTREAM_OK));
	if (outcome.failure != AGE_ISTREAM_OK) {
		test_assert(*i_stream_get_error(input) != '\0');
		/* Once failed is failed. */
		input->stream_errno = 0;
		i_stream_seek(input, 0);
		test_assert(i_stream_get_size(input, TRUE, &known) < 0 ||
			    i_stream_read(input) < 0);
		test_assert(i_stream_read(input) == -1 &&
			    input->stream_errno == EINVAL);
		test_assert(i_stream_age_failure(input) == outcome.failure);
	}
	i_stream_unref(&input);
	i_stream_seek(parent, 0);

	input = i_stream_create_age(parent, age_file_open_key, NULL);
	if (outcome.failure != AGE_ISTREAM_OK && !rescue)
		test_assert(i_stream_age_verify(input) < 0 &&
			    i_stream_age_failure(input) == outcome.failure);
	i_stream_unref(&input);
	i_stream_unref(&parent);
	return outcome;
}

static void test_damage_cut(void)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	const size_t plain_size = 2 * AGE_CHUNK_SIZE + 100;
	uint8_t *plain = age_file_plain(plain_size);
	struct outcome outcome;
	size_t i, start, chunk, left;

	test_begin("istream age: cut at every length");
	start = age_file_seal(file, plain, 100);
	for (i = 0; i < file->used; i++) {
		/* A copy, so that valgrind sees reads beyond it. */
		void *copy = i_malloc(i + 1);

		memcpy(copy, file->data, i);
		outcome = read_damaged(copy, i, plain, FALSE);
		test_assert_idx(outcome.delivered == 0, i);
		test_assert_idx(outcome.failure ==
				(i < start ? AGE_ISTREAM_BAD_HEADER :
				 AGE_ISTREAM_BAD_PAYLOAD), i);
		i_free(copy);
	}
	test_end();

	test_begin("istream age: cut near the borders of chunks");
	buffer_set_used_size(file, 0);
	start = age_file_seal(file, plain, plain_size);
	for (i = start; i < file->used; i++) {
		chunk = (i - start) / AGE_CHUNK_SEALED_SIZE;
		left = (i - start) % AGE_CHUNK_SEALED_SIZE;
		if (left > 20 && left < AGE_CHUNK_SEALED_SIZE - 20 && chunk < 2)
			continue;
		outcome = read_damaged(file->data, i, plain, FALSE);
		/* The last chunk there is isn't delivered when it is whole
		   either, for it must be marked as the last. */
		if (left == 0 && chunk > 0)
			chunk--;
		test_assert_idx(outcome.delivered == chunk * AGE_CHUNK_SIZE, i);
		test_assert_idx(outcome.failure == AGE_ISTREAM_BAD_PAYLOAD, i);
	}
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_damage_flip(void)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	const size_t plain_size = 2 * AGE_CHUNK_SIZE + 100;
	uint8_t *plain = age_file_plain(plain_size), *data;
	struct outcome outcome;
	size_t i, start, chunk, left;

	test_begin("istream age: flip every bit");
	start = age_file_seal(file, plain, 100);
	data = buffer_get_modifiable_data(file, NULL);
	for (i = 0; i < file->used * 8; i += test_step()) {
		data[i / 8] ^= 1 << i % 8;
		outcome = read_damaged(data, file->used, plain, FALSE);
		data[i / 8] ^= 1 << i % 8;
		test_assert_idx(outcome.delivered == 0, i);
		test_assert_idx(outcome.failure ==
				(i / 8 < start - AGE_PAYLOAD_NONCE_SIZE ?
				 AGE_ISTREAM_BAD_HEADER :
				 AGE_ISTREAM_BAD_PAYLOAD), i);
	}
	outcome = read_damaged(data, file->used, plain, FALSE);
	test_assert(outcome.failure == AGE_ISTREAM_OK &&
		    outcome.delivered == 100);
	test_end();

	test_begin("istream age: flip bytes near the borders of chunks");
	buffer_set_used_size(file, 0);
	start = age_file_seal(file, plain, plain_size);
	data = buffer_get_modifiable_data(file, NULL);
	for (i = start; i < file->used; i++) {
		chunk = (i - start) / AGE_CHUNK_SEALED_SIZE;
		left = (i - start) % AGE_CHUNK_SEALED_SIZE;
		if (left > 3 && left < AGE_CHUNK_SEALED_SIZE - 20 && chunk < 2)
			continue;
		data[i] ^= 1;
		outcome = read_damaged(data, file->used, plain, FALSE);
		data[i] ^= 1;
		test_assert_idx(outcome.delivered == chunk * AGE_CHUNK_SIZE, i);
		test_assert_idx(outcome.failure == AGE_ISTREAM_BAD_PAYLOAD, i);
	}
	test_end();

	i_free(plain);
	buffer_free(&file);
}

/* Files as rows of chunks: the letter is the chunk's place for its nonce and
   what it holds, upper case has the mark of the last. A small letter or a
   capital is a whole chunk; behind '.' it is one of 100 bytes. "!" is a byte of
   garbage, "*" 70000 of them. */
static void make_file(buffer_t *file, const char *chunks, const uint8_t *plain)
{
	static const char garbage[70000];
	size_t size = AGE_CHUNK_SIZE;
	unsigned int index;

	buffer_set_used_size(file, 0);
	age_file_header(file, 32);
	for (; *chunks != '\0'; chunks++) {
		switch (*chunks) {
		case '.':
			size = 100;
			continue;
		case ',':
			size = 0;
			continue;
		case '!':
			buffer_append(file, garbage, 1);
			continue;
		case '*':
			buffer_append(file, garbage, sizeof(garbage));
			continue;
		}
		index = i_tolower(*chunks) - 'a';
		age_file_chunk(file, index, i_isupper(*chunks) ?
			       AGE_CHUNK_LAST : AGE_CHUNK_MIDDLE,
			       plain + index * AGE_CHUNK_SIZE, size);
		size = AGE_CHUNK_SIZE;
	}
}

static void test_damage_chunks(void)
{
	static const struct {
		const char *name, *chunks;
		/* Chunks that are delivered; with rescue. -1: not damaged */
		int delivered, rescued;
	} tests[] = {
		{ "one whole", "A", -1, -1 },
		{ "two whole", "aB", -1, -1 },
		{ "one and a part", "a.B", -1, -1 },
		{ "none", "", 0, 0 },
		{ "swapped", "baC", 0, 0 },
		{ "swapped last", "aCb", 1, 1 },
		{ "twice", "aabC", 1, 1 },
		{ "last twice", "aBB", 1, 2 },
		{ "first missing", "bC", 0, 0 },
		{ "middle missing", "acD", 1, 1 },
		{ "cut after the first", "a", 0, 1 },
		{ "cut after the second", "ab", 1, 2 },
		{ "cut after a part", "a.b", 1, 1 },
		{ "continued, marked", "aBC", 1, 2 },
		{ "continued, not marked", "aBcD", 1, 2 },
		{ "continued from the first", "Ab", 0, 1 },
		{ "part continued", "a.BC", 1, 1 },
		{ "part continued by a part", ".A.B", 0, 0 },
		{ "part in between", "a.bC", 1, 1 },
		{ "byte behind", "A!", 0, 1 },
		{ "byte behind a part", ".A!", 0, 0 },
		{ "garbage behind", "aB*", 1, 2 },
		{ "garbage behind a part", "a.B*", 1, 1 },
		{ "garbage before", "*A", 0, 0 },
		{ "empty last", "a,B", 1, 1 },
		{ "empty behind last", "A,B", 0, 1 },
		{ "empty middle", "a,bC", 1, 1 },
		{ "all empty, not marked", ",a", 0, 0 },
	};
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(4 * AGE_CHUNK_SIZE);
	struct outcome outcome;
	unsigned int i;

	test_begin("istream age: chunks that are out of place");
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		make_file(file, tests[i].chunks, plain);
		outcome = read_damaged(file->data, file->used, plain, FALSE);
		test_out_quiet(tests[i].name, tests[i].delivered < 0 ?
			outcome.failure == AGE_ISTREAM_OK :
			outcome.failure == AGE_ISTREAM_BAD_PAYLOAD &&
			outcome.delivered ==
				tests[i].delivered * AGE_CHUNK_SIZE);
		outcome = read_damaged(file->data, file->used, plain, TRUE);
		test_out_quiet(t_strconcat(tests[i].name, ", rescued", NULL),
			tests[i].delivered < 0 ?
			outcome.failure == AGE_ISTREAM_OK :
			outcome.failure == AGE_ISTREAM_BAD_PAYLOAD &&
			outcome.delivered ==
				tests[i].rescued * AGE_CHUNK_SIZE);
	}
	test_end();

	i_free(plain);
	buffer_free(&file);
}

/* The reader stops at the size it knows: the damage must show before. */
static void test_damage_known_size(void)
{
	static const char *const tests[] = { "aB", "A", "a.B", ".A" };
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(4 * AGE_CHUNK_SIZE);
	const unsigned char *data;
	struct dribble_set set = { .step = 0 };
	struct istream *parent, *input;
	size_t size;
	unsigned int i, act;

	test_begin("istream age: damage at the end, reader stops at the size");
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		for (act = 0; act < 4; act++) {
			make_file(file, tests[i], plain);
			if (act == 0)
				buffer_append_c(file, 0);
			else if (act == 1)
				buffer_append(file, plain, 100000);
			else if (act == 2)
				buffer_set_used_size(file, file->used - 1);
			else
				((uint8_t *)buffer_get_modifiable_data(
					file, NULL))[file->used - 1] ^= 0x80;
			parent = i_stream_create_dribble(&set, file->data,
							 file->used);
			input = i_stream_create_age(parent, age_file_open_key,
						    NULL);
			i_stream_seek(input, tests[i][0] == 'a' ?
				      AGE_CHUNK_SIZE : 0);
			test_assert_idx(i_stream_read_bytes(input, &data,
							    &size, 1) == -1 &&
					size == 0 &&
					input->stream_errno == EINVAL, i);
			i_stream_unref(&input);
			i_stream_unref(&parent);
		}
	}
	test_end();

	i_free(plain);
	buffer_free(&file);
}

/* What the reader holds is good, and stays while the next chunk fails. */
static void test_damage_keeps_data(void)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(4 * AGE_CHUNK_SIZE);
	struct dribble_set set = { .step = 0 };
	struct istream *parent, *input;
	const unsigned char *data;
	size_t size;

	test_begin("istream age: data stays where the next chunk is damaged");
	/* Small, so that it would fit the buffer that is there. */
	make_file(file, "a.C", plain);
	parent = i_stream_create_dribble(&set, file->data, file->used);
	input = i_stream_create_age(parent, age_file_open_key, NULL);
	i_stream_set_max_buffer_size(input, 2 * AGE_CHUNK_SIZE);
	test_assert(i_stream_read(input) == AGE_CHUNK_SIZE);
	i_stream_skip(input, AGE_CHUNK_SIZE - 40000);
	data = i_stream_get_data(input, &size);
	test_assert(i_stream_read(input) == -1 &&
		    input->stream_errno == EINVAL);
	test_assert(memcmp(data, plain + AGE_CHUNK_SIZE - 40000, 40000) == 0);
	data = i_stream_get_data(input, &size);
	test_assert(size == 40000 &&
		    memcmp(data, plain + AGE_CHUNK_SIZE - 40000, 40000) == 0);
	i_stream_unref(&input);
	i_stream_unref(&parent);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_damage_size(void)
{
	/* Bytes that are cut off, and whether the size alone tells. */
	static const struct {
		size_t cut;
		bool told;
	} tests[] = {
		{ 1, FALSE }, { 99, FALSE }, { 100, TRUE }, { 115, TRUE },
		{ 116, FALSE }, { 117, FALSE }, { 65652, FALSE },
		{ 65653, TRUE }, { 65668, TRUE },
	};
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(4 * AGE_CHUNK_SIZE);
	unsigned int i;

	test_begin("istream age: size of a file that is cut");
	make_file(file, "a.B", plain);
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		struct dribble_set set = { .step = 0 };
		struct istream *parent, *input;
		uoff_t size;

		parent = i_stream_create_dribble(&set, file->data,
						 file->used - tests[i].cut);
		input = i_stream_create_age(parent, age_file_open_key, NULL);
		test_assert_idx(i_stream_get_size(input, FALSE, &size) ==
				(tests[i].told ? 0 : 1), i);
		test_assert_idx(i_stream_get_size(input, TRUE, &size) == -1 &&
				input->stream_errno == EINVAL, i);
		test_assert_idx(i_stream_age_failure(input) ==
				AGE_ISTREAM_BAD_PAYLOAD, i);
		i_stream_unref(&input);
		i_stream_unref(&parent);
	}
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_damage_header(void)
{
	static const struct {
		const char *name;
		const char *begin;
		size_t body_size;
		enum age_istream_failure failure;
	} tests[] = {
		{ "largest", NULL, 190000, AGE_ISTREAM_OK },
		{ "too large", NULL, 200000, AGE_ISTREAM_BAD_HEADER },
		{ "of megabytes", NULL, 3000000, AGE_ISTREAM_BAD_HEADER },
		{ "without end", "age-encryption.org/v1\n-> X25519 ", 0,
		  AGE_ISTREAM_BAD_HEADER },
		{ "version 2", "age-encryption.org/v2\n", 0,
		  AGE_ISTREAM_BAD_HEADER },
		{ "mail", "From: me\n", 0, AGE_ISTREAM_BAD_HEADER },
		{ "empty", "\n", 0, AGE_ISTREAM_BAD_HEADER },
	};
	uint8_t *plain = age_file_plain(100);
	unsigned int i;

	test_begin("istream age: headers");
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		buffer_t *file = buffer_create_dynamic(default_pool, 1024);
		struct dribble_set set = { .max_buffer_size = 100 };
		struct istream *parent, *input;

		if (tests[i].begin == NULL) {
			age_file_header(file, tests[i].body_size);
			age_file_chunk(file, 0, AGE_CHUNK_LAST, plain, 100);
		} else {
			buffer_append(file, tests[i].begin,
				      strlen(tests[i].begin));
			while (file->used < 2000000)
				buffer_append_c(file, 'a');
		}
		parent = i_stream_create_dribble(&set, file->data, file->used);
		input = i_stream_create_age(parent, age_file_open_key, NULL);
		test_out_quiet(tests[i].name,
			read_all(input, plain) ==
			(tests[i].failure == AGE_ISTREAM_OK ? 100 : 0) &&
			i_stream_age_failure(input) == tests[i].failure);
		test_assert_idx(set.high_offset <= AGE_HEADER_MAX_SIZE + 4096 &&
				set.high_buffer_size <=
				AGE_HEADER_MAX_SIZE + 4096, i);
		i_stream_unref(&input);
		i_stream_unref(&parent);
		buffer_free(&file);
	}
	test_end();
	i_free(plain);
}

struct answer {
	int ret;
	const char *error;
	unsigned int calls;
};

static int
answer_open_key(const struct age_header *header ATTR_UNUSED,
		uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		const char **error_r, void *context)
{
	struct answer *answer = context;

	answer->calls++;
	memset(file_key_r, 'x', AGE_FILE_KEY_SIZE);
	if (answer->error != NULL)
		*error_r = answer->error;
	return answer->ret;
}

static void test_damage_open_key(void)
{
	static const struct {
		int ret;
		const char *error, *text;
		enum age_istream_failure failure;
	} tests[] = {
		{ 0, NULL, "No identity opens it", AGE_ISTREAM_NO_IDENTITY },
		{ 0, "locked", "locked", AGE_ISTREAM_NO_IDENTITY },
		{ -1, "MAC", "MAC", AGE_ISTREAM_BAD_HEADER },
		{ 1, NULL, NULL, AGE_ISTREAM_BAD_PAYLOAD },
	};
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(100);
	unsigned int i;
	uoff_t size;

	test_begin("istream age: answers of open_key");
	age_file_seal(file, plain, 100);
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		struct answer answer = { tests[i].ret, tests[i].error, 0 };
		struct dribble_set set = { .step = 0 };
		struct istream *parent, *input;

		parent = i_stream_create_dribble(&set, file->data, file->used);
		input = i_stream_create_age(parent, answer_open_key, &answer);
		if (i % 2 == 0)
			test_assert_idx(i_stream_get_size(input, TRUE,
							  &size) == -1, i);
		test_assert_idx(read_all(input, plain) == 0, i);
		input->stream_errno = 0;
		test_assert_idx(i_stream_read(input) == -1, i);
		test_assert_idx(answer.calls == 1, i);
		test_assert_idx(input->stream_errno == EINVAL, i);
		test_assert_idx(i_stream_age_failure(input) ==
				tests[i].failure, i);
		if (tests[i].text != NULL)
			test_assert_strcmp_idx(i_stream_get_error(input),
					       tests[i].text, i);
		i_stream_unref(&input);
		i_stream_unref(&parent);
	}
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_damage_io(void)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(200000);
	static const uoff_t offsets[] = { 1, 100, 300, 65000, 66000, 150000 };
	unsigned int i;

	test_begin("istream age: errors of the parent");
	age_file_seal(file, plain, 200000);
	for (i = 0; i < N_ELEMENTS(offsets); i++) {
		struct dribble_set set = {
			.step = 50, .fail_offset = offsets[i]
		};
		struct istream *parent, *input;

		parent = i_stream_create_dribble(&set, file->data, file->used);
		input = i_stream_create_age(parent, age_file_open_key, NULL);
		test_assert_idx(read_all(input, plain) ==
				offsets[i] / 65752 * AGE_CHUNK_SIZE, i);
		test_assert_idx(input->stream_errno == EIO, i);
		test_assert_idx(i_stream_age_failure(input) ==
				AGE_ISTREAM_IO, i);
		test_assert_strcmp_idx(i_stream_get_error(input),
				       "dribble broke", i);
		i_stream_unref(&input);
		i_stream_unref(&parent);
	}
	test_end();

	i_free(plain);
	buffer_free(&file);
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_damage_cut,
		test_damage_flip,
		test_damage_chunks,
		test_damage_known_size,
		test_damage_keeps_data,
		test_damage_size,
		test_damage_header,
		test_damage_open_key,
		test_damage_io,
		NULL
	};

	return test_run(test_functions);
}
