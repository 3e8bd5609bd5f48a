/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "byteorder.h"
#include "istream-private.h"
#include "crypto/aead.h"
#include "age-file.h"

const uint8_t age_file_key[AGE_FILE_KEY_SIZE] = "YELLOW SUBMARIN";
static const uint8_t payload_nonce[AGE_PAYLOAD_NONCE_SIZE] = "nonce of a test";

uint8_t *age_file_plain(size_t size)
{
	uint8_t *plain = i_malloc(size + 1);
	uint32_t x = 2463534242;
	size_t i;

	for (i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		plain[i] = x >> 11;
	}
	return plain;
}

void age_file_header(buffer_t *dest, size_t body_size)
{
	const char *const args[] = { "test.example/key", "argument" };
	uint8_t *body = i_malloc(body_size + 1);
	struct age_stanza stanza = {
		.args = args,
		.args_count = N_ELEMENTS(args),
		.body = body,
		.body_size = body_size
	};

	age_header_write(&stanza, 1, age_file_key, dest, NULL);
	buffer_append(dest, payload_nonce, sizeof(payload_nonce));
	i_free(body);
}

void age_file_chunk(buffer_t *dest, uint64_t index,
		    enum age_chunk_position position,
		    const uint8_t *plain, size_t size)
{
	uint8_t key[AGE_PAYLOAD_KEY_SIZE], nonce[AEAD_NONCE_SIZE];
	struct aead *aead;

	/* Not age_chunk_seal(), which doesn't make what no file may have. */
	memset(nonce, 0, sizeof(nonce));
	cpu32_to_be_unaligned(index, &nonce[7]);
	nonce[11] = position;
	age_payload_key(age_file_key, payload_nonce, key);
	aead = aead_init(key);
	aead_seal(aead, nonce, plain, size,
		  buffer_append_space_unsafe(dest, size + AGE_CHUNK_TAG_SIZE));
	aead_deinit(&aead);
}

size_t age_file_seal(buffer_t *dest, const uint8_t *plain, size_t size)
{
	size_t start;
	uint64_t index = 0;

	age_file_header(dest, 32);
	start = dest->used;
	while (size > AGE_CHUNK_SIZE) {
		age_file_chunk(dest, index++, AGE_CHUNK_MIDDLE, plain,
			       AGE_CHUNK_SIZE);
		plain += AGE_CHUNK_SIZE;
		size -= AGE_CHUNK_SIZE;
	}
	age_file_chunk(dest, index, AGE_CHUNK_LAST, plain, size);
	return start;
}

int age_file_open_key(const struct age_header *header,
		      uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		      const char **error_r, void *context)
{
	unsigned int *calls = context;

	if (calls != NULL)
		*calls += 1;
	if (!age_header_verify(header, age_file_key)) {
		*error_r = "MAC is wrong";
		return -1;
	}
	memcpy(file_key_r, age_file_key, AGE_FILE_KEY_SIZE);
	return 1;
}

struct dribble_istream {
	struct istream_private istream;
	struct dribble_set *set;
	const uint8_t *data;
	size_t size;
	bool paused;
};

static ssize_t i_stream_dribble_read(struct istream_private *stream)
{
	struct dribble_istream *dstream =
		container_of(stream, struct dribble_istream, istream);
	struct dribble_set *set = dstream->set;
	uoff_t offset = stream->istream.v_offset + (stream->pos - stream->skip);
	size_t size;

	if (!i_stream_try_alloc(stream, 1, &size))
		return -2;
	set->high_buffer_size = I_MAX(set->high_buffer_size,
				      stream->buffer_size);
	dstream->paused = set->pause && !dstream->paused;
	if (dstream->paused)
		return 0;
	if (set->fail_offset > 0 && offset >= set->fail_offset) {
		io_stream_set_error(&stream->iostream, "dribble broke");
		stream->istream.stream_errno = EIO;
		return -1;
	}
	if (offset >= dstream->size) {
		stream->istream.eof = TRUE;
		return -1;
	}
	size = I_MIN(size, dstream->size - offset);
	if (set->step > 0)
		size = I_MIN(size, set->step);
	memcpy(stream->w_buffer + stream->pos, dstream->data + offset, size);
	stream->pos += size;
	set->bytes_read += size;
	set->high_offset = I_MAX(set->high_offset, offset + size);
	return size;
}

static int
i_stream_dribble_get_size(struct istream_private *stream, bool exact,
			  uoff_t *size_r)
{
	struct dribble_istream *dstream =
		container_of(stream, struct dribble_istream, istream);

	if (dstream->set->unsized)
		return 0;
	*size_r = !exact && dstream->set->size_guess > 0 ?
		dstream->set->size_guess : dstream->size;
	return 1;
}

struct istream *i_stream_create_dribble(struct dribble_set *set,
					const void *data, size_t size)
{
	struct dribble_istream *dstream;

	dstream = i_new(struct dribble_istream, 1);
	dstream->set = set;
	dstream->data = data;
	dstream->size = size;
	dstream->istream.max_buffer_size =
		set->max_buffer_size > 0 ? set->max_buffer_size : 8192;
	dstream->istream.read = i_stream_dribble_read;
	dstream->istream.get_size = i_stream_dribble_get_size;
	dstream->istream.istream.blocking = !set->pause;
	dstream->istream.istream.seekable = !set->unseekable;
	return i_stream_create(&dstream->istream, NULL, -1, 0);
}
