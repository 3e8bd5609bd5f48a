/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TOOL_H
#define TOOL_H

/* What the verbs of mail-seal(1) share. A verb is one file; it is called with
   argv[0] being its name and returns the exit code. */

/* A contract with scripts, see mail-seal(1). */
enum tool_exit {
	TOOL_DONE = 0,
	TOOL_USAGE = 2,
	TOOL_NO_IDENTITY = 3,
	TOOL_BAD_HEADER = 4,
	TOOL_BAD_PAYLOAD = 5,
	TOOL_IO = 6
};

#define TOOL_STDIN_NAME "standard input"
#define TOOL_STDOUT_NAME "standard output"

/* Identities and passphrases that are longer are refused. */
#define TOOL_SECRET_MAX_SIZE (64 * 1024)

int verb_keygen(int argc, char *argv[]);
int verb_seal(int argc, char *argv[]);
int verb_open(int argc, char *argv[]);
int verb_inspect(int argc, char *argv[]);

/* Say on standard error "mail-seal: NAME: …", or without NAME if it is NULL.
   Return exit, to be returned in turn. */
enum tool_exit tool_fail(enum tool_exit exit, const char *name,
			 const char *fmt, ...) ATTR_FORMAT(3, 4);
/* Point to the usage after an option that isn't understood. */
enum tool_exit tool_fail_usage(const char *verb);
/* The one FILE of a command line after its options, NULL for standard input.
   Returns FALSE if there are more, having said so. */
bool tool_get_file(int argc, char *argv[], const char **file_r);

/* Open a file for reading, standard input if path is NULL. Returns 0, or -1
   having said why not. */
int tool_open_input(const char *path, struct istream **input_r);
const char *tool_input_name(const char *path);
/* Wait until input has more: a standard input may be nonblocking. */
void tool_wait_input(struct istream *input);
/* If input is armored replace it by the binary file. Returns 1 if it was, 0 if
   not or if it can't be read, which reading will tell. */
int tool_remove_armor(struct istream **input);

/* Standard output as a stream that blocks and doesn't buffer. */
struct ostream *tool_create_output(void);
/* Finish the stream, free it and close standard output. Returns 0, or -1 having
   said what went wrong with it or the descriptor. */
int tool_finish_output(struct ostream **output);

/* Read all of a file into secret_alloc() memory, with a NUL behind it. Returns
   0, or -1 having said why not. */
int tool_read_secret(int fd, const char *name, char **secret_r, size_t *size_r);
/* Wipe, free and set *secret to NULL. NULL inside is fine. */
void tool_free_secret(char **secret);
/* Ask on the terminal. Returns 0, the passphrase in secret_alloc() memory; or
   -1 and error_r. */
int tool_ask_passphrase(char **passphrase_r, const char **error_r);

#endif
