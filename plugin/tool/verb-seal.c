/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "istream.h"
#include "ostream.h"
#include "age/x25519.h"
#include "crypto/secret.h"
#include "stream/ostream-age.h"
#include "ostream-armor.h"
#include "tool.h"

#include <getopt.h>

struct seal {
	ARRAY(struct age_x25519_recipient) recipients;
	bool armor;
};

static int
add_recipient(struct seal *seal, const char *source, const char *str)
{
	struct age_x25519_recipient recipient;
	const char *error;

	if (age_x25519_recipient_parse(str, &recipient, &error) < 0) {
		(void)tool_fail(TOOL_USAGE, source, "%s: a recipient begins "
				"with \"age1\", as keygen shows it", error);
		return -1;
	}
	array_push_back(&seal->recipients, &recipient);
	return 0;
}

/* A recipient a line, empty lines and comments in between. */
static enum tool_exit add_recipients_file(struct seal *seal, const char *path)
{
	struct istream *input;
	enum tool_exit ret = TOOL_DONE;
	unsigned int line_number = 0;
	const char *line;

	if (tool_open_input(path, &input) < 0)
		return TOOL_IO;
	i_stream_set_return_partial_line(input, TRUE);
	while (ret == TOOL_DONE &&
	       (line = i_stream_read_next_line(input)) != NULL) T_BEGIN {
		const char *source = t_strdup_printf("%s: line %u", path,
						     ++line_number);

		if (*line != '\0' && *line != '#' &&
		    add_recipient(seal, source, line) < 0)
			ret = TOOL_USAGE;
	} T_END;
	if (input->stream_errno != 0) {
		ret = tool_fail(TOOL_IO, path, "can't read it: %s",
				i_stream_get_error(input));
	}
	i_stream_destroy(&input);
	return ret;
}

static int
make_header(struct seal *seal, const uint8_t file_key[AGE_FILE_KEY_SIZE],
	    buffer_t *header)
{
	const struct age_recipient **recipients;
	const struct age_x25519_recipient *list;
	const char *error;
	unsigned int i, count;

	list = array_get(&seal->recipients, &count);
	recipients = t_new(const struct age_recipient *, count);
	for (i = 0; i < count; i++)
		recipients[i] = &list[i].recipient;
	if (age_header_seal(recipients, count, file_key, header, NULL,
			    &error) < 0) {
		(void)tool_fail(TOOL_USAGE, NULL, "%s", error);
		return -1;
	}
	if (header->used > AGE_HEADER_MAX_SIZE) {
		(void)tool_fail(TOOL_USAGE, NULL, "%u recipients make a header "
				"of %zu bytes, the most is %u", count,
				header->used, AGE_HEADER_MAX_SIZE);
		return -1;
	}
	return 0;
}

/* Wrap standard output, and set *output to the outermost stream. */
static int create_output(struct seal *seal, struct ostream **output_r)
{
	uint8_t file_key[AGE_FILE_KEY_SIZE];
	buffer_t *header = t_buffer_create(1024);
	struct ostream *output, *parent;
	int ret;

	secret_random(file_key, sizeof(file_key));
	ret = make_header(seal, file_key, header);
	if (ret == 0) {
		output = tool_create_output();
		if (seal->armor) {
			parent = output;
			output = o_stream_create_armor(parent);
			o_stream_unref(&parent);
		}
		*output_r = o_stream_create_age(output, header->data,
						header->used, file_key);
		o_stream_unref(&output);
	}
	secret_wipe(file_key, sizeof(file_key));
	return ret;
}

static enum tool_exit
copy(struct istream *input, const char *name, struct ostream *output)
{
	enum ostream_send_istream_result res;

	while ((res = o_stream_send_istream(output, input)) ==
	       OSTREAM_SEND_ISTREAM_RESULT_WAIT_INPUT)
		tool_wait_input(input);
	if (res != OSTREAM_SEND_ISTREAM_RESULT_ERROR_INPUT)
		return TOOL_DONE;
	/* Without its last chunk the output is seen to be cut. */
	o_stream_abort(output);
	return tool_fail(TOOL_IO, name, "can't read it: %s",
			 i_stream_get_error(input));
}

static enum tool_exit seal_file(struct seal *seal, const char *path)
{
	struct istream *input;
	struct ostream *output;
	enum tool_exit ret;

	if (tool_open_input(path, &input) < 0)
		return TOOL_IO;
	if (create_output(seal, &output) < 0) {
		i_stream_destroy(&input);
		return TOOL_USAGE;
	}
	ret = copy(input, tool_input_name(path), output);
	if (ret != TOOL_DONE)
		o_stream_destroy(&output);
	else if (tool_finish_output(&output) < 0)
		ret = TOOL_IO;
	i_stream_destroy(&input);
	return ret;
}

static enum tool_exit
parse_options(struct seal *seal, int argc, char *argv[], const char **file_r)
{
	static const struct option options[] = {
		{ "recipient", required_argument, NULL, 'r' },
		{ "recipients-file", required_argument, NULL, 'R' },
		{ "armor", no_argument, NULL, 'a' },
		{ NULL, 0, NULL, 0 }
	};
	enum tool_exit ret = TOOL_DONE;
	int c;

	while (ret == TOOL_DONE &&
	       (c = getopt_long(argc, argv, "r:R:a", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			/* Not quoted: it may be an identity by mistake. */
			if (add_recipient(seal, "-r", optarg) < 0)
				ret = TOOL_USAGE;
			break;
		case 'R':
			ret = add_recipients_file(seal, optarg);
			break;
		case 'a':
			seal->armor = TRUE;
			break;
		default:
			ret = tool_fail_usage(argv[0]);
		}
	}
	if (ret != TOOL_DONE)
		return ret;
	if (array_is_empty(&seal->recipients)) {
		return tool_fail(TOOL_USAGE, argv[0], "no recipient was given: "
				 "name one with -r or a file of them with -R");
	}
	return tool_get_file(argc - optind, argv + optind, file_r) ?
		TOOL_DONE : TOOL_USAGE;
}

int verb_seal(int argc, char *argv[])
{
	struct seal seal;
	const char *file;
	enum tool_exit ret;

	i_zero(&seal);
	i_array_init(&seal.recipients, 4);
	ret = parse_options(&seal, argc, argv, &file);
	if (ret == TOOL_DONE)
		ret = seal_file(&seal, file);
	array_free(&seal.recipients);
	return ret;
}
