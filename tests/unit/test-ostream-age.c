/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "ioloop.h"
#include "istream.h"
#include "ostream-private.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "stream/istream-age.h"
#include "stream/ostream-age.h"
#include "age-file.h"

static const size_t border_sizes[] = {
	0, 1, 15, 16, 17, 4080, 4096, 65519, 65520, 65535, 65536, 65537, 65552,
	131071, 131072, 131073, 196608, 200000, 1000000
};

static buffer_t *make_header(void)
{
	buffer_t *header = buffer_create_dynamic(default_pool, 256);

	age_file_header(header, 32);
	/* Without the nonce: that is the stream's to make. */
	buffer_set_used_size(header, header->used - AGE_PAYLOAD_NONCE_SIZE);
	return header;
}

static struct ostream *create(struct ostream *parent)
{
	buffer_t *header = make_header();
	struct ostream *output;

	output = o_stream_create_age(parent, header->data, header->used,
				     age_file_key);
	/* The stream has its own. */
	memset(buffer_get_modifiable_data(header, NULL), 0, header->used);
	buffer_free(&header);
	return output;
}

static bool
is_file_of(const buffer_t *file, const uint8_t *plain, size_t plain_size)
{
	buffer_t *header = make_header();
	struct istream *parent, *input;
	const unsigned char *data;
	size_t size;
	bool ok = file->used == header->used +
			age_payload_sealed_size(plain_size) &&
		memcmp(file->data, header->data, header->used) == 0;

	parent = i_stream_create_from_data(file->data, file->used);
	input = i_stream_create_age(parent, age_file_open_key, NULL);
	while (ok && i_stream_read_more(input, &data, &size) > 0) {
		ok = input->v_offset + size <= plain_size &&
			memcmp(plain + input->v_offset, data, size) == 0;
		i_stream_skip(input, size);
	}
	if (input->stream_errno != 0 || input->v_offset != plain_size)
		ok = FALSE;
	i_stream_unref(&input);
	i_stream_unref(&parent);
	buffer_free(&header);
	return ok;
}

static void test_ostream_age_sizes(void)
{
	static const size_t steps[] = { 1, 77, 4096, 65536, 65537, SIZE_MAX };
	unsigned int i, j;

	test_begin("ostream age: sizes and steps");
	for (i = 0; i < N_ELEMENTS(border_sizes); i++) {
		size_t pos, n, size = border_sizes[i];
		uint8_t *plain = age_file_plain(size);

		for (j = 0; j < N_ELEMENTS(steps); j++) {
			buffer_t *file = buffer_create_dynamic(default_pool,
							       1024);
			struct ostream *parent = test_ostream_create(file);
			struct ostream *output = create(parent);

			for (pos = 0; pos < size; pos += n) {
				n = I_MIN(steps[j], size - pos);
				test_assert_idx(o_stream_send(output,
					plain + pos, n) == (ssize_t)n, i);
				test_assert_idx(output->offset == pos + n, i);
			}
			/* The last chunk is not out before it is known to be
			   the last. */
			test_assert_idx(o_stream_flush(output) == 1, i);
			test_assert_idx(!is_file_of(file, plain, size), i);
			test_assert_idx(o_stream_finish(output) == 1, i);
			test_assert_idx(o_stream_finish(output) == 1, i);
			test_assert_idx(output->offset == size, i);
			test_assert_idx(parent->offset == file->used, i);
			test_assert_idx(is_file_of(file, plain, size), i);
			o_stream_destroy(&output);
			test_assert_idx(is_file_of(file, plain, size), i);
			o_stream_destroy(&parent);
			buffer_free(&file);
		}
		i_free(plain);
	}
	test_end();
}

static void test_ostream_age_iovec(void)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(400000);
	struct ostream *parent = test_ostream_create(file);
	struct ostream *output = create(parent);
	struct istream *input;
	const struct const_iovec iov[] = {
		{ plain, 10 }, { plain + 10, 0 }, { plain + 10, 65526 },
		{ plain + 65536, 65536 }, { plain + 131072, 150000 },
	};

	test_begin("ostream age: iovec, istream");
	test_assert(o_stream_sendv(output, iov, N_ELEMENTS(iov)) == 281072);
	input = i_stream_create_from_data(plain + 281072, 400000 - 281072);
	test_assert(o_stream_send_istream(output, input) ==
		    OSTREAM_SEND_ISTREAM_RESULT_FINISHED);
	i_stream_unref(&input);
	test_assert(o_stream_finish(output) == 1);
	test_assert(is_file_of(file, plain, 400000));
	o_stream_destroy(&output);
	o_stream_destroy(&parent);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

/* Send through a parent that takes window bytes at a time and then none until
   it is given room. */
static void
send_slowly(struct ostream *output, buffer_t *file, const uint8_t *plain,
	    size_t size, size_t window)
{
	size_t pos = 0, limit = 0;
	ssize_t ret;
	int flushed = 0;

	while (flushed == 0) {
		limit += window;
		test_ostream_set_max_output_size(output, limit);
		if (pos < size) {
			ret = o_stream_send(output, plain + pos, size - pos);
			test_assert(ret >= 0);
			pos += ret;
			test_assert(output->offset == pos);
			test_assert(file->used <= limit);
			continue;
		}
		flushed = o_stream_finish(output);
		test_assert((o_stream_get_buffer_used_size(output) == 0) ==
			    (flushed == 1));
	}
	test_assert(flushed == 1);
}

static void test_ostream_age_nonblocking(void)
{
	static const struct {
		size_t size, window, internal_size;
	} tests[] = {
		{ 0, 1, 1 }, { 100, 1, 1 }, { 1000, 7, 10 },
		{ 65536, 1000, 100 }, { 65537, 1000, 100 },
		{ 200000, 4096, 1 }, { 200000, 70000, 8192 },
		{ 300000, 1234, 200000 }, { 300000, 65552, 65552 },
	};
	struct ioloop *ioloop = io_loop_create();
	unsigned int i;

	test_begin("ostream age: parent that takes a part");
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		buffer_t *file = buffer_create_dynamic(default_pool, 1024);
		uint8_t *plain = age_file_plain(tests[i].size);
		struct ostream *parent = test_ostream_create_nonblocking(
			file, tests[i].internal_size);
		struct ostream *output = create(parent);

		o_stream_cork(output);
		send_slowly(output, file, plain, tests[i].size,
			    tests[i].window);
		o_stream_uncork(output);
		test_assert_idx(o_stream_finish(output) == 1, i);
		test_assert_idx(is_file_of(file, plain, tests[i].size), i);
		o_stream_destroy(&output);
		o_stream_destroy(&parent);
		i_free(plain);
		buffer_free(&file);
	}
	test_end();
	io_loop_destroy(&ioloop);
}

static void test_ostream_age_buffer_size(void)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(70000);
	struct ostream *parent, *output;

	test_begin("ostream age: sizes of the buffer");
	parent = test_ostream_create_nonblocking(file, 1);
	test_ostream_set_max_output_size(parent, 0);
	output = create(parent);
	test_assert(o_stream_get_buffer_avail_size(output) == 65536);
	test_assert(o_stream_send(output, plain, 100) == 100);
	test_assert(o_stream_get_buffer_avail_size(output) == 65436);
	test_assert(o_stream_send(output, plain, 65436) == 65436);
	test_assert(o_stream_get_buffer_avail_size(output) == 0);
	/* Held back, and nothing that a flush could send. */
	test_assert(o_stream_get_buffer_used_size(output) == 0);
	test_assert(o_stream_flush(output) == 1);
	test_assert(o_stream_send(output, plain, 1) == 0);
	test_assert(o_stream_get_buffer_used_size(output) > 65552);
	test_assert(o_stream_get_buffer_avail_size(output) == 0);
	test_assert(o_stream_flush(output) == 0);
	o_stream_abort(output);
	o_stream_destroy(&output);
	o_stream_abort(parent);
	o_stream_destroy(&parent);

	parent = test_ostream_create(file);
	output = create(parent);
	test_assert(o_stream_get_buffer_avail_size(output) > SIZE_MAX / 2);
	o_stream_destroy(&output);
	o_stream_destroy(&parent);
	test_end();

	i_free(plain);
	buffer_free(&file);
}

struct full_ostream {
	struct ostream_private ostream;
	size_t left;
	bool closed_too;
};

static ssize_t
o_stream_full_sendv(struct ostream_private *stream,
		    const struct const_iovec *iov, unsigned int iov_count)
{
	struct full_ostream *fstream =
		container_of(stream, struct full_ostream, ostream);
	size_t size = 0;
	unsigned int i;

	for (i = 0; i < iov_count; i++)
		size += iov[i].iov_len;
	if (size > fstream->left) {
		io_stream_set_error(&stream->iostream, "disk is full");
		stream->ostream.stream_errno = ENOSPC;
		if (fstream->closed_too)
			o_stream_close(&stream->ostream);
		return -1;
	}
	fstream->left -= size;
	stream->ostream.offset += size;
	return size;
}

static void test_ostream_age_full(void)
{
	uint8_t *plain = age_file_plain(200000);
	unsigned int i, j;

	test_begin("ostream age: parent that fails");
	for (i = 0; i < 12; i++) {
		struct full_ostream *fstream = i_new(struct full_ostream, 1);
		struct ostream *parent, *output;
		ssize_t ret = 0;

		fstream->ostream.sendv = o_stream_full_sendv;
		fstream->ostream.ostream.blocking = TRUE;
		fstream->left = (i / 2) * 50000;
		fstream->closed_too = i % 2 == 0;
		parent = o_stream_create(&fstream->ostream, NULL, -1);
		output = create(parent);
		for (j = 0; j < 4 && ret >= 0; j++)
			ret = o_stream_send(output, plain + j * 50000, 50000);
		ret = o_stream_finish(output);
		test_assert_idx(ret == (i < 10 ? -1 : 1), i);
		if (ret < 0) {
			test_assert_idx(output->stream_errno == ENOSPC, i);
			test_assert_strcmp_idx(o_stream_get_error(output),
					       "disk is full", i);
			test_assert_idx(o_stream_send(output, plain, 1) == -1,
					i);
		}
		o_stream_destroy(&output);
		o_stream_destroy(&parent);
	}
	test_end();
	i_free(plain);
}

static void test_ostream_age_abort(void)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);
	uint8_t *plain = age_file_plain(200000);
	struct ostream *parent, *output;
	unsigned int i;

	test_begin("ostream age: never finished");
	for (i = 0; i < 8; i++) {
		buffer_set_used_size(file, 0);
		parent = test_ostream_create(file);
		output = create(parent);
		if ((i & 1) != 0)
			o_stream_nsend(output, plain, 200000);
		if ((i & 2) != 0)
			o_stream_abort(output);
		if ((i & 4) != 0) {
			/* As index storage does when it fails a save. */
			o_stream_ignore_last_errors(output);
			o_stream_close(output);
			o_stream_unref(&output);
		} else {
			o_stream_ignore_last_errors(output);
			o_stream_destroy(&output);
		}
		test_assert_idx(!is_file_of(file, plain, 200000) &&
				!is_file_of(file, plain, 131072) &&
				!is_file_of(file, plain, 0), i);
		o_stream_destroy(&parent);
	}
	test_end();

	i_free(plain);
	buffer_free(&file);
}

static void test_ostream_age_fresh(void)
{
	buffer_t *files[2];
	unsigned int i;

	test_begin("ostream age: no two files have the same payload");
	for (i = 0; i < 2; i++) {
		struct ostream *parent, *output;

		files[i] = buffer_create_dynamic(default_pool, 1024);
		parent = test_ostream_create(files[i]);
		output = create(parent);
		test_assert(o_stream_send(output, "same", 4) == 4);
		test_assert(o_stream_finish(output) == 1);
		o_stream_destroy(&output);
		o_stream_destroy(&parent);
	}
	i = files[0]->used - 4 - AGE_CHUNK_TAG_SIZE;
	test_assert(memcmp(CONST_PTR_OFFSET(files[0]->data, i -
					    AGE_PAYLOAD_NONCE_SIZE),
			   CONST_PTR_OFFSET(files[1]->data, i -
					    AGE_PAYLOAD_NONCE_SIZE),
			   AGE_PAYLOAD_NONCE_SIZE) != 0);
	test_assert(memcmp(CONST_PTR_OFFSET(files[0]->data, i),
			   CONST_PTR_OFFSET(files[1]->data, i), 4) != 0);
	buffer_free(&files[0]);
	buffer_free(&files[1]);
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_ostream_age_sizes,
		test_ostream_age_iovec,
		test_ostream_age_nonblocking,
		test_ostream_age_buffer_size,
		test_ostream_age_full,
		test_ostream_age_abort,
		test_ostream_age_fresh,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(test_functions);
}
