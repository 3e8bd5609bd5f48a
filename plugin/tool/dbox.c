/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "strnum.h"
#include "tool/dbox.h"

#define MAGIC_PRE "\001\002N "
#define MAGIC_POST "\n\001\003\n"
/* The magic, 8 digits that aren't used any more, a space, 16 digits of the
   size; behind that what a later version adds, and a LF. */
#define SIZE_OFFSET 13
#define SIZE_DIGITS 16
#define HEADER_MIN_SIZE (SIZE_OFFSET + SIZE_DIGITS + 1)
#define HEADER_MAX_SIZE 1024
/* Old versions of Dovecot kept flags there, behind a space. */
#define METADATA_OLD_FLAGS ' '

static int fail_read(struct istream *input, const char *what,
		     const char **error_r)
{
	*error_r = input->stream_errno != 0 ?
		t_strdup_printf("can't read it: %s",
				i_stream_get_error(input)) : what;
	return -1;
}

int dbox_file_init(struct dbox_file *file, struct istream *input,
		   const char **error_r)
{
	const char *line, *const *words;

	i_zero(file);
	file->input = input;
	if (i_stream_get_size(input, TRUE, &file->size) <= 0)
		return fail_read(input, "its size isn't known", error_r);
	i_stream_seek(input, 0);
	line = i_stream_read_next_line(input);
	if (line == NULL)
		return fail_read(input, "it has no first line", error_r);
	if ((line[0] != '1' && line[0] != '2') || line[1] != ' ') {
		*error_r = "the first line isn't that of a dbox file of "
			"version 1 or 2";
		return -1;
	}
	for (words = t_strsplit(line + 2, " "); *words != NULL; words++) {
		if (**words == 'M' &&
		    str_to_uint_hex(*words + 1, &file->header_size) < 0)
			file->header_size = 0;
	}
	if (file->header_size < HEADER_MIN_SIZE ||
	    file->header_size > HEADER_MAX_SIZE) {
		*error_r = "the first line doesn't tell the size of headers";
		return -1;
	}
	file->first_offset = input->v_offset;
	return 0;
}

/* Returns 0 and the size of the content, -1 if this isn't a header. */
static int parse_header(const struct dbox_file *file, const unsigned char *data,
			uoff_t *size_r)
{
	char digits[SIZE_DIGITS + 1];
	uintmax_t size;

	memcpy(digits, data + SIZE_OFFSET, SIZE_DIGITS);
	digits[SIZE_DIGITS] = '\0';
	if (memcmp(data, MAGIC_PRE, strlen(MAGIC_PRE)) != 0 ||
	    data[file->header_size - 1] != '\n' ||
	    str_to_uintmax_hex(digits, &size) < 0)
		return -1;
	*size_r = size;
	return 0;
}

static void parse_metadata(const char *line, struct dbox_message *message)
{
	uintmax_t value;

	switch (*line) {
	case 'R':
		if (str_to_uintmax_hex(line + 1, &value) == 0 &&
		    value <= INT32_MAX * (uintmax_t)64)
			message->received = value;
		break;
	case 'G':
		if (line[1] != '\0' && strlen(line + 1) <= 64 &&
		    strspn(line + 1, "0123456789abcdef") == strlen(line + 1))
			message->guid = t_strdup(line + 1);
		break;
	case 'B':
		message->mailbox = t_strdup(line + 1);
		break;
	case 'X':
		message->has_attachments = TRUE;
		break;
	}
}

/* Returns NULL, or what is wrong. */
static const char *
read_metadata(struct dbox_file *file, uoff_t offset,
	      struct dbox_message *message)
{
	const unsigned char *data;
	const char *line;
	size_t size;

	i_stream_seek(file->input, offset);
	if (i_stream_read_bytes(file->input, &data, &size,
				strlen(MAGIC_POST)) <= 0 ||
	    memcmp(data, MAGIC_POST, strlen(MAGIC_POST)) != 0)
		return "there is no metadata behind it";
	i_stream_skip(file->input, strlen(MAGIC_POST));
	while ((line = i_stream_read_next_line(file->input)) != NULL) {
		if (*line == '\0' || *line == METADATA_OLD_FLAGS) {
			message->next_offset = file->input->v_offset;
			return NULL;
		}
		parse_metadata(line, message);
		if (file->input->v_offset - offset > DBOX_METADATA_MAX_SIZE)
			break;
	}
	return "the metadata behind it has no end";
}

static void forget_metadata(struct dbox_message *message)
{
	message->received = 0;
	message->guid = message->mailbox = NULL;
	message->has_attachments = FALSE;
	/* The one behind it has to be looked for. */
	message->next_offset = message->content_offset + message->content_size;
}

int dbox_file_read(struct dbox_file *file, uoff_t offset,
		   struct dbox_message *message_r, const char **error_r)
{
	const unsigned char *data;
	size_t size;

	i_zero(message_r);
	if (offset == file->size)
		return 0;
	if (offset > file->size || file->size - offset < file->header_size) {
		*error_r = "it ends within the header of a message";
		return -1;
	}
	i_stream_seek(file->input, offset);
	if (i_stream_read_bytes(file->input, &data, &size,
				file->header_size) <= 0)
		return fail_read(file->input, "it is cut", error_r);
	if (parse_header(file, data, &message_r->content_size) < 0) {
		*error_r = "there is no header of a message";
		return -1;
	}
	message_r->content_offset = offset + file->header_size;
	if (message_r->content_size > file->size - message_r->content_offset) {
		*error_r = "it ends within a message";
		return -1;
	}
	message_r->metadata_error = read_metadata(file,
		message_r->content_offset + message_r->content_size, message_r);
	if (message_r->metadata_error != NULL)
		forget_metadata(message_r);
	return 1;
}

/* Whether a message begins here: the header, and the room for its content. */
static bool is_message(struct dbox_file *file, const unsigned char *data,
		       uoff_t offset)
{
	uoff_t size;

	return parse_header(file, data, &size) == 0 &&
		size <= file->size - offset - file->header_size;
}

bool dbox_file_find(struct dbox_file *file, uoff_t *offset)
{
	const unsigned char *data, *p;
	size_t size;

	if (*offset >= file->size)
		return FALSE;
	i_stream_seek(file->input, *offset);
	while (i_stream_read_bytes(file->input, &data, &size,
				   file->header_size) > 0) {
		p = memchr(data, MAGIC_PRE[0], size - file->header_size + 1);
		if (p == NULL) {
			i_stream_skip(file->input,
				      size - file->header_size + 1);
			continue;
		}
		i_stream_skip(file->input, p - data);
		if (size - (p - data) >= file->header_size &&
		    is_message(file, p, file->input->v_offset)) {
			*offset = file->input->v_offset;
			return TRUE;
		}
		i_stream_skip(file->input, 1);
	}
	return FALSE;
}

struct istream *dbox_file_content(struct dbox_file *file,
				  const struct dbox_message *message)
{
	struct istream *input;

	i_stream_seek(file->input, message->content_offset);
	input = i_stream_create_limit(file->input, message->content_size);
	return input;
}
