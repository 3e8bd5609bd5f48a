/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "str.h"
#include "test-common.h"
#include "tool/dbox.h"

#define FILE_LINE "2 M1e C6a5a9b00\n"
#define POST "\n\001\003\n"

static void append_message(string_t *file, const char *content,
			   const char *metadata)
{
	str_append(file, "\001\002N          ");
	str_printfa(file, "%016zx\n", strlen(content));
	str_append(file, content);
	str_append(file, POST);
	str_append(file, metadata);
	str_append_c(file, '\n');
}

static string_t *two_messages(void)
{
	string_t *file = t_str_new(512);

	str_append(file, FILE_LINE);
	append_message(file, "From: me\n\nfirst\n",
		       "R6a5a9b01\nGabc123\nV20\nBINBOX\n");
	append_message(file, "From: me\n\nthe second one\n",
		       "R6a5a9b02\nBWork/2026\nX1 2 B 3\n");
	return file;
}

/* Returns what dbox_file_init() does, with the file. */
static int init_file(struct dbox_file *file, const void *data, size_t size,
		     struct istream **input_r)
{
	const char *error = NULL;
	int ret;

	*input_r = i_stream_create_from_data(data, size);
	ret = dbox_file_init(file, *input_r, &error);
	test_assert((ret < 0) == (error != NULL));
	return ret;
}

static bool content_is(struct dbox_file *file,
		       const struct dbox_message *message, const char *content)
{
	struct istream *input = dbox_file_content(file, message);
	const unsigned char *data;
	size_t size;
	bool equal;

	(void)i_stream_read(input);
	data = i_stream_get_data(input, &size);
	equal = size == strlen(content) && memcmp(data, content, size) == 0;
	i_stream_unref(&input);
	return equal;
}

static void test_dbox_read(void)
{
	string_t *text = two_messages();
	struct dbox_message message;
	struct dbox_file file;
	struct istream *input;
	const char *error;

	test_begin("dbox read");
	test_assert(init_file(&file, str_data(text), str_len(text),
			      &input) == 0);
	test_assert(dbox_file_read(&file, file.first_offset, &message,
				   &error) == 1);
	test_assert(content_is(&file, &message, "From: me\n\nfirst\n"));
	test_assert(message.received == 0x6a5a9b01 &&
		    message.metadata_error == NULL &&
		    !message.has_attachments);
	test_assert_strcmp(message.guid, "abc123");
	test_assert_strcmp(message.mailbox, "INBOX");

	test_assert(dbox_file_read(&file, message.next_offset, &message,
				   &error) == 1);
	test_assert(content_is(&file, &message,
			       "From: me\n\nthe second one\n"));
	test_assert(message.received == 0x6a5a9b02 && message.guid == NULL &&
		    message.has_attachments);
	test_assert_strcmp(message.mailbox, "Work/2026");
	test_assert(message.next_offset == str_len(text));
	test_assert(dbox_file_read(&file, message.next_offset, &message,
				   &error) == 0);
	i_stream_unref(&input);
	test_end();
}

static void test_dbox_first_line(void)
{
	static const struct {
		const char *line;
		int result;
	} tests[] = {
		{ "2 M1e C6a5a9b00\n", 0 },
		{ "1 M1e\n", 0 },
		{ "2 C0 M20 Z\n", 0 },
		{ "2 M400\n", 0 },
		{ "", -1 },
		{ "\n", -1 },
		{ "2", -1 },
		{ "2 M1e", -1 },
		{ "2 C0\n", -1 },
		{ "2 M1d\n", -1 },
		{ "2 M401\n", -1 },
		{ "2 M1x\n", -1 },
		{ "2 M1e Mx\n", -1 },
		{ "2 M10000000000000001e\n", -1 },
		{ "3 M1e\n", -1 },
		{ "22 M1e\n", -1 },
		{ "age-encryption.org/v1\n", -1 },
	};
	struct dbox_file file;
	struct istream *input;

	test_begin("dbox first line");
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		test_assert_idx(init_file(&file, tests[i].line,
					  strlen(tests[i].line), &input) ==
				tests[i].result, i);
		i_stream_unref(&input);
	}
	test_end();
}

/* At every length what is whole is read, and nothing else. */
static void test_dbox_cut(void)
{
	string_t *text = two_messages();
	struct dbox_message message;
	struct dbox_file file;
	struct istream *input;
	const char *error;
	int ret;

	test_begin("dbox cut at every length");
	for (size_t size = strlen(FILE_LINE); size < str_len(text); size++) {
		uoff_t offset = strlen(FILE_LINE);

		test_assert_idx(init_file(&file, str_data(text), size,
					  &input) == 0, size);
		while ((ret = dbox_file_read(&file, offset, &message,
					     &error)) > 0) {
			test_assert_idx(message.content_offset +
					message.content_size <= size, size);
			if (message.metadata_error != NULL)
				break;
			offset = message.next_offset;
		}
		/* it ends by chance between two messages */
		test_assert_idx((ret == 0) == (offset == size), size);
		i_stream_unref(&input);
	}
	test_end();
}

/* Whatever is damaged in one message, the other one is found. */
static void test_dbox_find(void)
{
	string_t *text = two_messages();
	unsigned char *data = (unsigned char *)str_c_modifiable(text);
	size_t second = strstr((char *)data + strlen(FILE_LINE) + 1,
			       "\001\002N") - (char *)data;
	struct dbox_file file;
	struct istream *input;
	uoff_t offset;

	test_begin("dbox find behind damage");
	for (size_t i = strlen(FILE_LINE); i < second; i++) {
		data[i] ^= 0x40;
		test_assert_idx(init_file(&file, data, str_len(text),
					  &input) == 0, i);
		offset = file.first_offset + 1;
		test_assert_idx(dbox_file_find(&file, &offset) &&
				offset == second, i);
		offset++;
		test_assert_idx(!dbox_file_find(&file, &offset), i);
		i_stream_unref(&input);
		data[i] ^= 0x40;
	}
	test_end();
}

int main(void)
{
	static void (*const test_functions[])(void) = {
		test_dbox_read,
		test_dbox_first_line,
		test_dbox_cut,
		test_dbox_find,
		NULL
	};
	return test_run(test_functions);
}
