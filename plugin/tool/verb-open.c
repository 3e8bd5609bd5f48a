/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "ostream.h"
#include "age/scrypt.h"
#include "crypto/secret.h"
#include "stream/istream-age.h"
#include "istream-armor.h"
#include "tool-keys.h"

#include <unistd.h>

struct open_keys {
	struct tool_keys keys;
	/* In secret memory, NULL until it is known. */
	char *passphrase;
	int passphrase_fd;
};

static bool is_passphrase_header(const struct age_header *header)
{
	return header->stanzas_count == 1 &&
		strcmp(header->stanzas[0].args[0], "scrypt") == 0;
}

static int
open_by_passphrase(struct open_keys *keys, const struct age_header *header,
		   uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r)
{
	struct age_scrypt_identity scrypt;
	const struct age_identity *identity = &scrypt.identity;
	int ret;

	if (keys->passphrase == NULL &&
	    tool_ask_secret("Passphrase: ", &keys->passphrase, error_r) < 0) {
		*error_r = t_strdup_printf("It is sealed with a passphrase and "
			"%s: use --passphrase-fd", *error_r);
		return 0;
	}
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
	struct open_keys *keys = context;

	if (is_passphrase_header(header))
		return open_by_passphrase(keys, header, file_key_r, error_r);
	return tool_open_key(keys->keys.identities, header, file_key_r,
			     error_r);
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

static enum tool_exit open_file(struct open_keys *keys, const char *path)
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

static enum tool_exit
parse_options(struct open_keys *keys, int argc, char *argv[],
	      const char **file_r)
{
	static const struct option options[] = {
		TOOL_KEYS_OPTIONS,
		{ "passphrase-fd", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 }
	};
	enum tool_exit ret = TOOL_DONE;
	int c;

	while (ret == TOOL_DONE &&
	       (c = getopt_long(argc, argv, "i:", options, NULL)) != -1) {
		ret = c == 'p' ? tool_parse_fd(optarg, &keys->passphrase_fd) :
			tool_keys_parse_option(&keys->keys, argv[0], c, optarg);
	}
	if (ret != TOOL_DONE)
		return ret;
	if (!tool_get_file(argc - optind, argv + optind, file_r))
		return TOOL_USAGE;
	if (*file_r == NULL)
		tool_keys_take_stdin(&keys->keys);
	if (keys->passphrase_fd == STDIN_FILENO)
		tool_keys_take_stdin(&keys->keys);
	return tool_keys_check(&keys->keys, argv[0]);
}

static enum tool_exit
open_by_options(struct open_keys *keys, int argc, char *argv[])
{
	const char *file;
	enum tool_exit ret;

	ret = parse_options(keys, argc, argv, &file);
	if (ret == TOOL_DONE)
		ret = tool_keys_open_keyring(&keys->keys);
	if (ret == TOOL_DONE && keys->passphrase_fd != -1 &&
	    tool_read_secret_line(keys->passphrase_fd, &keys->passphrase) < 0)
		ret = TOOL_IO;
	return ret == TOOL_DONE ? open_file(keys, file) : ret;
}

int verb_open(int argc, char *argv[])
{
	struct open_keys keys = { .passphrase_fd = -1 };
	enum tool_exit ret;

	tool_keys_init(&keys.keys);
	ret = open_by_options(&keys, argc, argv);
	tool_keys_deinit(&keys.keys);
	tool_free_secret(&keys.passphrase);
	return ret;
}
