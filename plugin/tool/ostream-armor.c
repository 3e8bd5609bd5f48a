/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "ostream-private.h"
#include "age/armor.h"
#include "age/base64.h"
#include "ostream-armor.h"

/* Text is collected up to this before it is written. */
#define TEXT_SIZE (64 * 1024)

struct armor_ostream {
	struct ostream_private ostream;
	string_t *text;
	uint8_t line[AGE_ARMOR_LINE_SIZE];
	size_t line_size;
	bool complete;
};

static int send_text(struct armor_ostream *astream)
{
	if (o_stream_send(astream->ostream.parent, str_data(astream->text),
			  str_len(astream->text)) < 0) {
		o_stream_copy_error_from_parent(&astream->ostream);
		return -1;
	}
	str_truncate(astream->text, 0);
	return 0;
}

static void append_line(struct armor_ostream *astream)
{
	if (astream->line_size == 0)
		return;
	age_base64_encode(astream->line, astream->line_size, astream->text);
	/* Padded, unlike all other base64 of age (age.md, "ASCII armor"). */
	if (astream->line_size % 3 > 0)
		str_append(astream->text,
			   astream->line_size % 3 == 1 ? "==" : "=");
	str_append_c(astream->text, '\n');
	astream->line_size = 0;
}

static int
append_data(struct armor_ostream *astream, const uint8_t *data, size_t size)
{
	size_t n;

	for (; size > 0; data += n, size -= n) {
		n = I_MIN(size, AGE_ARMOR_LINE_SIZE - astream->line_size);
		memcpy(astream->line + astream->line_size, data, n);
		astream->line_size += n;
		if (astream->line_size < AGE_ARMOR_LINE_SIZE)
			break;
		append_line(astream);
		if (str_len(astream->text) >= TEXT_SIZE &&
		    send_text(astream) < 0)
			return -1;
	}
	return 0;
}

static ssize_t
o_stream_armor_sendv(struct ostream_private *stream,
		     const struct const_iovec *iov, unsigned int iov_count)
{
	struct armor_ostream *astream =
		container_of(stream, struct armor_ostream, ostream);
	ssize_t total = 0;
	unsigned int i;

	for (i = 0; i < iov_count; i++) {
		if (append_data(astream, iov[i].iov_base, iov[i].iov_len) < 0)
			return -1;
		total += iov[i].iov_len;
	}
	stream->ostream.offset += total;
	return total;
}

static int o_stream_armor_flush(struct ostream_private *stream)
{
	struct armor_ostream *astream =
		container_of(stream, struct armor_ostream, ostream);

	if (stream->finished && !astream->complete) {
		append_line(astream);
		str_append(astream->text, AGE_ARMOR_END"\n");
		astream->complete = TRUE;
	}
	if (str_len(astream->text) > 0 && send_text(astream) < 0)
		return -1;
	return o_stream_flush_parent(stream);
}

static void o_stream_armor_destroy(struct iostream_private *stream)
{
	struct armor_ostream *astream =
		container_of(stream, struct armor_ostream, ostream.iostream);

	str_free(&astream->text);
	o_stream_unref(&astream->ostream.parent);
}

struct ostream *o_stream_create_armor(struct ostream *output)
{
	struct armor_ostream *astream;

	i_assert(output->blocking);
	astream = i_new(struct armor_ostream, 1);
	astream->text = str_new(default_pool, TEXT_SIZE + 256);
	str_append(astream->text, AGE_ARMOR_BEGIN"\n");
	astream->ostream.iostream.destroy = o_stream_armor_destroy;
	astream->ostream.sendv = o_stream_armor_sendv;
	astream->ostream.flush = o_stream_armor_flush;
	return o_stream_create(&astream->ostream, output,
			       o_stream_get_fd(output));
}
