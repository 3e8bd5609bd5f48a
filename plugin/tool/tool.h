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
	TOOL_IO = 6,
	/* Of doctor: the worst of what was found, or nothing to look at. */
	TOOL_WARNINGS = 7,
	TOOL_ERRORS = 8,
	TOOL_NO_CONFIGURATION = 78
};

#define TOOL_STDIN_NAME "standard input"
#define TOOL_STDOUT_NAME "standard output"

/* Identities and passphrases that are longer are refused. */
#define TOOL_SECRET_MAX_SIZE (64 * 1024)

struct keyring;
struct age_x25519_identity;

int verb_keygen(int argc, char *argv[]);
int verb_seal(int argc, char *argv[]);
int verb_open(int argc, char *argv[]);
int verb_inspect(int argc, char *argv[]);
int verb_keyring(int argc, char *argv[]);
int verb_export(int argc, char *argv[]);
int verb_doctor(int argc, char *argv[]);
int verb_keyring_show(int argc, char *argv[]);

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

/* str without what a terminal acts on: control characters and what isn't UTF-8
   become '?'. */
const char *tool_printable(const char *str);
/* Append str as a JSON string, likewise; "null" if it is NULL. */
void tool_append_json(string_t *dest, const char *str);
/* Write an identity and a line feed. Returns 0, or -1 with errno set. */
int tool_write_identity(int fd, const struct age_x25519_identity *identity);
/* Make a file of mode 0600 that doesn't exist yet and have callback write it;
   standard output if path is NULL. The file and its directory are synced. */
enum tool_exit
tool_write_secret_file(const char *path,
		       int (*callback)(int fd, void *context), void *context);

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
/* The first line of what a descriptor gives, as that is what "echo" writes.
   Returns 0, the line in secret_alloc() memory; or -1 having said why not. */
int tool_read_secret_line(int fd, char **line_r);
/* Ask on the terminal. Returns 0, the answer in secret_alloc() memory; or -1
   and error_r. */
int tool_ask_secret(const char *prompt, char **secret_r, const char **error_r);

/* Read a keyring. Returns 0, or the exit code having said why not. */
enum tool_exit tool_load_keyring(const char *path, struct keyring **keyring_r);

#endif
