/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "strnum.h"
#include "crypto/secret.h"
#include "tool-keys.h"

#include <fcntl.h>
#include <unistd.h>

#define PROMPT "Password or recovery code: "
#define CODE_PREFIX "AGE-SECRET-KEY-1"

void tool_keys_init(struct tool_keys *keys)
{
	i_zero(keys);
	keys->identities = age_identities_init();
	keys->password_fd = -1;
}

void tool_keys_deinit(struct tool_keys *keys)
{
	age_identities_deinit(&keys->identities);
}

void tool_keys_take_stdin(struct tool_keys *keys)
{
	keys->stdin_count++;
}

enum tool_exit tool_parse_fd(const char *arg, int *fd_r)
{
	if (str_to_int(arg, fd_r) == 0 && *fd_r >= 0)
		return TOOL_DONE;
	return tool_fail(TOOL_USAGE, arg,
			 "isn't the number of a file descriptor");
}

static enum tool_exit
add_identities(struct tool_keys *keys, int fd, const char *name)
{
	const char *error;
	char *text;
	size_t size;
	int ret;

	if (fd == STDIN_FILENO)
		tool_keys_take_stdin(keys);
	if (tool_read_secret(fd, name, &text, &size) < 0)
		return TOOL_IO;
	ret = age_identities_parse(keys->identities, text, size, &error);
	tool_free_secret(&text);
	if (ret < 0) {
		return tool_fail(TOOL_USAGE, name, "%s: an identity file is "
				 "what keygen writes", error);
	}
	return TOOL_DONE;
}

static enum tool_exit add_file(struct tool_keys *keys, const char *path)
{
	enum tool_exit ret;
	int fd;

	if (strcmp(path, "-") == 0)
		return add_identities(keys, STDIN_FILENO, TOOL_STDIN_NAME);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return tool_fail(TOOL_IO, path, "can't open it: %m");
	ret = add_identities(keys, fd, path);
	i_close_fd(&fd);
	return ret;
}

static enum tool_exit add_fd(struct tool_keys *keys, const char *arg)
{
	int fd;

	if (tool_parse_fd(arg, &fd) != TOOL_DONE)
		return TOOL_USAGE;
	return add_identities(keys, fd,
			      t_strdup_printf("file descriptor %d", fd));
}

static void set_keyring(struct tool_keys *keys, const char *path)
{
	keys->has_keyring = TRUE;
	keys->keyring_path = strcmp(path, "-") == 0 ? NULL : path;
	if (keys->keyring_path == NULL)
		tool_keys_take_stdin(keys);
}

enum tool_exit
tool_keys_parse_option(struct tool_keys *keys, const char *verb,
		       int option, const char *arg)
{
	switch (option) {
	case 'i':
		return add_file(keys, arg);
	case TOOL_KEYS_OPTION_FD:
		return add_fd(keys, arg);
	case TOOL_KEYS_OPTION_PASSWORD_FD:
		return tool_parse_fd(arg, &keys->password_fd);
	case TOOL_KEYS_OPTION_KEYRING:
		if (keys->has_keyring) {
			return tool_fail(TOOL_USAGE, verb,
					 "only one --keyring can be given");
		}
		set_keyring(keys, arg);
		return TOOL_DONE;
	default:
		return tool_fail_usage(verb);
	}
}

enum tool_exit tool_keys_check(const struct tool_keys *keys, const char *verb)
{
	if (keys->stdin_count + (keys->password_fd == STDIN_FILENO) > 1) {
		return tool_fail(TOOL_USAGE, verb, "only one of the files and "
				 "descriptors can be standard input");
	}
	return TOOL_DONE;
}

static int
open_by_password(const struct keyring *keyring, const char *password,
		 struct keyring_opened *opened_r, const char **error_r)
{
	char secret[KEYRING_SECRET_CHARS + 1];
	int ret;

	keyring_secret_of(password, secret);
	ret = keyring_open_password(keyring, secret, opened_r, error_r);
	secret_wipe(secret, sizeof(secret));
	return ret;
}

/* A recovery code, as it may be typed where a password is asked for; or a
   password, even if it begins like a code. */
static int
open_by_text(const struct keyring *keyring, const char *text,
	     struct keyring_opened *opened_r, const char **error_r)
{
	struct age_identities *code = age_identities_init();
	const char *code_error = NULL;
	int ret;

	if (age_identities_parse(code, text, strlen(text), &code_error) == 0)
		ret = keyring_open_identities(keyring, code, opened_r, error_r);
	else
		ret = open_by_password(keyring, text, opened_r, error_r);
	age_identities_deinit(&code);
	if (ret == 0 && code_error != NULL &&
	    strncasecmp(text, CODE_PREFIX, strlen(CODE_PREFIX)) == 0) {
		*error_r = t_strdup_printf("it looks like a recovery code, "
			"and that is wrong: %s", code_error);
	}
	return ret;
}

/* Returns the exit code, TOOL_DONE if there is a password to try. */
static enum tool_exit
get_password(const struct tool_keys *keys, const char *name, char **password_r)
{
	const char *error;

	if (keys->password_fd != -1) {
		return tool_read_secret_line(keys->password_fd,
					     password_r) < 0 ?
			TOOL_IO : TOOL_DONE;
	}
	if (tool_ask_secret(PROMPT, password_r, &error) < 0) {
		return tool_fail(TOOL_NO_IDENTITY, name, "a password or an "
			"identity opens it, and %s: use --password-fd or -i",
			error);
	}
	return TOOL_DONE;
}

enum tool_exit
tool_keys_open(const struct tool_keys *keys, const struct keyring *keyring,
	       const char *name, struct keyring_opened *opened_r)
{
	enum tool_exit exit;
	const char *error;
	char *password;
	int ret;

	if (keys->password_fd == -1 &&
	    age_identities_count(keys->identities) > 0) {
		ret = keyring_open_identities(keyring, keys->identities,
					      opened_r, &error);
	} else {
		exit = get_password(keys, name, &password);
		if (exit != TOOL_DONE)
			return exit;
		ret = open_by_text(keyring, password, opened_r, &error);
		tool_free_secret(&password);
	}
	if (ret > 0)
		return TOOL_DONE;
	return tool_fail(ret == 0 ? TOOL_NO_IDENTITY : TOOL_BAD_HEADER, name,
			 "can't be opened: %s", error);
}

int tool_open_key(const struct age_identities *identities,
		  const struct age_header *header,
		  uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r)
{
	const struct age_identity *const *list;
	unsigned int count;
	int ret;

	list = age_identities_list(identities, &count);
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

enum tool_exit tool_keys_open_keyring(struct tool_keys *keys)
{
	const char *name = tool_input_name(keys->keyring_path);
	struct keyring_opened opened;
	struct keyring *keyring;
	enum tool_exit ret;
	unsigned int count;

	if (!keys->has_keyring)
		return TOOL_DONE;
	ret = tool_load_keyring(keys->keyring_path, &keyring);
	if (ret != TOOL_DONE)
		return ret;
	ret = tool_keys_open(keys, keyring, name, &opened);
	keyring_free(&keyring);
	if (ret != TOOL_DONE)
		return ret;
	count = age_identities_count(keys->identities);
	for (unsigned int i = 0; i < count; i++) {
		age_identities_add(opened.identities,
				   age_identities_get(keys->identities, i));
	}
	age_identities_deinit(&keys->identities);
	keys->identities = opened.identities;
	return TOOL_DONE;
}
