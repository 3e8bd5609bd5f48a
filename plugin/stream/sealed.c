/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "istream-age-private.h"

/* What the parent must be able to buffer: the header of a usual file, a sealed
   chunk, and one byte more, by which the last chunk is told from the others. */
#define SEALED_BUFFER_SIZE (AGE_CHUNK_SEALED_SIZE + 4096)
/* The same for the largest header. */
#define HEADER_BUFFER_SIZE (AGE_HEADER_MAX_SIZE + 4096)

int age_istream_fail(struct age_istream *astream,
		     enum age_istream_failure failure, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	io_stream_set_verror(&astream->istream.iostream, fmt, args);
	va_end(args);
	astream->failure = failure;
	astream->failure_errno = EINVAL;
	astream->istream.istream.stream_errno = EINVAL;
	return -1;
}

int age_istream_fail_io(struct age_istream *astream)
{
	int parent_errno = astream->istream.parent->stream_errno;

	/* i_stream_get_error() finds the parent's text. */
	astream->failure = AGE_ISTREAM_IO;
	astream->failure_errno = parent_errno != 0 ? parent_errno : EIO;
	astream->istream.istream.stream_errno = astream->failure_errno;
	return -1;
}

/* Let every stream below buffer as much, however it was created: it is not
   known which of them has the buffer. */
static void widen_parents(struct age_istream *astream, size_t size)
{
	struct istream *s, *parent = astream->istream.parent;
	size_t max_size = i_stream_get_max_buffer_size(parent);

	if (max_size < size)
		max_size = size;
	for (s = parent; s != NULL; s = s->real_stream->parent) {
		if (s->real_stream->max_buffer_size < size)
			i_stream_set_max_buffer_size(s, max_size);
	}
}

/* Without this a file stream begins with 8 KiB and doubles. */
static void hint_parents(struct age_istream *astream)
{
	struct istream *root = astream->istream.parent;
	uoff_t size, start = astream->istream.parent_start_offset;
	size_t wanted = SEALED_BUFFER_SIZE;

	if (i_stream_get_size(root, FALSE, &size) > 0 &&
	    size >= start && size - start < wanted)
		wanted = size - start + 1;
	while (root->real_stream->parent != NULL)
		root = root->real_stream->parent;
	if (root->real_stream->init_buffer_size < wanted)
		i_stream_set_init_buffer_size(root, wanted);
}

/* Have the parent buffer wanted bytes. Returns 1 if it does or ends before, 0
   if there is no more input yet, -1 if reading failed. */
static int
read_parent(struct age_istream *astream, size_t wanted,
	    const unsigned char **data_r, size_t *size_r)
{
	struct istream *parent = astream->istream.parent;
	ssize_t ret;

	widen_parents(astream, wanted <= SEALED_BUFFER_SIZE ?
		      SEALED_BUFFER_SIZE : HEADER_BUFFER_SIZE);
	for (;;) {
		*data_r = i_stream_get_data(parent, size_r);
		if (*size_r >= wanted)
			return 1;
		ret = i_stream_read_memarea(parent);
		if (ret == 0)
			return 0;
		if (ret < 0)
			break;
	}
	if (ret == -2 || parent->stream_errno != 0)
		return age_istream_fail_io(astream);
	*data_r = i_stream_get_data(parent, size_r);
	return 1;
}

/* Returns 0 if more input is needed. */
static int
fail_unless_more(struct age_istream *astream, size_t size, bool eof,
		 const char *where)
{
	if (!eof)
		return 0;
	return age_istream_fail(astream, AGE_ISTREAM_BAD_HEADER,
		"The file is cut: it ends after %zu bytes, within its %s",
		size, where);
}

/* Go on with this payload key, which the caller wipes. */
static int
begin_payload(struct age_istream *astream, size_t header_size,
	      const uint8_t key[AGE_PAYLOAD_KEY_SIZE])
{
	astream->cipher = age_chunk_cipher_init(key);
	astream->chunks_offset = astream->istream.parent_start_offset +
		header_size + AGE_PAYLOAD_NONCE_SIZE;
	return 1;
}

static int
open_payload(struct age_istream *astream, const struct age_header *header,
	     const unsigned char *data)
{
	struct age_istream_known *known;
	uint8_t file_key[AGE_FILE_KEY_SIZE];
	const char *error = NULL;
	int ret;

	ret = astream->open_key(header, file_key, &error, astream->context);
	if (ret < 0) {
		return age_istream_fail(astream, AGE_ISTREAM_BAD_HEADER,
					"%s", error);
	}
	if (ret == 0) {
		return age_istream_fail(astream, AGE_ISTREAM_NO_IDENTITY, "%s",
			error != NULL ? error : "No identity opens it");
	}

	known = age_istream_known_init(astream);
	hash_blake2b(data, header->size + AGE_PAYLOAD_NONCE_SIZE,
		     known->header_hash);
	age_payload_key(file_key, data + header->size, known->payload_key);
	secret_wipe(file_key, sizeof(file_key));
	return begin_payload(astream, header->size, known->payload_key);
}

static int
parse_header(struct age_istream *astream,
	     const unsigned char *data, size_t size, bool eof)
{
	struct age_header header;
	const char *error;
	int ret;

	ret = age_header_parse(pool_datastack_create(), data, size,
			       &header, &error);
	if (ret < 0) {
		return age_istream_fail(astream, AGE_ISTREAM_BAD_HEADER,
					"%s", error);
	}
	if (ret > 0 && size >= header.size + AGE_PAYLOAD_NONCE_SIZE)
		return open_payload(astream, &header, data);
	return fail_unless_more(astream, size, eof, ret == 0 ? "header" :
				"payload's nonce");
}

/* The size of a header by its last line, which is not looked at otherwise: what
   it is worth, its hash tells. 0 if it isn't all there. */
static size_t find_header_size(const unsigned char *data, size_t size)
{
	static const char mark[] = "--- ";
	const unsigned char *line = data, *end;
	size_t left;
	bool last;

	for (;;) {
		left = size - (line - data);
		end = memchr(line, '\n', left);
		if (end == NULL)
			return 0;
		last = left >= sizeof(mark) &&
			memcmp(line, mark, sizeof(mark) - 1) == 0;
		line = end + 1;
		if (last)
			return line - data;
	}
}

/* Returns 1 if the header is the known one, 0 if not. */
static int
open_known(struct age_istream *astream, const unsigned char *data, size_t size)
{
	size_t header_size = find_header_size(data, size);
	uint8_t hash[HASH_SIZE];

	if (header_size == 0 || size < header_size + AGE_PAYLOAD_NONCE_SIZE)
		return 0;
	hash_blake2b(data, header_size + AGE_PAYLOAD_NONCE_SIZE, hash);
	if (memcmp(hash, astream->known->header_hash, sizeof(hash)) != 0)
		return 0;
	return begin_payload(astream, header_size,
			     astream->known->payload_key);
}

int age_istream_open_header(struct age_istream *astream)
{
	struct istream_private *stream = &astream->istream;
	const unsigned char *data;
	size_t size = 0, wanted;
	int ret;

	if (astream->failure != AGE_ISTREAM_OK) {
		/* Whoever cleared it: once failed is failed. */
		stream->istream.stream_errno = astream->failure_errno;
		return -1;
	}
	if (astream->cipher != NULL)
		return 1;

	i_stream_seek(stream->parent, stream->parent_start_offset);
	hint_parents(astream);
	do {
		wanted = size + 1;
		ret = read_parent(astream, wanted, &data, &size);
		if (ret <= 0)
			return ret;
		/* A usual header is whole with the first read. */
		if (astream->known != NULL &&
		    open_known(astream, data, size) > 0)
			return 1;
		T_BEGIN {
			ret = parse_header(astream, data, size,
					   size < wanted);
		} T_END;
	} while (ret == 0);
	return ret;
}

int age_istream_read_sealed(struct age_istream *astream, uint64_t index,
			    const unsigned char **sealed_r, size_t *size_r,
			    bool *more_r)
{
	uoff_t offset;
	int ret;

	*more_r = FALSE;
	if (index > (INT64_MAX - astream->chunks_offset) /
	    AGE_CHUNK_SEALED_SIZE - 1) {
		/* No file is that large. */
		*size_r = 0;
		return 1;
	}
	offset = astream->chunks_offset + index * AGE_CHUNK_SEALED_SIZE;
	i_stream_seek(astream->istream.parent, offset);
	ret = read_parent(astream, AGE_CHUNK_SEALED_SIZE + 1,
			  sealed_r, size_r);
	if (ret > 0 && *size_r > AGE_CHUNK_SEALED_SIZE) {
		*size_r = AGE_CHUNK_SEALED_SIZE;
		*more_r = TRUE;
	}
	return ret;
}

/* Open a chunk. That it is the last is known from the end of the file alone,
   and must agree with its mark. */
int age_istream_open_chunk(struct age_istream *astream, uint64_t index,
			   const unsigned char *sealed, size_t size, bool more,
			   unsigned char *plain_r)
{
	uoff_t offset = index * AGE_CHUNK_SIZE;

	if (age_chunk_open(astream->cipher, index,
			   more ? AGE_CHUNK_MIDDLE : AGE_CHUNK_LAST,
			   sealed, size, plain_r)) {
		if (!more) {
			astream->istream.cached_stream_size =
				offset + size - AGE_CHUNK_TAG_SIZE;
		}
		return 1;
	}
	if (astream->rescue && size == AGE_CHUNK_SEALED_SIZE &&
	    age_chunk_open(astream->cipher, index,
			   more ? AGE_CHUNK_LAST : AGE_CHUNK_MIDDLE,
			   sealed, size, plain_r)) {
		astream->damage_offset = offset + AGE_CHUNK_SIZE;
		return 1;
	}
	if (more) {
		return age_istream_fail(astream, AGE_ISTREAM_BAD_PAYLOAD,
			"Chunk %"PRIu64" is not authentic: it is damaged or "
			"out of place, or the file goes on after its end",
			index + 1);
	}
	return age_istream_fail(astream, AGE_ISTREAM_BAD_PAYLOAD,
		"The last chunk (number %"PRIu64", %zu bytes) is not "
		"authentic: it is damaged, or the file was cut or continued",
		index + 1, size);
}

int age_istream_expect_size(struct age_istream *astream, bool exact,
			    uoff_t *size_r)
{
	uoff_t file_size;
	uoff_t nonce_offset = astream->chunks_offset - AGE_PAYLOAD_NONCE_SIZE;
	int ret;

	ret = i_stream_get_size(astream->istream.parent, exact, &file_size);
	if (ret < 0)
		return age_istream_fail_io(astream);
	if (ret == 0)
		return 0;
	if (file_size >= nonce_offset &&
	    age_payload_plain_size(file_size - nonce_offset, size_r))
		return 1;
	/* Where the size is but a guess, reading will tell. */
	if (!exact)
		return 0;
	return age_istream_fail(astream, AGE_ISTREAM_BAD_PAYLOAD,
		"The file is cut: no whole one has a size of "
		"%"PRIuUOFF_T" bytes",
		file_size);
}
