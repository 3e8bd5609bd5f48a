/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "keyring/keyring.h"
#include "tool.h"

/* Not by keyring_store_load(): where a keyring is damaged it is this file that
   is asked for, and not the previous version beside it. */

/* Returns 0 and the whole file in the stream's buffer, -1 if it is too large or
   can't be read. */
static int read_all(struct istream *input)
{
	ssize_t ret;

	i_stream_set_max_buffer_size(input, KEYRING_MAX_SIZE + 1);
	while ((ret = i_stream_read(input)) >= 0) {
		if (ret == 0)
			tool_wait_input(input);
	}
	return ret == -1 && input->stream_errno == 0 ? 0 : -1;
}

static enum tool_exit
parse(struct istream *input, const char *name, struct keyring **keyring_r)
{
	const unsigned char *data;
	const char *error;
	size_t size;

	if (read_all(input) < 0) {
		if (input->stream_errno != 0) {
			return tool_fail(TOOL_IO, name, "can't read it: %s",
					 i_stream_get_error(input));
		}
		return tool_fail(TOOL_BAD_HEADER, name, "has more than the %d "
				 "bytes of the largest keyring",
				 KEYRING_MAX_SIZE);
	}
	data = i_stream_get_data(input, &size);
	if (keyring_parse((const char *)data, size, keyring_r, &error) < 0)
		return tool_fail(TOOL_BAD_HEADER, name, "%s", error);
	return TOOL_DONE;
}

enum tool_exit tool_load_keyring(const char *path, struct keyring **keyring_r)
{
	struct istream *input;
	enum tool_exit ret;

	if (tool_open_input(path, &input) < 0)
		return TOOL_IO;
	ret = parse(input, tool_input_name(path), keyring_r);
	i_stream_destroy(&input);
	return ret;
}
