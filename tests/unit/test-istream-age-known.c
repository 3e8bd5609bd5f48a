/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "istream.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "stream/istream-age.h"
#include "age-file.h"
#include "under-valgrind.h"

#define PLAIN_SIZE 300

/* A file, its plaintext, and what is known of it. */
struct known_file {
	buffer_t *file;
	uint8_t *plain;
	size_t plain_size, header_size;
	struct age_istream_known known;
};

/* Read all that comes, whatever pauses there are. Returns the number of bytes,
   or SIZE_MAX if one of them is wrong. */
static size_t read_all(struct istream *input, const uint8_t *plain)
{
	const unsigned char *data;
	size_t size, total = 0;

	while (i_stream_read(input) >= 0) {
		data = i_stream_get_data(input, &size);
		if (memcmp(data, plain + total, size) != 0)
			return SIZE_MAX;
		i_stream_skip(input, size);
		total += size;
	}
	return total;
}

static struct istream *
create(struct dribble_set *set, const buffer_t *file, unsigned int *calls_r)
{
	struct istream *parent, *input;

	*calls_r = 0;
	parent = i_stream_create_dribble(set, file->data, file->used);
	input = i_stream_create_age(parent, age_file_open_key, calls_r);
	i_stream_unref(&parent);
	return input;
}

/* Seal a file whose header has a body of this size, and open it as one does
   that isn't known. */
static void
known_file_init(struct known_file *file, size_t body_size, size_t plain_size)
{
	struct dribble_set set = { .step = 0 };
	struct istream *input;
	unsigned int calls;
	size_t size;
	uint64_t index;

	file->file = buffer_create_dynamic(default_pool, 1024);
	file->plain = age_file_plain(plain_size);
	file->plain_size = plain_size;
	age_file_header(file->file, body_size);
	file->header_size = file->file->used - AGE_PAYLOAD_NONCE_SIZE;
	for (index = 0; index * AGE_CHUNK_SIZE < plain_size; index++) {
		size = plain_size - index * AGE_CHUNK_SIZE;
		age_file_chunk(file->file, index, size > AGE_CHUNK_SIZE ?
			       AGE_CHUNK_MIDDLE : AGE_CHUNK_LAST,
			       file->plain + index * AGE_CHUNK_SIZE,
			       I_MIN(size, AGE_CHUNK_SIZE));
	}
	input = create(&set, file->file, &calls);
	test_assert(read_all(input, file->plain) == plain_size);
	test_assert(calls == 1);
	test_assert(i_stream_age_get_known(input, &file->known));
	i_stream_unref(&input);
}

static void known_file_deinit(struct known_file *file)
{
	i_free(file->plain);
	buffer_free(&file->file);
}

static void test_known_get(void)
{
	struct dribble_set set = { .step = 0 };
	struct known_file file;
	struct age_istream_known known;
	uint8_t hash[HASH_SIZE], key[AGE_PAYLOAD_KEY_SIZE];
	struct istream *input;
	unsigned int calls;

	test_begin("istream age known: what is remembered");
	known_file_init(&file, 32, PLAIN_SIZE);
	hash_blake2b(file.file->data, file.header_size + AGE_PAYLOAD_NONCE_SIZE,
		     hash);
	age_payload_key(age_file_key, CONST_PTR_OFFSET(file.file->data,
						       file.header_size), key);
	test_assert(memcmp(file.known.header_hash, hash, sizeof(hash)) == 0);
	test_assert(memcmp(file.known.payload_key, key, sizeof(key)) == 0);

	/* before it is opened there is nothing, also not what was set */
	input = create(&set, file.file, &calls);
	test_assert(!i_stream_age_get_known(input, &known));
	test_assert(i_stream_age_header_hash(input) == NULL);
	i_stream_age_set_known(input, &file.known);
	test_assert(!i_stream_age_get_known(input, &known));
	test_assert(i_stream_age_header_hash(input) == NULL);
	test_assert(i_stream_read(input) == PLAIN_SIZE && calls == 0);
	test_assert(i_stream_age_get_known(input, &known) &&
		    memcmp(&known, &file.known, sizeof(known)) == 0);
	test_assert(memcmp(i_stream_age_header_hash(input), hash,
			   sizeof(hash)) == 0);
	i_stream_close(input);
	test_assert(!i_stream_age_get_known(input, &known));
	test_assert(i_stream_age_header_hash(input) == NULL);
	i_stream_unref(&input);
	known_file_deinit(&file);
	test_end();
}

/* Sizes, seeking, verifying and the end are as ever. */
static void
check_opens(struct dribble_set *set, const struct known_file *file,
	    const struct age_istream_known *known, unsigned int calls_expected)
{
	struct age_istream_known copy = *known, after;
	struct istream *input;
	unsigned int calls;
	uoff_t size;

	input = create(set, file->file, &calls);
	i_stream_age_set_known(input, &copy);
	/* It is copied. */
	memset(&copy, 0xff, sizeof(copy));
	test_assert(read_all(input, file->plain) == file->plain_size);
	test_assert(input->eof && input->stream_errno == 0);
	test_assert(i_stream_age_failure(input) == AGE_ISTREAM_OK);
	test_assert(i_stream_get_size(input, TRUE, &size) == 1 &&
		    size == file->plain_size);
	if (!set->unseekable) {
		i_stream_seek(input, 0);
		test_assert(read_all(input, file->plain) == file->plain_size);
	}
	if (!set->unseekable && !set->pause)
		test_assert(i_stream_age_verify(input) == 0);
	test_assert(calls == calls_expected);
	test_assert(i_stream_age_get_known(input, &after) &&
		    memcmp(&after, &file->known, sizeof(after)) == 0);
	i_stream_unref(&input);
}

static void test_known_parents(void)
{
	struct dribble_set sets[] = {
		{ .step = 0 },
		{ .step = 1 },
		{ .step = 1, .pause = TRUE },
		{ .step = 1, .max_buffer_size = 1 },
		{ .step = 777, .pause = TRUE, .unseekable = TRUE,
		  .unsized = TRUE },
		{ .unseekable = TRUE, .unsized = TRUE },
	};
	/* header bodies and plaintexts */
	static const struct {
		size_t body, plain;
	} sizes[] = {
		{ 32, PLAIN_SIZE }, { 0, 1 }, { 48, AGE_CHUNK_SIZE },
		{ 1000, AGE_CHUNK_SIZE + 1 }, { 32, 200000 },
		{ 20000, PLAIN_SIZE }, { 190000, PLAIN_SIZE },
	};
	struct known_file file;
	unsigned int i, j;

	test_begin("istream age known: parents and headers of all kinds");
	for (i = 0; i < N_ELEMENTS(sizes); i++) {
		known_file_init(&file, sizes[i].body, sizes[i].plain);
		for (j = 0; j < N_ELEMENTS(sets); j++) {
			/* A large header is looked at anew with each byte. */
			if (sets[j].step == 1 && sizes[i].body > 1000)
				continue;
			check_opens(&sets[j], &file, &file.known, 0);
		}
		known_file_deinit(&file);
	}
	test_end();
}

static void test_known_other(void)
{
	struct dribble_set set = { .step = 0 }, steps = { .step = 1 };
	struct age_istream_known other;
	struct known_file file;
	unsigned int i;

	test_begin("istream age known: another file is known");
	known_file_init(&file, 32, PLAIN_SIZE);
	for (i = 0; i < HASH_SIZE * 8; i += test_step()) {
		other = file.known;
		memset(other.payload_key, 0xff, sizeof(other.payload_key));
		other.header_hash[i / 8] ^= 1 << i % 8;
		check_opens(i % 16 == 0 ? &steps : &set, &file, &other, 1);
	}
	known_file_deinit(&file);
	test_end();
}

/* The last one set is the known one; a key that is wrong opens nothing, and
   the header doesn't tell. */
static void test_known_wrong_key(void)
{
	struct dribble_set set = { .step = 0 };
	struct age_istream_known other;
	struct known_file file;
	struct istream *input;
	unsigned int calls;

	test_begin("istream age known: wrong key, set again");
	known_file_init(&file, 32, PLAIN_SIZE);
	other = file.known;
	other.payload_key[0] ^= 1;
	input = create(&set, file.file, &calls);
	i_stream_age_set_known(input, &other);
	test_assert(read_all(input, file.plain) == 0 && calls == 0);
	test_assert(i_stream_age_failure(input) == AGE_ISTREAM_BAD_PAYLOAD);
	i_stream_unref(&input);

	input = create(&set, file.file, &calls);
	i_stream_age_set_known(input, &other);
	i_stream_age_set_known(input, &file.known);
	test_assert(read_all(input, file.plain) == PLAIN_SIZE && calls == 0);
	i_stream_unref(&input);

	/* never read */
	input = create(&set, file.file, &calls);
	i_stream_age_set_known(input, &file.known);
	i_stream_unref(&input);
	known_file_deinit(&file);
	test_end();
}

/* What fails, fails as it does where nothing is known. */
static enum age_istream_failure
read_damaged(const struct known_file *file, bool known, unsigned int *calls_r)
{
	struct dribble_set set = { .step = 0 };
	struct istream *input = create(&set, file->file, calls_r);
	enum age_istream_failure failure;
	struct age_istream_known after;

	if (known)
		i_stream_age_set_known(input, &file->known);
	test_assert(read_all(input, file->plain) == 0);
	failure = i_stream_age_failure(input);
	test_assert(input->stream_errno == EINVAL);
	test_assert(*i_stream_get_error(input) != '\0');
	test_assert(i_stream_age_get_known(input, &after) ==
		    (failure == AGE_ISTREAM_BAD_PAYLOAD));
	/* Once failed is failed. */
	input->stream_errno = 0;
	i_stream_seek(input, 0);
	test_assert(i_stream_read(input) == -1 &&
		    i_stream_age_failure(input) == failure);
	i_stream_unref(&input);
	return failure;
}

static void
check_damage(const struct known_file *file, size_t pos)
{
	enum age_istream_failure failure;
	unsigned int plain_calls, calls;

	failure = read_damaged(file, FALSE, &plain_calls);
	test_assert_idx(failure == (pos < file->header_size ?
				    AGE_ISTREAM_BAD_HEADER :
				    AGE_ISTREAM_BAD_PAYLOAD), pos);
	test_assert_idx(read_damaged(file, TRUE, &calls) == failure, pos);
	/* As the header or nonce isn't the known one, it is opened as ever. */
	test_assert_idx(calls == (pos < file->header_size +
				  AGE_PAYLOAD_NONCE_SIZE ? plain_calls : 0),
			pos);
}

static void test_known_flips(void)
{
	struct known_file file;
	uint8_t *data;
	size_t i;

	test_begin("istream age known: flip every bit");
	known_file_init(&file, 32, PLAIN_SIZE);
	data = buffer_get_modifiable_data(file.file, NULL);
	for (i = 0; i < file.file->used * 8; i += test_step()) {
		data[i / 8] ^= 1 << i % 8;
		check_damage(&file, i / 8);
		data[i / 8] ^= 1 << i % 8;
	}
	known_file_deinit(&file);
	test_end();
}

static void test_known_cut(void)
{
	struct known_file file;
	unsigned int calls;
	size_t size;

	test_begin("istream age known: cut at every length");
	known_file_init(&file, 32, PLAIN_SIZE);
	for (size = file.file->used; size-- > 0; ) {
		buffer_set_used_size(file.file, size);
		test_assert_idx(read_damaged(&file, TRUE, &calls) ==
				(size < file.header_size +
				 AGE_PAYLOAD_NONCE_SIZE ?
				 AGE_ISTREAM_BAD_HEADER :
				 AGE_ISTREAM_BAD_PAYLOAD), size);
		test_assert_idx(calls == 0, size);
	}
	known_file_deinit(&file);
	test_end();
}

/* Files that are none: what is looked for first doesn't lead astray. */
static void test_known_no_header(void)
{
	static const char *const tests[] = {
		"", "\n", "--- ", "--- \n", "--- \n0123456789abcdef", "---\n",
		"age-encryption.org/v1\n--- \n0123456789abcdef0123456789abcdef",
		"age-encryption.org/v1\n--- AAAA\n0123456789abcdef",
		"From: me\n\nhello\n--- \nme, at length, as it is a signature\n",
		"\n\n\n\n--- x",
	};
	struct known_file file;
	unsigned int i, calls;

	test_begin("istream age known: no header");
	known_file_init(&file, 32, PLAIN_SIZE);
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		buffer_set_used_size(file.file, 0);
		buffer_append(file.file, tests[i], strlen(tests[i]));
		test_assert_idx(read_damaged(&file, TRUE, &calls) ==
				AGE_ISTREAM_BAD_HEADER, i);
		test_assert_idx(calls == 0, i);
	}
	known_file_deinit(&file);
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_known_get,
		test_known_parents,
		test_known_other,
		test_known_wrong_key,
		test_known_flips,
		test_known_cut,
		test_known_no_header,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(test_functions);
}
