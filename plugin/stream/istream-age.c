/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "stream/chunk-cache.h"
#include "istream-age-private.h"

static int fail_missing(struct age_istream *astream, uint64_t index)
{
	return age_istream_fail(astream, AGE_ISTREAM_BAD_PAYLOAD,
		"The file is cut: it ends before chunk %"PRIu64" "
		"and has no last chunk", index + 1);
}

/* Find and authenticate the last chunk, after which cached_stream_size is set.
   Returns 1 if found, 0 if the file's size is not known, -1 if failed. */
static int find_end(struct age_istream *astream)
{
	struct istream_private *stream = &astream->istream;
	uoff_t size;
	uint64_t index;
	bool found;
	int ret;

	if (stream->cached_stream_size != UOFF_T_MAX)
		return 1;
	if (!stream->parent->seekable)
		return 0;
	ret = age_istream_expect_size(astream, TRUE, &size);
	if (ret <= 0)
		return ret;

	index = size == 0 ? 0 : (size - 1) / AGE_CHUNK_SIZE;
	/* A reader that holds data keeps it; else the chunk may well be the
	   one that is read next. */
	ret = stream->pos > stream->skip ?
		age_istream_check_chunk(astream, index, &found) :
		age_istream_load_chunk(astream, index, &found);
	if (ret <= 0)
		return ret;
	if (stream->cached_stream_size == UOFF_T_MAX)
		return fail_missing(astream, index);
	return 1;
}

/* Point skip and pos at the reader's place in the buffer. Returns FALSE if the
   byte after what the reader holds isn't there. */
static bool find_buffered(struct age_istream *astream)
{
	struct istream_private *stream = &astream->istream;
	size_t kept = stream->pos - stream->skip;
	uoff_t offset = stream->istream.v_offset + kept;

	if (stream->w_buffer == NULL || offset < astream->plain_offset ||
	    offset - astream->plain_offset >= astream->plain_size)
		return FALSE;
	stream->pos = offset - astream->plain_offset;
	stream->skip = stream->pos - kept;
	return TRUE;
}

/* Load the chunk that holds offset, or learn that it is behind the end. Where
   the parent can't be sought, the chunk that comes next. */
static int load_offset(struct age_istream *astream, uoff_t offset)
{
	struct istream_private *stream = &astream->istream;
	uint64_t index = stream->parent->seekable ?
		offset / AGE_CHUNK_SIZE : astream->next_index;
	bool found;
	int ret;

	if (offset >= astream->damage_offset) {
		return age_istream_fail(astream, AGE_ISTREAM_BAD_PAYLOAD,
			"The file was cut or continued after chunk %"PRIu64,
			astream->damage_offset / AGE_CHUNK_SIZE);
	}
	ret = age_istream_load_chunk(astream, index, &found);
	if (ret <= 0 || found)
		return ret;
	/* That there is nothing here is believed only from the last chunk
	   (age.md, "Payload": seeking relatively to the end of file). */
	if (index > 0 && find_end(astream) < 0)
		return -1;
	if (stream->cached_stream_size > index * AGE_CHUNK_SIZE)
		return fail_missing(astream, index);
	return 1;
}

static ssize_t i_stream_age_read(struct istream_private *stream)
{
	struct age_istream *astream =
		container_of(stream, struct age_istream, istream);
	size_t limit = I_MAX(stream->max_buffer_size, 1);
	size_t kept = stream->pos - stream->skip, size;
	uoff_t offset = stream->istream.v_offset + kept;
	int ret;

	if (kept >= limit)
		return -2;
	if ((ret = age_istream_open_header(astream)) <= 0)
		return ret;
	while (!find_buffered(astream)) {
		if (offset >= stream->cached_stream_size) {
			stream->istream.eof = TRUE;
			return -1;
		}
		ret = load_offset(astream, offset);
		if (ret <= 0)
			return ret;
	}

	size = astream->plain_size - stream->pos;
	if (size > limit - kept)
		size = limit - kept;
	stream->pos += size;
	/* There may be more in the buffers than the caller's fd tells. */
	if (!stream->istream.blocking)
		i_stream_set_input_pending(&stream->istream, TRUE);
	return size;
}

/* read() finds the place in the buffer again, or loads the chunk it is in. The
   default would read through all that lies between. */
static void
i_stream_age_seek(struct istream_private *stream, uoff_t v_offset,
		  bool mark ATTR_UNUSED)
{
	struct age_istream *astream =
		container_of(stream, struct age_istream, istream);

	stream->istream.v_offset = v_offset;
	stream->skip = stream->pos = 0;
	if (stream->parent->seekable || find_buffered(astream) ||
	    v_offset >= stream->cached_stream_size ||
	    v_offset >= astream->next_index * AGE_CHUNK_SIZE)
		return;
	io_stream_set_error(&stream->iostream,
		"Can't seek back to offset %"PRIuUOFF_T
		" in a stream that isn't seekable", v_offset);
	stream->istream.stream_errno = ESPIPE;
}

static void i_stream_age_sync(struct istream_private *stream)
{
	struct age_istream *astream =
		container_of(stream, struct age_istream, istream);

	if (!stream->parent->seekable)
		return;
	i_stream_sync(stream->parent);
	if (astream->cache != NULL)
		age_chunk_cache_unref(&astream->cache);
	astream->plain_size = 0;
	stream->skip = stream->pos = 0;
	stream->cached_stream_size = UOFF_T_MAX;
	stream->istream.eof = FALSE;
}

static int
i_stream_age_get_size(struct istream_private *stream, bool exact,
		      uoff_t *size_r)
{
	struct age_istream *astream =
		container_of(stream, struct age_istream, istream);
	int ret;

	if ((ret = age_istream_open_header(astream)) > 0 && exact)
		ret = find_end(astream);
	if (ret > 0) {
		*size_r = stream->cached_stream_size;
		if (*size_r == UOFF_T_MAX) {
			ret = age_istream_expect_size(astream, FALSE,
						      size_r);
		}
	}
	/* As i_stream_read() does: the parent was moved by us. */
	stream->parent_expected_offset = stream->parent->v_offset;
	stream->access_counter = stream->parent->real_stream->access_counter;
	return ret;
}

static int i_stream_age_stat(struct istream_private *stream, bool exact)
{
	struct age_istream *astream =
		container_of(stream, struct age_istream, istream);
	const struct stat *st;
	uoff_t size;
	int ret;

	/* For all but the size. */
	if (i_stream_stat(stream->parent, FALSE, &st) < 0)
		return age_istream_fail_io(astream);
	stream->statbuf = *st;
	stream->statbuf.st_size = -1;
	ret = i_stream_age_get_size(stream, exact, &size);
	if (ret > 0)
		stream->statbuf.st_size = size;
	return ret < 0 ? -1 : 0;
}

/* Not handed down: the parent needs its room. */
static void
i_stream_age_set_max_buffer_size(struct iostream_private *stream,
				 size_t max_size)
{
	struct istream_private *_stream =
		container_of(stream, struct istream_private, iostream);

	_stream->max_buffer_size = max_size;
}

static void
i_stream_age_close(struct iostream_private *stream, bool close_parent)
{
	struct age_istream *astream =
		container_of(stream, struct age_istream, istream.iostream);

	if (astream->cipher != NULL)
		age_chunk_cipher_deinit(&astream->cipher);
	age_istream_known_deinit(astream);
	if (astream->cache != NULL)
		age_chunk_cache_unref(&astream->cache);
	if (close_parent)
		i_stream_close(astream->istream.parent);
}

struct istream *i_stream_create_age(struct istream *input,
				    age_istream_open_key_t *open_key,
				    void *context)
{
	struct age_istream *astream;

	astream = i_new(struct age_istream, 1);
	astream->open_key = open_key;
	astream->context = context;
	astream->damage_offset = UOFF_T_MAX;

	astream->istream.iostream.close = i_stream_age_close;
	astream->istream.iostream.set_max_buffer_size =
		i_stream_age_set_max_buffer_size;
	/* As every filter does, although a chunk is more: Dovecot has readers
	   that rely on getting no more at once (index-mail-binary.c). */
	astream->istream.max_buffer_size = input->real_stream->max_buffer_size;
	astream->istream.read = i_stream_age_read;
	astream->istream.seek = i_stream_age_seek;
	astream->istream.sync = i_stream_age_sync;
	astream->istream.stat = i_stream_age_stat;
	astream->istream.get_size = i_stream_age_get_size;

	astream->istream.istream.readable_fd = FALSE;
	astream->istream.istream.blocking = input->blocking;
	astream->istream.istream.seekable = input->seekable;
	return i_stream_create(&astream->istream, input,
			       i_stream_get_fd(input), 0);
}

struct age_istream *age_istream_cast(struct istream *input)
{
	i_assert(input->real_stream->read == i_stream_age_read);
	return container_of(input->real_stream, struct age_istream, istream);
}

void i_stream_age_set_rescue(struct istream *input)
{
	age_istream_cast(input)->rescue = TRUE;
}

enum age_istream_failure i_stream_age_failure(struct istream *input)
{
	struct age_istream *astream = age_istream_cast(input);

	if (astream->failure == AGE_ISTREAM_OK && input->stream_errno != 0)
		return AGE_ISTREAM_IO;
	return astream->failure;
}

int i_stream_starts_as_age(struct istream *input)
{
	const unsigned char *data;
	size_t size;
	ssize_t ret;

	for (;;) {
		data = i_stream_get_data(input, &size);
		if (memcmp(data, AGE_MAGIC, I_MIN(size, AGE_MAGIC_SIZE)) != 0)
			return 0;
		if (size >= AGE_MAGIC_SIZE)
			return 1;
		ret = i_stream_read(input);
		if (ret == -2)
			i_stream_set_max_buffer_size(input, AGE_MAGIC_SIZE);
		else if (ret < 0)
			return input->stream_errno != 0 ? -1 : 0;
	}
}

/* The first line may be damaged as any other. No mail has a second line that
   begins so: it is neither a header field nor the end of the header. */
static int second_line_is_stanza(struct istream *input)
{
	static const char stanza[] = "\n-> ";
	const size_t offset = sizeof(AGE_VERSION_LINE) - 1;
	const size_t wanted = offset + sizeof(stanza) - 1;
	const unsigned char *data;
	size_t size;

	if (i_stream_read_bytes(input, &data, &size, wanted) <= 0)
		return input->stream_errno != 0 ? -1 : 0;
	return memcmp(data + offset, stanza, wanted - offset) == 0 ? 1 : 0;
}

int i_stream_is_sealed_mail(struct istream *input)
{
	const unsigned char *data;
	size_t size;
	int ret;

	ret = i_stream_starts_as_age(input);
	if (ret != 0)
		return ret;
	/* A file that was cut within the first line isn't a plain message:
	   there is none that is empty or has no line. */
	data = i_stream_get_data(input, &size);
	if (size < AGE_MAGIC_SIZE && memcmp(data, AGE_MAGIC, size) == 0)
		return 1;
	return second_line_is_stanza(input);
}
