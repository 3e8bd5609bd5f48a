/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_DOVEADM_SECRETS_H
#define PLUGIN_DOVEADM_SECRETS_H

#include "age/x25519.h"
#include "keyring/keyring.h"

/* The secrets that a command is given, and how they come in:

   - on the command line by file descriptor (--password-fd N: a line each) or
     from the terminal, never as an argument;
   - from doveadm to a doveadm-server (-S, doveadm_worker_count, a proxy) as the
     command's input, which Dovecot logs nowhere; passwords travel as what the
     keyring knows of them, their SHA-256;
   - by the HTTP API as parameters of the request.

   They live in one piece of secret_alloc() memory, where they are read to. */

/* Bytes of a line, without its end. */
#define SEAL_SECRET_MAX_SIZE 1024
/* New passwords that are shorter are refused. */
#define SEAL_PASSWORD_MIN_CHARS 8

enum seal_secret_flags {
	/* What opens the keyring: a password, or an identity. */
	SEAL_SECRET_PASSWORD = 0x01,
	SEAL_SECRET_IDENTITY = 0x02,
	/* The password of a new slot. */
	SEAL_SECRET_NEW = 0x04,
	/* What opens the keyring is asked for on the terminal. */
	SEAL_SECRET_ASK = 0x08,
};
#define SEAL_SECRET_OPENING (SEAL_SECRET_PASSWORD | SEAL_SECRET_IDENTITY | \
			     SEAL_SECRET_ASK)

struct seal_secrets {
	/* Which of them are set; no SEAL_SECRET_ASK. */
	enum seal_secret_flags set;
	/* As keyring_secret_of() gives them. */
	char password[KEYRING_SECRET_CHARS + 1];
	char new_password[KEYRING_SECRET_CHARS + 1];
	struct age_x25519_identity identity;
	/* What was read last. */
	char line[SEAL_SECRET_MAX_SIZE + 1];
	/* What a doveadm-server gets. */
	char wire[512];
};

struct seal_cmd_context;

/* Descriptors are of the command line alone; the HTTP API doesn't list them. */
#define SEAL_FD_FLAG CMD_PARAM_FLAG_DO_NOT_EXPOSE
#define SEAL_OPENING_USAGE "[--password-fd <n>|--identity-fd <n>] "
#define SEAL_SECRET_PARAMS \
DOVEADM_CMD_PARAM('\0', "password-fd", CMD_PARAM_STR, SEAL_FD_FLAG) \
DOVEADM_CMD_PARAM('\0', "identity-fd", CMD_PARAM_STR, SEAL_FD_FLAG) \
DOVEADM_CMD_PARAM('\0', "password", CMD_PARAM_STR, 0) \
DOVEADM_CMD_PARAM('\0', "identity", CMD_PARAM_STR, 0)
/* Of commands that set a password besides. */
#define SEAL_NEW_SECRET_PARAMS \
DOVEADM_CMD_PARAM('\0', "old-password-fd", CMD_PARAM_STR, SEAL_FD_FLAG) \
DOVEADM_CMD_PARAM('\0', "new-password-fd", CMD_PARAM_STR, SEAL_FD_FLAG) \
DOVEADM_CMD_PARAM('\0', "allow-weak", CMD_PARAM_BOOL, 0) \
DOVEADM_CMD_PARAM('\0', "old-password", CMD_PARAM_STR, 0) \
DOVEADM_CMD_PARAM('\0', "new-password", CMD_PARAM_STR, 0)
#define SEAL_CODE_PARAMS \
DOVEADM_CMD_PARAM('\0', "code-fd", CMD_PARAM_STR, SEAL_FD_FLAG) \
DOVEADM_CMD_PARAM('\0', "code", CMD_PARAM_STR, 0)

/* Get what the command wants, from wherever it comes, and prepare what is sent
   to a server. Returns 0, or -1, exit_code_r and error_r. */
int seal_secrets_get(struct seal_cmd_context *cmd, int *exit_code_r,
		     const char **error_r);
/* TRUE if a parameter of this name is or leads to a secret, and must not be
   handed on. */
bool seal_secrets_is_param(const char *name);

/* secrets-read.c: one line to secrets->line, without its end. Each returns 0,
   or -1 and error_r, which names where it was read from. */
int seal_read_fd(struct seal_secrets *secrets, const char *option,
		 const char *fd, const char **error_r);
int seal_read_str(struct seal_secrets *secrets, const char *name,
		  const char *value, const char **error_r);

/* secrets-wire.c: make the command's input from the secrets, for a server; have
   it begin anew; and take the secrets from it. Returns 0, or -1 and error_r. */
void seal_wire_write(struct seal_cmd_context *cmd);
void seal_wire_rewind(struct seal_cmd_context *cmd);
int seal_wire_read(struct seal_cmd_context *cmd, const char **error_r);

/* terminal.c: as above. Returns 1, 0 if there is no terminal, -1 and error_r.*/
int seal_ask(struct seal_secrets *secrets, const char *prompt, bool echo,
	     const char **error_r);

/* TRUE if the line is, or was meant to be, an identity and not a password. */
bool seal_line_is_identity(const struct seal_secrets *secrets);
/* Take the line over as one of the secrets and wipe it. Returns 0, or -1 and
   error_r. */
int seal_take_identity(struct seal_secrets *secrets, const char *what,
		       const char **error_r);
void seal_take_password(struct seal_secrets *secrets);
int seal_take_new_password(struct seal_secrets *secrets, const char *username,
			   bool allow_weak, const char **error_r);

#endif
