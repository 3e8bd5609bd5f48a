/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "istream-private.h"
#include "test-common.h"
#include "stream/istream-age.h"
#include "age-file.h"

#include <sys/stat.h>
#include <unistd.h>

static const size_t border_sizes[] = {
	0, 1, 2, 15, 16, 17, 4096, 65519, 65520, 65535, 65536, 65537, 65552,
	131071, 131072, 131073, 196608, 200000
};

/* Read all that comes, whatever pauses there are. Returns the number of bytes
   if all are those of plain at the stream's offset. */
static ssize_t read_all(struct istream *input, const uint8_t *plain)
{
	const unsigned char *data;
	size_t size, total = 0;
	ssize_t ret;

	while ((ret = i_stream_read(input)) >= 0) {
		data = i_stream_get_data(input, &size);
		if (memcmp(data, plain + input->v_offset, size) != 0)
			return -1;
		i_stream_skip(input, size);
		total += size;
	}
	return total;
}

static struct istream *
create(struct dribble_set *set, const buffer_t *file, void *context)
{
	struct istream *parent, *input;

	parent = i_stream_create_dribble(set, file->data, file->used);
	input = i_stream_create_age(parent, age_file_open_key, context);
	i_stream_unref(&parent);
	return input;
}

static void test_sizes(struct dribble_set *set, const char *name)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	unsigned int i, calls;

	test_begin(t_strdup_printf("istream age: sizes, %s", name));
	for (i = 0; i < N_ELEMENTS(border_sizes); i++) {
		size_t size = border_sizes[i];
		uint8_t *plain = age_file_plain(size);
		struct istream *input;
		uoff_t known;

		buffer_set_used_size(file, 0);
		age_file_seal(file, plain, size);
		calls = 0;
		input = create(set, file, &calls);
		test_assert_idx(read_all(input, plain) == (ssize_t)size, i);
		test_assert_idx(input->eof && input->stream_errno == 0, i);
		test_assert_idx(i_stream_age_failure(input) == AGE_ISTREAM_OK,
				i);
		test_assert_idx(i_stream_get_size(input, TRUE, &known) == 1 &&
				known == size, i);
		test_assert_idx(calls == 1, i);
		i_stream_unref(&input);
		i_free(plain);
	}
	buffer_free(&file);
	test_end();
}

static void test_istream_age_sizes(void)
{
	struct dribble_set whole = { .step = 0 };
	struct dribble_set steps = { .step = 1000 };
	struct dribble_set paused = { .step = 4321, .pause = TRUE };
	struct dribble_set pipe = { .unseekable = TRUE, .unsized = TRUE };
	struct dribble_set slow_pipe = {
		.step = 777, .pause = TRUE, .unseekable = TRUE, .unsized = TRUE
	};
	struct dribble_set tiny = { .max_buffer_size = 1 };
	struct dribble_set large = { .max_buffer_size = 1024*1024 };
	struct dribble_set guess_low = { .size_guess = 100 };
	struct dribble_set guess_high = { .size_guess = 1 << 30 };
	struct dribble_set unsized = { .unsized = TRUE };

	test_sizes(&whole, "at once");
	test_sizes(&steps, "in steps");
	test_sizes(&paused, "nonblocking");
	test_sizes(&pipe, "not seekable");
	test_sizes(&slow_pipe, "not seekable, nonblocking");
	test_sizes(&tiny, "parent's buffer of one byte");
	test_sizes(&large, "parent's large buffer");
	test_sizes(&guess_low, "guessed size too low");
	test_sizes(&guess_high, "guessed size too high");
	test_sizes(&unsized, "size not known");
}

static void test_istream_age_one_byte(void)
{
	struct dribble_set set = { .step = 1, .pause = TRUE };
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(70000);
	struct istream *input, *parent;
	size_t i, pos = 0;
	ssize_t ret;

	test_begin("istream age: one byte at a time");
	age_file_seal(file, plain, 300);
	parent = test_istream_create_data(file->data, file->used);
	test_istream_set_allow_eof(parent, FALSE);
	input = i_stream_create_age(parent, age_file_open_key, NULL);
	for (i = 0; i < file->used; i++) {
		test_istream_set_size(parent, i);
		test_assert_idx(i_stream_read(input) == 0, i);
	}
	test_istream_set_size(parent, file->used);
	/* That this was all is only known at end of file. */
	test_assert(i_stream_read(input) == 0);
	test_istream_set_allow_eof(parent, TRUE);
	test_assert(i_stream_read(input) == 300);
	test_assert(memcmp(i_stream_get_data(input, &i), plain, 300) == 0);
	test_assert(i_stream_read(input) == -1 && input->eof &&
		    input->stream_errno == 0);
	i_stream_unref(&input);
	i_stream_unref(&parent);

	buffer_set_used_size(file, 0);
	age_file_seal(file, plain, 70000);
	input = create(&set, file, NULL);
	test_assert(read_all(input, plain) == 70000);
	test_assert(input->stream_errno == 0);
	i_stream_unref(&input);
	test_end();

	test_begin("istream age: into a buffer of one byte");
	set.step = 0;
	set.pause = FALSE;
	input = create(&set, file, NULL);
	i_stream_set_max_buffer_size(input, 1);
	while ((ret = i_stream_read(input)) == 1) {
		if (pos % 1000 == 0)
			test_assert_idx(i_stream_read(input) == -2, pos);
		if (i_stream_get_data(input, &i)[0] != plain[pos] || i != 1)
			break;
		i_stream_skip(input, 1);
		pos++;
	}
	test_assert(ret == -1 && input->stream_errno == 0 && pos == 70000);
	i_stream_unref(&input);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

/* One random act and a look whether plain has the same there. */
static bool
random_act(struct istream *input, const uint8_t *plain, size_t plain_size)
{
	const unsigned char *data;
	uoff_t offset, known;
	size_t size, threshold;
	int ret;

	switch (i_rand_limit(12)) {
	case 0:
		return i_stream_get_size(input, i_rand_limit(2) == 0, &known) ==
			1 && known == plain_size;
	case 1:
		i_stream_seek(input, i_rand_limit(plain_size + 100000));
		break;
	case 2:
		i_stream_sync(input);
		break;
	case 3:
	case 4:
	case 5:
		/* Near a border. */
		offset = (i_rand_limit(plain_size / AGE_CHUNK_SIZE) + 1) *
			AGE_CHUNK_SIZE;
		i_stream_seek(input, offset - 20 + i_rand_limit(40));
		break;
	case 6:
		i_stream_skip(input, i_rand_limit(70000));
		break;
	case 7:
		i_stream_seek_mark(input, i_rand_limit(plain_size + 1));
		break;
	default:
		break;
	}
	threshold = i_rand_limit(i_rand_limit(4) == 0 ? 150000 : 100);
	ret = i_stream_read_data(input, &data, &size, threshold);
	if (ret == -2 || input->stream_errno != 0)
		return FALSE;
	if (input->v_offset >= plain_size)
		return ret == -1 && size == 0;
	if (ret != 1 && input->v_offset + size != plain_size)
		return FALSE;
	if (memcmp(data, plain + input->v_offset, size) != 0)
		return FALSE;
	i_stream_skip(input, i_rand_limit(size + 1));
	return TRUE;
}

static void test_istream_age_random(void)
{
	struct dribble_set set = { .step = 0 };
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	const size_t plain_size = 7 * AGE_CHUNK_SIZE + 1234;
	uint8_t *plain = age_file_plain(plain_size);
	struct istream *input;
	unsigned int i;

	test_begin("istream age: random acts");
	age_file_seal(file, plain, plain_size);
	input = create(&set, file, NULL);
	i_stream_set_max_buffer_size(input, 200000);
	for (i = 0; i < 1500 && !test_has_failed(); i++)
		test_assert_idx(random_act(input, plain, plain_size), i);
	i_stream_unref(&input);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

/* What a read of size bytes at offset costs. */
static uoff_t
read_cost(struct istream *input, struct dribble_set *set, uoff_t offset,
	  size_t size, const uint8_t *plain)
{
	const unsigned char *data;
	size_t data_size;

	set->bytes_read = 0;
	i_stream_seek(input, offset);
	test_assert(i_stream_read_bytes(input, &data, &data_size, size) == 1 &&
		    memcmp(data, plain + offset, size) == 0);
	return set->bytes_read;
}

static void test_istream_age_cost(void)
{
	struct dribble_set set = { .step = 0 };
	const unsigned int chunk = AGE_CHUNK_SEALED_SIZE + 4096;
	const size_t plain_size = 80 * AGE_CHUNK_SIZE + 1234;
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(plain_size);
	struct istream *input;
	uoff_t size;

	test_begin("istream age: cost of random access");
	age_file_seal(file, plain, plain_size);
	input = create(&set, file, NULL);
	test_assert(read_cost(input, &set, 0, 100, plain) <= chunk);
	test_assert(read_cost(input, &set, 50000, 100, plain) == 0);
	test_assert(read_cost(input, &set, 10, 100, plain) == 0);
	test_assert(read_cost(input, &set, 40 * AGE_CHUNK_SIZE + 7, 100,
			      plain) <= chunk);
	test_assert(read_cost(input, &set, 3 * AGE_CHUNK_SIZE - 50, 100,
			      plain) <= 2 * chunk);
	test_assert(read_cost(input, &set, plain_size - 100, 100,
			      plain) <= chunk);
	test_assert(set.high_buffer_size <= chunk);
	i_stream_unref(&input);

	/* Size first, as FETCH does, then the end. */
	input = create(&set, file, NULL);
	set.bytes_read = 0;
	test_assert(i_stream_get_size(input, FALSE, &size) == 1 &&
		    size == plain_size && set.bytes_read <= chunk);
	test_assert(i_stream_get_size(input, TRUE, &size) == 1 &&
		    size == plain_size && set.bytes_read <= 2 * chunk);
	test_assert(read_cost(input, &set, plain_size - 1200, 1200,
			      plain) == 0);
	/* Behind the end there is nothing, which the last chunk tells. */
	set.bytes_read = 0;
	i_stream_seek(input, UOFF_T_MAX - 1);
	test_assert(i_stream_read(input) == -1 && input->eof &&
		    input->stream_errno == 0 && set.bytes_read == 0);
	i_stream_unref(&input);

	input = create(&set, file, NULL);
	set.bytes_read = 0;
	i_stream_seek(input, plain_size + 1000000);
	test_assert(i_stream_read(input) == -1 && input->eof &&
		    input->stream_errno == 0 && set.bytes_read <= 3 * chunk);
	test_assert(read_cost(input, &set, 0, 100, plain) <= chunk);
	i_stream_unref(&input);
	test_end();

	test_begin("istream age: sequential reading reads every byte once");
	input = create(&set, file, NULL);
	set.bytes_read = 0;
	test_assert(read_all(input, plain) == (ssize_t)plain_size);
	test_assert(set.bytes_read == file->used);
	i_stream_unref(&input);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_istream_age_unseekable(void)
{
	struct dribble_set set = { .unseekable = TRUE, .unsized = TRUE };
	const size_t plain_size = 4 * AGE_CHUNK_SIZE + 10;
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(plain_size);
	const struct stat *st;
	struct istream *input;
	uoff_t size;

	test_begin("istream age: seeking over a parent that isn't seekable");
	age_file_seal(file, plain, plain_size);
	input = create(&set, file, NULL);
	test_assert(!input->seekable);
	test_assert(i_stream_get_size(input, TRUE, &size) == 0);
	test_assert(i_stream_stat(input, TRUE, &st) == 0 && st->st_size == -1);
	(void)read_cost(input, &set, 100, 1000, plain);
	(void)read_cost(input, &set, 5, 10, plain);
	(void)read_cost(input, &set, 2 * AGE_CHUNK_SIZE + 5, 10, plain);
	(void)read_cost(input, &set, 2 * AGE_CHUNK_SIZE, 1, plain);
	i_stream_seek(input, plain_size + 1);
	test_assert(i_stream_read(input) == -1 && input->stream_errno == 0);
	(void)read_cost(input, &set, plain_size - 1, 1, plain);
	i_stream_set_max_buffer_size(input, 1);
	(void)read_cost(input, &set, plain_size - 5, 1, plain);
	i_stream_seek(input, plain_size);
	test_assert(i_stream_read(input) == -1 && input->stream_errno == 0);
	i_stream_seek(input, 1);
	test_assert(input->stream_errno == ESPIPE);
	test_assert(i_stream_age_failure(input) == AGE_ISTREAM_IO);
	i_stream_unref(&input);

	/* That the size is known doesn't make the end reachable. */
	set.unsized = FALSE;
	input = create(&set, file, NULL);
	test_assert(i_stream_get_size(input, FALSE, &size) == 1 &&
		    size == plain_size);
	test_assert(i_stream_get_size(input, TRUE, &size) == 0);
	test_assert(read_all(input, plain) == (ssize_t)plain_size);
	i_stream_unref(&input);

	input = create(&set, file, NULL);
	i_stream_seek(input, plain_size + 1000000);
	test_assert(i_stream_read(input) == -1 && input->eof &&
		    input->stream_errno == 0);
	i_stream_unref(&input);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_istream_age_stat(void)
{
	char path[] = "test-istream-age.XXXXXX";
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(100000);
	struct istream *parent, *input;
	const struct stat *st;
	int fd;

	test_begin("istream age: stat, file, offset within the parent");
	buffer_append(file, "before it", 9);
	age_file_seal(file, plain, 100000);
	fd = mkstemp(path);
	if (fd < 0 || unlink(path) < 0 ||
	    write(fd, file->data, file->used) != (ssize_t)file->used)
		i_fatal("can't write %s: %m", path);

	parent = i_stream_create_fd_autoclose(&fd, 512);
	i_stream_seek(parent, 9);
	input = i_stream_create_age(parent, age_file_open_key, NULL);
	test_assert(i_stream_stat(input, FALSE, &st) == 0 &&
		    st->st_size == 100000 && st->st_mtime > 0);
	test_assert(i_stream_stat(input, TRUE, &st) == 0 &&
		    st->st_size == 100000);
	test_assert(read_all(input, plain) == 100000);
	i_stream_seek(input, 70000);
	test_assert(read_all(input, plain) == 30000);
	test_assert(i_stream_age_verify(input) == 0);
	/* Reading goes on where it was although the parent was moved. */
	i_stream_seek(input, 65530);
	i_stream_seek(parent, 3);
	test_assert(read_all(input, plain) == 34470);
	i_stream_unref(&input);
	i_stream_unref(&parent);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_istream_age_keeps_data(void)
{
	struct dribble_set set = { .step = 50000, .pause = TRUE };
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(200000);
	const unsigned char *data;
	struct istream *input;
	uoff_t known;
	size_t size;
	ssize_t ret;

	test_begin("istream age: data stays while a read gives nothing");
	age_file_seal(file, plain, 200000);
	input = create(&set, file, NULL);
	i_stream_set_max_buffer_size(input, 200000);
	while ((ret = i_stream_read(input)) == 0) ;
	test_assert(ret == AGE_CHUNK_SIZE);
	i_stream_skip(input, AGE_CHUNK_SIZE - 10);
	data = i_stream_get_data(input, &size);
	while ((ret = i_stream_read(input)) == 0)
		test_assert(memcmp(data, plain + AGE_CHUNK_SIZE - 10, 10) == 0);
	test_assert(ret == AGE_CHUNK_SIZE);
	data = i_stream_get_data(input, &size);
	test_assert(size == AGE_CHUNK_SIZE + 10 &&
		    memcmp(data, plain + AGE_CHUNK_SIZE - 10, size) == 0);
	/* Neither does the exact size take it away. */
	while ((ret = i_stream_get_size(input, TRUE, &known)) == 0) ;
	test_assert(ret == 1 && known == 200000);
	test_assert(i_stream_get_data(input, &size) == data &&
		    size == AGE_CHUNK_SIZE + 10 &&
		    memcmp(data, plain + AGE_CHUNK_SIZE - 10, size) == 0);
	i_stream_skip(input, 5);
	while ((ret = i_stream_read(input)) == 0) ;
	data = i_stream_get_data(input, &size);
	test_assert(memcmp(data, plain + AGE_CHUNK_SIZE - 5, size) == 0);
	i_stream_unref(&input);
	test_end();

	test_begin("istream age: lines and buffers that aren't persistent");
	set.pause = FALSE;
	input = create(&set, file, NULL);
	while (input->v_offset < 70000)
		test_assert(i_stream_read_next_line(input) != NULL);
	i_stream_seek(input, 65536);
	test_assert(read_all(input, plain) == 200000 - 65536);
	i_stream_seek(input, 0);
	i_stream_set_persistent_buffers(input, FALSE);
	i_stream_set_max_buffer_size(input, 10000);
	test_assert(read_all(input, plain) == 200000);
	i_stream_seek(input, 12345);
	test_assert(read_all(input, plain) == 200000 - 12345);
	test_assert(input->stream_errno == 0);
	i_stream_unref(&input);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_istream_age_closed(void)
{
	struct dribble_set set = { .step = 0 };
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(100);
	struct istream *input, *parent;
	uoff_t size;

	test_begin("istream age: closed early, failed parent");
	age_file_seal(file, plain, 100);
	input = create(&set, file, NULL);
	i_stream_destroy(&input);

	input = create(&set, file, NULL);
	test_assert(i_stream_read(input) == 100);
	i_stream_close(input);
	test_assert(i_stream_read(input) == -1);
	test_assert(i_stream_get_size(input, TRUE, &size) == -1);
	i_stream_destroy(&input);

	parent = i_stream_create_error_str(ENOENT, "not there");
	input = i_stream_create_age(parent, age_file_open_key, NULL);
	test_assert(i_stream_read(input) == -1 &&
		    input->stream_errno == ENOENT);
	test_assert(i_stream_age_failure(input) == AGE_ISTREAM_IO);
	i_stream_unref(&input);
	i_stream_unref(&parent);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_istream_starts_as_age(void)
{
	static const struct {
		const char *data;
		int result;
	} tests[] = {
		{ "age-encryption.org/v1\n", 1 },
		{ "age-encryption.org/v7777", 1 },
		{ "age-encryption.org/", 1 },
		{ "age-encryption.org", 0 },
		{ "age-encryption.orgs/v1", 0 },
		{ "Age-encryption.org/v1", 0 },
		{ "a", 0 },
		{ "", 0 },
		{ "From: me\n", 0 },
		{ "\nage-encryption.org/v1\n", 0 },
	};
	unsigned int i, step;

	test_begin("istream starts as age");
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		for (step = 0; step <= 3; step++) {
			struct dribble_set set = {
				.step = step, .max_buffer_size = 1 + step
			};
			struct istream *input = i_stream_create_dribble(
				&set, tests[i].data, strlen(tests[i].data));

			test_assert_idx(i_stream_starts_as_age(input) ==
					tests[i].result, i);
			test_assert_idx(input->v_offset == 0, i);
			test_assert_idx(step != 1 || set.bytes_read <= 19, i);
			i_stream_unref(&input);
		}
	}
	struct dribble_set broken = { .step = 1, .fail_offset = 5 };
	struct istream *input = i_stream_create_dribble(&broken,
							"age-encrypt", 11);
	test_assert(i_stream_starts_as_age(input) == -1 &&
		    input->stream_errno == EIO);
	i_stream_unref(&input);
	test_end();
}

static void test_istream_is_sealed_mail(void)
{
	static const struct {
		const char *name, *data;
		int result;
	} tests[] = {
		{ "whole", "age-encryption.org/v1\n-> X25519 a\n", 1 },
		{ "version alone", "age-encryption.org/v1\n", 1 },
		{ "cut in the magic", "age-enc", 1 },
		{ "empty", "", 1 },
		{ "damaged magic", "age-encryptIon.org/v1\n-> X25519 a\n", 1 },
		{ "damaged version", "age-encryption.org v1\n-> X25519 a\n", 1 },
		{ "shifted", "age-encryption.org/\n-> X25519 a\n", 1 },
		{ "shifted and damaged", "aGe-encryption.org/\n-> X25519\n", 0 },
		{ "mail", "From: me\nTo: you and others, too\n\nhello\n", 0 },
		{ "short mail", "A: b\n", 0 },
		{ "mail about age", "\nage-encryption.org/v1\n-> X25519\n", 0 },
		{ "arrow in mail", "Subject: a mail abou\n-> X\n", 0 },
	};

	test_begin("istream is sealed mail");
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		struct istream *input = i_stream_create_from_data(
			tests[i].data, strlen(tests[i].data));

		test_out_quiet(tests[i].name,
			       i_stream_is_sealed_mail(input) ==
			       tests[i].result && input->v_offset == 0);
		i_stream_unref(&input);
	}
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_istream_age_sizes,
		test_istream_age_one_byte,
		test_istream_age_random,
		test_istream_age_cost,
		test_istream_age_unseekable,
		test_istream_age_stat,
		test_istream_age_keeps_data,
		test_istream_age_closed,
		test_istream_starts_as_age,
		test_istream_is_sealed_mail,
		NULL
	};

	return test_run(test_functions);
}
