/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TOOL_KEYS_H
#define TOOL_KEYS_H

#include "age/keyfile.h"
#include "keyring/keyring.h"
#include "tool.h"

#include <getopt.h>

/* The identities that a verb opens with: given by options, or held by a keyring
   that a password or the identities given open. */

struct tool_keys {
	/* Those given, those of the keyring before them once it is open. */
	struct age_identities *identities;
	/* NULL: no keyring. */
	const char *keyring_path;
	bool has_keyring;
	/* -1 if it isn't given. */
	int password_fd;
	/* How many of the options want to read standard input. */
	unsigned int stdin_count;
};

/* For getopt_long(), with "i:" among its short options. */
#define TOOL_KEYS_OPTION_FD 0x100
#define TOOL_KEYS_OPTION_KEYRING 0x101
#define TOOL_KEYS_OPTION_PASSWORD_FD 0x102
#define TOOL_KEYS_OPTIONS_SECRET \
	{ "identity", required_argument, NULL, 'i' }, \
	{ "identity-fd", required_argument, NULL, TOOL_KEYS_OPTION_FD }, \
	{ "password-fd", required_argument, NULL, TOOL_KEYS_OPTION_PASSWORD_FD }
#define TOOL_KEYS_OPTIONS TOOL_KEYS_OPTIONS_SECRET, \
	{ "keyring", required_argument, NULL, TOOL_KEYS_OPTION_KEYRING }

void tool_keys_init(struct tool_keys *keys);
void tool_keys_deinit(struct tool_keys *keys);

/* Take one of the options above; others are wrong usage of the verb. Identities
   are read at once. */
enum tool_exit
tool_keys_parse_option(struct tool_keys *keys, const char *verb,
		       int option, const char *arg);
/* Parse the number of a file descriptor. */
enum tool_exit tool_parse_fd(const char *arg, int *fd_r);
/* The verb reads standard input itself. */
void tool_keys_take_stdin(struct tool_keys *keys);
/* After all options: look whether they go together. */
enum tool_exit tool_keys_check(const struct tool_keys *keys, const char *verb);

/* Open a keyring by the password, else by the identities given, else by what is
   asked for on the terminal. The caller frees opened_r->identities if it is
   TOOL_DONE. */
enum tool_exit
tool_keys_open(const struct tool_keys *keys, const struct keyring *keyring,
	       const char *name, struct keyring_opened *opened_r);
/* For age_istream_open_key_t: open a header with identities. error_r is for the
   person who gave them. */
int tool_open_key(const struct age_identities *identities,
		  const struct age_header *header,
		  uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r);
/* If there is a keyring, open it and take its identities. */
enum tool_exit tool_keys_open_keyring(struct tool_keys *keys);

#endif
