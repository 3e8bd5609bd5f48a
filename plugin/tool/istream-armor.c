/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream-private.h"
#include "age/armor.h"
#include "istream-armor.h"

/* The longest line: 64 characters, and generously white space around them and
   before the armor. */
#define MAX_LINE_SIZE 1024

struct armor_istream {
	struct istream_private istream;
	struct age_armor_decoder decoder;
	bool malformed;
};

static int fail(struct armor_istream *astream, const char *error)
{
	io_stream_set_error(&astream->istream.iostream, "%s", error);
	astream->istream.istream.stream_errno = EINVAL;
	astream->malformed = TRUE;
	return -1;
}

/* Find the next whole line in what the parent has buffered. Returns FALSE if
   there is none. line_end_size_r is what follows it. */
static bool
find_line(struct armor_istream *astream, bool eof, const char **line_r,
	  size_t *size_r, size_t *line_end_size_r)
{
	const unsigned char *data, *lf;
	size_t size;

	data = i_stream_get_data(astream->istream.parent, &size);
	*line_r = (const char *)data;
	lf = memchr(data, '\n', size);
	if (lf == NULL) {
		*size_r = size;
		*line_end_size_r = 0;
		return eof && size > 0;
	}
	*size_r = lf - data;
	*line_end_size_r = 1;
	if (lf > data && lf[-1] == '\r') {
		*size_r -= 1;
		*line_end_size_r = 2;
	}
	return TRUE;
}

/* Decode the lines that are there, as far as they fit the buffer. */
static int decode_lines(struct armor_istream *astream, bool eof)
{
	struct istream_private *stream = &astream->istream;
	const char *line, *error;
	size_t line_size, line_end_size, data_size, avail;

	while (i_stream_try_alloc(stream, AGE_ARMOR_LINE_SIZE, &avail) &&
	       avail >= AGE_ARMOR_LINE_SIZE &&
	       find_line(astream, eof, &line, &line_size, &line_end_size)) {
		if (age_armor_decode_line(&astream->decoder, line, line_size,
					  stream->w_buffer + stream->pos,
					  &data_size, &error) < 0)
			return fail(astream, error);
		stream->pos += data_size;
		i_stream_skip(stream->parent, line_size + line_end_size);
	}
	return 0;
}

static ssize_t i_stream_armor_read(struct istream_private *stream)
{
	struct armor_istream *astream =
		container_of(stream, struct armor_istream, istream);
	size_t avail, kept = stream->pos - stream->skip;
	ssize_t ret;
	bool eof = FALSE;

	for (;;) {
		T_BEGIN {
			ret = decode_lines(astream, eof);
		} T_END;
		if (ret < 0)
			return -1;
		ret = stream->pos - stream->skip - kept;
		if (ret > 0)
			return ret;
		if (!i_stream_try_alloc(stream, AGE_ARMOR_LINE_SIZE, &avail) ||
		    avail < AGE_ARMOR_LINE_SIZE)
			return -2;
		if (eof)
			break;
		if (i_stream_get_data_size(stream->parent) > MAX_LINE_SIZE)
			return fail(astream, "The armor has a line that is "
				    "longer than any may be");
		ret = i_stream_read_memarea(stream->parent);
		if (ret == 0)
			return 0;
		eof = ret < 0;
	}

	if (stream->parent->stream_errno != 0) {
		stream->istream.stream_errno = stream->parent->stream_errno;
		return -1;
	}
	if (!astream->decoder.ended)
		return fail(astream, "The armor ends without "
			    "\""AGE_ARMOR_END"\": the file is cut");
	stream->istream.eof = TRUE;
	return -1;
}

struct istream *i_stream_create_armor(struct istream *input)
{
	struct armor_istream *astream;

	astream = i_new(struct armor_istream, 1);
	astream->istream.max_buffer_size = input->real_stream->max_buffer_size;
	astream->istream.read = i_stream_armor_read;
	astream->istream.istream.blocking = input->blocking;
	return i_stream_create(&astream->istream, input,
			       i_stream_get_fd(input), 0);
}

bool i_stream_armor_is_malformed(struct istream *input)
{
	const struct armor_istream *astream =
		container_of(input->real_stream, struct armor_istream, istream);

	i_assert(input->real_stream->read == i_stream_armor_read);
	return astream->malformed;
}

int i_stream_starts_as_armor(struct istream *input)
{
	const unsigned char *data;
	size_t size, i;
	ssize_t ret;

	do {
		data = i_stream_get_data(input, &size);
		for (i = 0; i < size && i < MAX_LINE_SIZE; i++) {
			if (memchr(" \t\r\n", data[i], 4) == NULL)
				return data[i] == '-' ? 1 : 0;
		}
		if (i == MAX_LINE_SIZE)
			return 0;
		ret = i_stream_read(input);
	} while (ret > 0);
	return ret == 0 ? -1 : 0;
}
