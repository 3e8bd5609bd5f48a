/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "ostream-private.h"
#include "age/chunk.h"
#include "crypto/secret.h"
#include "stream/ostream-age.h"

/* A buffer of a message that is small, and by what it grows. */
#define BUFFER_MIN_SIZE 4096
#define BUFFER_GROWTH 4

struct age_ostream {
	struct ostream_private ostream;

	struct age_chunk_cipher *cipher;
	uint64_t index;

	/* Header and nonce, which go before the first chunk. */
	uint8_t *prefix;
	size_t prefix_size, prefix_sent;

	/* One chunk, sealed in place. It holds plain_size bytes of plaintext
	   until it is sealed, then sealed_size bytes, of which the parent has
	   taken sealed_sent. Never both. */
	uint8_t *buffer;
	size_t buffer_size;
	size_t plain_size;
	size_t sealed_size, sealed_sent;

	/* The last chunk was sealed. */
	bool complete:1;
};

static void
resize_buffer(struct age_ostream *aostream, size_t wanted)
{
	size_t size = I_MAX(aostream->buffer_size, BUFFER_MIN_SIZE);
	uint8_t *buffer;

	while (size < wanted)
		size *= BUFFER_GROWTH;
	if (size > AGE_CHUNK_SEALED_SIZE)
		size = AGE_CHUNK_SEALED_SIZE;
	if (size == aostream->buffer_size)
		return;

	/* Not i_realloc(): it would leave a copy behind. */
	buffer = i_malloc(size);
	if (aostream->plain_size > 0) {
		memcpy(buffer, aostream->buffer, aostream->plain_size);
		secret_wipe(aostream->buffer, aostream->plain_size);
	}
	i_free(aostream->buffer);
	aostream->buffer = buffer;
	aostream->buffer_size = size;
}

/* Send what is sealed, with the prefix before the first of it. Returns 1 if all
   is sent, 0 if the parent can't take it yet, -1 if failed. */
static int send_sealed(struct age_ostream *aostream)
{
	struct const_iovec iov[2];
	size_t left = aostream->sealed_size - aostream->sealed_sent;
	size_t prefix_left = aostream->prefix_size - aostream->prefix_sent;
	unsigned int count = 0;
	ssize_t ret;

	if (left == 0)
		return 1;
	if (prefix_left > 0) {
		iov[count].iov_base = aostream->prefix + aostream->prefix_sent;
		iov[count++].iov_len = prefix_left;
	}
	iov[count].iov_base = aostream->buffer + aostream->sealed_sent;
	iov[count++].iov_len = left;

	ret = o_stream_sendv(aostream->ostream.parent, iov, count);
	if (ret < 0) {
		o_stream_copy_error_from_parent(&aostream->ostream);
		return -1;
	}
	if ((size_t)ret < prefix_left) {
		aostream->prefix_sent += ret;
		return 0;
	}
	aostream->prefix_sent = aostream->prefix_size;
	aostream->sealed_sent += ret - prefix_left;
	if (aostream->sealed_sent < aostream->sealed_size)
		return 0;
	aostream->sealed_size = aostream->sealed_sent = 0;
	return 1;
}

/* Seal the next chunk into the buffer, which data may be. */
static void
seal_chunk(struct age_ostream *aostream, const uint8_t *data, size_t size,
	   enum age_chunk_position position)
{
	i_assert(aostream->sealed_size == 0);

	resize_buffer(aostream, size + AGE_CHUNK_TAG_SIZE);
	age_chunk_seal(aostream->cipher, aostream->index++, position,
		       data == NULL ? aostream->buffer : data, size,
		       aostream->buffer);
	aostream->plain_size = 0;
	aostream->sealed_size = size + AGE_CHUNK_TAG_SIZE;
}

/* Take some of the data, of which there is at least one byte. Returns the
   number of bytes, 0 if the parent has to take more first, -1 if failed. */
static ssize_t
take_data(struct age_ostream *aostream, const uint8_t *data, size_t size)
{
	int ret;

	/* More follows, so the full chunk isn't the last. */
	if (aostream->plain_size == AGE_CHUNK_SIZE)
		seal_chunk(aostream, NULL, AGE_CHUNK_SIZE, AGE_CHUNK_MIDDLE);
	if ((ret = send_sealed(aostream)) <= 0)
		return ret;

	if (aostream->plain_size == 0 && size > AGE_CHUNK_SIZE) {
		/* Without a copy. What the parent doesn't take stays. */
		seal_chunk(aostream, data, AGE_CHUNK_SIZE, AGE_CHUNK_MIDDLE);
		return send_sealed(aostream) < 0 ? -1 : AGE_CHUNK_SIZE;
	}
	if (size > AGE_CHUNK_SIZE - aostream->plain_size)
		size = AGE_CHUNK_SIZE - aostream->plain_size;
	/* The tag's room is for sealing in place later. */
	resize_buffer(aostream,
		      aostream->plain_size + size + AGE_CHUNK_TAG_SIZE);
	memcpy(aostream->buffer + aostream->plain_size, data, size);
	aostream->plain_size += size;
	return size;
}

static ssize_t
o_stream_age_sendv(struct ostream_private *stream,
		   const struct const_iovec *iov, unsigned int iov_count)
{
	struct age_ostream *aostream =
		container_of(stream, struct age_ostream, ostream);
	ssize_t ret, total = 0;
	unsigned int i;
	size_t pos;

	for (i = 0; i < iov_count; i++) {
		for (pos = 0; pos < iov[i].iov_len; pos += ret) {
			ret = take_data(aostream,
					CONST_PTR_OFFSET(iov[i].iov_base, pos),
					iov[i].iov_len - pos);
			if (ret < 0)
				return -1;
			if (ret == 0)
				return total;
			stream->ostream.offset += ret;
			total += ret;
		}
	}
	return total;
}

static int o_stream_age_flush(struct ostream_private *stream)
{
	struct age_ostream *aostream =
		container_of(stream, struct age_ostream, ostream);
	int ret;

	if ((ret = send_sealed(aostream)) <= 0)
		return ret;
	if (stream->finished && !aostream->complete) {
		seal_chunk(aostream, NULL, aostream->plain_size,
			   AGE_CHUNK_LAST);
		aostream->complete = TRUE;
		if ((ret = send_sealed(aostream)) <= 0)
			return ret;
	}
	return o_stream_flush_parent(stream);
}

/* What a flush would send: not the chunk that is held back, as nobody could
   wait for that to become empty. */
static size_t
o_stream_age_get_buffer_used_size(const struct ostream_private *stream)
{
	const struct age_ostream *aostream =
		container_of(stream, const struct age_ostream, ostream);
	size_t used = aostream->sealed_size - aostream->sealed_sent;

	if (used > 0)
		used += aostream->prefix_size - aostream->prefix_sent;
	return used + o_stream_get_buffer_used_size(stream->parent);
}

/* What can be sent in without the parent taking any of it. */
static size_t
o_stream_age_get_buffer_avail_size(const struct ostream_private *stream)
{
	const struct age_ostream *aostream =
		container_of(stream, const struct age_ostream, ostream);
	size_t prefix = aostream->prefix_size - aostream->prefix_sent;
	size_t avail = o_stream_get_buffer_avail_size(stream->parent);

	if (aostream->sealed_size > 0)
		return 0;
	avail = avail < prefix ? 0 :
		(avail - prefix) / AGE_CHUNK_SEALED_SIZE * AGE_CHUNK_SIZE;
	return avail + AGE_CHUNK_SIZE - aostream->plain_size;
}

/* Not an error if the file isn't whole: that is how a save is aborted. */
static void
o_stream_age_close(struct iostream_private *stream, bool close_parent)
{
	struct age_ostream *aostream =
		container_of(stream, struct age_ostream, ostream.iostream);

	if (close_parent)
		o_stream_close(aostream->ostream.parent);
}

static void o_stream_age_destroy(struct iostream_private *stream)
{
	struct age_ostream *aostream =
		container_of(stream, struct age_ostream, ostream.iostream);

	age_chunk_cipher_deinit(&aostream->cipher);
	if (aostream->plain_size > 0)
		secret_wipe(aostream->buffer, aostream->plain_size);
	i_free(aostream->buffer);
	i_free(aostream->prefix);
	o_stream_unref(&aostream->ostream.parent);
}

struct ostream *o_stream_create_age(struct ostream *output,
				    const uint8_t *header, size_t header_size,
				    const uint8_t file_key[AGE_FILE_KEY_SIZE])
{
	struct age_ostream *aostream;
	uint8_t *nonce, key[AGE_PAYLOAD_KEY_SIZE];

	aostream = i_new(struct age_ostream, 1);
	aostream->prefix_size = header_size + AGE_PAYLOAD_NONCE_SIZE;
	aostream->prefix = i_malloc(aostream->prefix_size);
	memcpy(aostream->prefix, header, header_size);
	nonce = aostream->prefix + header_size;
	secret_random(nonce, AGE_PAYLOAD_NONCE_SIZE);

	age_payload_key(file_key, nonce, key);
	aostream->cipher = age_chunk_cipher_init(key);
	secret_wipe(key, sizeof(key));

	aostream->ostream.iostream.close = o_stream_age_close;
	aostream->ostream.iostream.destroy = o_stream_age_destroy;
	aostream->ostream.sendv = o_stream_age_sendv;
	aostream->ostream.flush = o_stream_age_flush;
	aostream->ostream.get_buffer_used_size =
		o_stream_age_get_buffer_used_size;
	aostream->ostream.get_buffer_avail_size =
		o_stream_age_get_buffer_avail_size;
	return o_stream_create(&aostream->ostream, output,
			       o_stream_get_fd(output));
}
