/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "ostream.h"
#include "strnum.h"
#include "age/keyfile.h"
#include "age/scrypt.h"
#include "crypto/secret.h"
#include "stream/istream-age.h"
#include "istream-armor.h"
#include "tool.h"

#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

struct keys {
	struct age_identities *identities;
	/* In secret memory, NULL until it is known. */
	char *passphrase;
	int passphrase_fd;
	/* One of the identity files is standard input. */
	bool stdin_taken;
};

static bool is_passphrase_header(const struct age_header *header)
{
	return header->stanzas_count == 1 &&
		strcmp(header->stanzas[0].args[0], "scrypt") == 0;
}

static int
open_by_passphrase(struct keys *keys, const struct age_header *header,
		   uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r)
{
	struct age_scrypt_identity scrypt;
	const struct age_identity *identity = &scrypt.identity;
	int ret;

	if (keys->passphrase == NULL &&
	    tool_ask_passphrase(&keys->passphrase, error_r) < 0)
		return 0;
	age_scrypt_identity_init(&scrypt, keys->passphrase,
				 AGE_SCRYPT_MAX_LOG_N);
	ret = age_header_open(header, &identity, 1, file_key_r, error_r);
	if (ret == 0)
		*error_r = "The passphrase is wrong";
	return ret;
}

static int open_key(const struct age_header *header,
		    uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		    const char **error_r, void *context)
{
	struct keys *keys = context;
	const struct age_identity *const *list;
	unsigned int count;
	int ret;

	if (is_passphrase_header(header)) {
		return open_by_passphrase(keys, header, file_key_r, error_r);
	}
	list = age_identities_list(keys->identities, &count);
	ret = age_header_open(header, list, count, file_key_r, error_r);
	if (ret == 0) {
		*error_r = count == 0 ?
			"It is sealed to a key: name a file with its identity "
			"by -i" :
			t_strdup_printf("None of the identities given (%u) "
				"opens it: \"mail-seal inspect\" shows how it "
				"is sealed", count);
	}
	return ret;
}

/* Copy as far as input goes or output takes it. */
static void copy(struct istream *input, struct ostream *output)
{
	const unsigned char *data;
	size_t size;
	int ret;

	while ((ret = i_stream_read_more(input, &data, &size)) >= 0) {
		if (ret == 0) {
			tool_wait_input(input);
			continue;
		}
		if (o_stream_send(output, data, size) < 0)
			break;
		i_stream_skip(input, size);
	}
}

static enum tool_exit
report(struct istream *input, struct istream *armor, const char *name)
{
	const char *error = i_stream_get_error(input);

	switch (i_stream_age_failure(input)) {
	case AGE_ISTREAM_OK:
		break;
	case AGE_ISTREAM_BAD_HEADER:
		return tool_fail(TOOL_BAD_HEADER, name, "%s", error);
	case AGE_ISTREAM_NO_IDENTITY:
		return tool_fail(TOOL_NO_IDENTITY, name, "%s", error);
	case AGE_ISTREAM_BAD_PAYLOAD:
		return tool_fail(TOOL_BAD_PAYLOAD, name, "%s; what was written "
			"is authentic, all behind it is lost: look for another "
			"copy", error);
	case AGE_ISTREAM_IO:
		if (armor != NULL && i_stream_armor_is_malformed(armor))
			return tool_fail(TOOL_BAD_HEADER, name, "%s", error);
		return tool_fail(TOOL_IO, name, "can't read it: %s", error);
	}
	return TOOL_DONE;
}

static enum tool_exit open_file(struct keys *keys, const char *path)
{
	struct istream *source, *input;
	struct ostream *output;
	enum tool_exit ret;
	bool armored;

	if (tool_open_input(path, &source) < 0)
		return TOOL_IO;
	armored = tool_remove_armor(&source) > 0;
	input = i_stream_create_age(source, open_key, keys);
	i_stream_age_set_rescue(input);
	output = tool_create_output();

	copy(input, output);
	ret = report(input, armored ? source : NULL, tool_input_name(path));
	if (tool_finish_output(&output) < 0 && ret == TOOL_DONE)
		ret = TOOL_IO;
	i_stream_destroy(&input);
	i_stream_destroy(&source);
	return ret;
}

static enum tool_exit add_identities(struct keys *keys, const char *path)
{
	const char *error, *name = path;
	int fd = STDIN_FILENO, ret;
	char *text;
	size_t size;

	if (strcmp(path, "-") == 0) {
		keys->stdin_taken = TRUE;
		name = TOOL_STDIN_NAME;
	} else if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1) {
		return tool_fail(TOOL_IO, path, "can't open it: %m");
	}
	ret = tool_read_secret(fd, name, &text, &size);
	if (fd != STDIN_FILENO)
		i_close_fd(&fd);
	if (ret < 0)
		return TOOL_IO;
	ret = age_identities_parse(keys->identities, text, size, &error);
	tool_free_secret(&text);
	if (ret < 0) {
		return tool_fail(TOOL_USAGE, name, "%s: an identity file is "
				 "what keygen writes", error);
	}
	return TOOL_DONE;
}

/* The first line, as that is what "echo" gives. */
static enum tool_exit read_passphrase(struct keys *keys)
{
	const char *name;
	size_t size;

	if (keys->passphrase_fd == -1)
		return TOOL_DONE;
	name = t_strdup_printf("file descriptor %d", keys->passphrase_fd);
	if (tool_read_secret(keys->passphrase_fd, name, &keys->passphrase,
			     &size) < 0)
		return TOOL_IO;
	keys->passphrase[strcspn(keys->passphrase, "\r\n")] = '\0';
	return TOOL_DONE;
}

static enum tool_exit
parse_options(struct keys *keys, int argc, char *argv[], const char **file_r)
{
	static const struct option options[] = {
		{ "identity", required_argument, NULL, 'i' },
		{ "passphrase-fd", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 }
	};
	enum tool_exit ret = TOOL_DONE;
	int c;

	while (ret == TOOL_DONE &&
	       (c = getopt_long(argc, argv, "i:", options, NULL)) != -1) {
		if (c == 'i') {
			ret = add_identities(keys, optarg);
		} else if (c != 'p') {
			ret = tool_fail_usage(argv[0]);
		} else if (str_to_int(optarg, &keys->passphrase_fd) < 0 ||
			   keys->passphrase_fd < 0) {
			ret = tool_fail(TOOL_USAGE, optarg, "isn't the number "
					"of a file descriptor");
		}
	}
	if (ret != TOOL_DONE)
		return ret;
	if (!tool_get_file(argc - optind, argv + optind, file_r))
		return TOOL_USAGE;
	if ((keys->passphrase_fd == STDIN_FILENO) + keys->stdin_taken +
	    (*file_r == NULL) > 1) {
		return tool_fail(TOOL_USAGE, argv[0], "only one of FILE, -i "
				 "and --passphrase-fd can be standard input");
	}
	return read_passphrase(keys);
}

int verb_open(int argc, char *argv[])
{
	struct keys keys = { .passphrase_fd = -1 };
	const char *file;
	enum tool_exit ret;

	keys.identities = age_identities_init();
	ret = parse_options(&keys, argc, argv, &file);
	if (ret == TOOL_DONE)
		ret = open_file(&keys, file);
	age_identities_deinit(&keys.identities);
	tool_free_secret(&keys.passphrase);
	return ret;
}
