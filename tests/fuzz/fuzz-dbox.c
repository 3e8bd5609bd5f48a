/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "fuzzer.h"
#include "tool/dbox.h"

/* Aims at dbox_file_init(), dbox_file_read() and dbox_file_find(): walks through
   the file as the export of an mdbox without a map does. What is given out lies
   within the file, and every step leads on. */

static void check_message(struct dbox_file *file, uoff_t offset, uoff_t size,
			  const struct dbox_message *message)
{
	struct istream *content;
	const unsigned char *data;
	size_t left;
	uoff_t sum = 0;

	i_assert(message->content_offset > offset);
	i_assert(message->content_offset + message->content_size <= size);
	i_assert(message->next_offset >=
		 message->content_offset + message->content_size);
	i_assert(message->next_offset <= size);
	content = dbox_file_content(file, message);
	while (i_stream_read_more(content, &data, &left) > 0) {
		sum += left;
		i_stream_skip(content, left);
	}
	i_assert(sum == message->content_size);
	i_stream_unref(&content);
}

static void walk(struct dbox_file *file, uoff_t size)
{
	struct dbox_message message;
	uoff_t offset = file->first_offset, before;
	const char *error;
	int ret;

	for (;;) {
		before = offset;
		ret = dbox_file_read(file, offset, &message, &error);
		if (ret == 0)
			break;
		if (ret > 0) {
			check_message(file, offset, size, &message);
			offset = message.next_offset;
			if (message.metadata_error == NULL)
				continue;
		} else {
			offset++;
		}
		if (!dbox_file_find(file, &offset))
			break;
		i_assert(offset > before && offset < size);
	}
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	struct istream *input = i_stream_create_from_data(data, size);
	struct dbox_file file;
	const char *error;

	if (dbox_file_init(&file, input, &error) == 0)
		walk(&file, size);
	i_stream_unref(&input);
}
FUZZ_END
