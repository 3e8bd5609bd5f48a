/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "doveadm-seal.h"
#include "crypto/secret.h"

/* Which secrets are read from where, in which order. */

/* By which parameters the secrets come. NULL: not at all. */
struct sources {
	const char *identity, *password, *new_password;
};

/* Parameters of the HTTP API; on the command line they end in -fd. */
static const char *const secret_params[] = {
	"password", "old-password", "new-password", "identity", "code"
};

static const char *param_name(const struct seal_cmd_context *cmd,
			      const char *name)
{
	return cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_HTTP ?
		name : t_strconcat(name, "-fd", NULL);
}

/* The name if the parameter is given, else NULL. */
static const char *
given(const struct seal_cmd_context *cmd, const char *name)
{
	const char *param = param_name(cmd, name);

	return seal_cmd_has(cmd, param) ? param : NULL;
}

bool seal_secrets_is_param(const char *name)
{
	unsigned int i;
	const char *rest;

	for (i = 0; i < N_ELEMENTS(secret_params); i++) {
		if (strncmp(name, secret_params[i],
			    strlen(secret_params[i])) != 0)
			continue;
		rest = name + strlen(secret_params[i]);
		if (*rest == '\0' || strcmp(rest, "-fd") == 0)
			return TRUE;
	}
	return FALSE;
}

/* Secrets as arguments, or descriptors where there are none. */
static int
refuse_params(const struct seal_cmd_context *cmd, const char **error_r)
{
	bool http = cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_HTTP;
	bool cli = cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_CLI;
	const char *name, *fd_name;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(secret_params); i++) {
		name = secret_params[i];
		fd_name = t_strconcat(name, "-fd", NULL);
		if (!http && seal_cmd_has(cmd, name)) {
			*error_r = t_strdup_printf("--%s would show the secret "
				"to every user of the system, and may have "
				"done so now: use --%s N", name, fd_name);
			return -1;
		}
		if (!cli && seal_cmd_has(cmd, fd_name)) {
			*error_r = t_strdup_printf("file descriptors can't be "
				"handed to a server: use the parameter %s of "
				"the HTTP API instead of %s", name, fd_name);
			return -1;
		}
	}
	return 0;
}

static int
find_sources(const struct seal_cmd_context *cmd, struct sources *sources_r,
	     const char **error_r)
{
	const char *code = given(cmd, "code");

	i_zero(sources_r);
	sources_r->identity = given(cmd, "identity");
	if (sources_r->identity != NULL && code != NULL) {
		*error_r = "give a code or an identity, not both";
		return -1;
	}
	if (code != NULL)
		sources_r->identity = code;
	sources_r->password = given(cmd, "password");
	if ((cmd->wanted & SEAL_SECRET_NEW) == 0)
		return 0;

	sources_r->new_password = given(cmd, "new-password");
	if (given(cmd, "old-password") != NULL) {
		if (sources_r->new_password == NULL)
			sources_r->new_password = sources_r->password;
		else if (sources_r->password != NULL) {
			*error_r = "old and new password are given: what is "
				"the third one?";
			return -1;
		}
		sources_r->password = given(cmd, "old-password");
	} else if (sources_r->new_password == NULL) {
		/* One that opens and the new one, in this order, if there is
		   a way to give two. */
		sources_r->new_password = sources_r->password;
		if (sources_r->identity != NULL ||
		    (cmd->wanted & SEAL_SECRET_PASSWORD) == 0 ||
		    cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_HTTP)
			sources_r->password = NULL;
	}
	return 0;
}

static int
check_sources(const struct seal_cmd_context *cmd,
	      const struct sources *sources, const char **error_r)
{
	if (sources->identity != NULL && sources->password != NULL) {
		*error_r = "give a password or an identity to open the "
			"keyring with, not both";
		return -1;
	}
	if (sources->password != NULL &&
	    (cmd->wanted & SEAL_SECRET_PASSWORD) == 0) {
		*error_r = "no password opens the keyring here";
		return -1;
	}
	if (!cmd->ctx.iterate_single_user &&
	    (sources->password != NULL || sources->new_password != NULL)) {
		*error_r = "several users can't share a password: name one "
			"user by -u, or open the keyrings with an escrow "
			"identity (--identity-fd N)";
		return -1;
	}
	return 0;
}

/* Read one to secrets->line. */
static int
read_param(struct seal_cmd_context *cmd, const char *name,
	   const char **error_r)
{
	const char *value = seal_cmd_str(cmd, name);
	int ret;

	if (cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_CLI)
		return seal_read_fd(cmd->secrets, name, value, error_r);
	ret = seal_read_str(cmd->secrets, name, value, error_r);
	if (value != NULL)
		secret_wipe((void *)(uintptr_t)value, strlen(value));
	return ret;
}

static bool may_ask(const struct seal_cmd_context *cmd)
{
	return cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_CLI &&
		cmd->ctx.iterate_single_user;
}

/* What opens the keyring. Without any the user may be unlocked already. */
static int
ask_opening(struct seal_cmd_context *cmd, const char **error_r)
{
	struct seal_secrets *secrets = cmd->secrets;
	bool password = (cmd->wanted & SEAL_SECRET_PASSWORD) != 0;
	const char *prompt = !password ? "Recovery code: " :
		strcmp(cmd->ctx.cmd->name, "seal password") == 0 ?
		"Old password: " : "Password: ";
	int ret;

	if ((cmd->wanted & SEAL_SECRET_ASK) == 0 || !may_ask(cmd))
		return 0;
	ret = seal_ask(secrets, prompt, FALSE, error_r);
	if (ret <= 0)
		return ret;
	if (!password)
		return seal_take_identity(secrets, "the code", error_r);
	seal_take_password(secrets);
	return 0;
}

static int
take_new(struct seal_cmd_context *cmd, const char **error_r)
{
	return seal_take_new_password(cmd->secrets, cmd->ctx.cctx->username,
				      seal_cmd_flag(cmd, "allow-weak"),
				      error_r);
}

static int ask_new(struct seal_cmd_context *cmd, const char **error_r)
{
	char again[KEYRING_SECRET_CHARS + 1];
	bool alike;
	int ret;

	if (!may_ask(cmd) || seal_cmd_flag(cmd, "no-password") ||
	    seal_cmd_flag(cmd, "recovery"))
		return 0;
	ret = seal_ask(cmd->secrets, "New password: ", FALSE, error_r);
	if (ret <= 0)
		return ret;
	if (take_new(cmd, error_r) < 0)
		return -1;
	if (seal_ask(cmd->secrets, "New password, again: ", FALSE,
		     error_r) <= 0)
		return -1;
	keyring_secret_of(cmd->secrets->line, again);
	alike = secret_equals(again, cmd->secrets->new_password,
			      sizeof(again));
	secret_wipe(again, sizeof(again));
	if (!alike)
		*error_r = "the two answers are not the same";
	return alike ? 0 : -1;
}

static int
take_identity(struct seal_cmd_context *cmd, const char *name,
	      const char **error_r)
{
	return seal_take_identity(cmd->secrets,
		t_strdup_printf("what --%s gives", name), error_r);
}

/* The first identity of a file that age-keygen wrote, too. */
static int
read_identity(struct seal_cmd_context *cmd, const char *name,
	      const char **error_r)
{
	do {
		if (read_param(cmd, name, error_r) < 0)
			return -1;
	} while (cmd->secrets->line[0] == '#' &&
		 cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_CLI);
	return take_identity(cmd, name, error_r);
}

/* The line is one that opens the keyring: a code or an identity can be told
   from a password. */
static int
take_opening(struct seal_cmd_context *cmd, const char *name,
	     const char **error_r)
{
	if (seal_line_is_identity(cmd->secrets))
		return take_identity(cmd, name, error_r);
	seal_take_password(cmd->secrets);
	return 0;
}

static int
read_opening(struct seal_cmd_context *cmd, const struct sources *sources,
	     const char **error_r)
{
	if (sources->identity != NULL)
		return read_identity(cmd, sources->identity, error_r);
	if (sources->password == NULL)
		return ask_opening(cmd, error_r);
	if (read_param(cmd, sources->password, error_r) < 0)
		return -1;
	return take_opening(cmd, sources->password, error_r);
}

static int
read_new(struct seal_cmd_context *cmd, const struct sources *sources,
	 const char **error_r)
{
	if ((cmd->wanted & SEAL_SECRET_NEW) == 0)
		return 0;
	if (sources->new_password == NULL)
		return ask_new(cmd, error_r);
	if (read_param(cmd, sources->new_password, error_r) < 0)
		return -1;
	return take_new(cmd, error_r);
}

/* Where a code alone opens the keyring and none was given, it may stand before
   the new password. */
static int
read_code_and_new(struct seal_cmd_context *cmd, const struct sources *sources,
		  const char **error_r)
{
	if (read_param(cmd, sources->new_password, error_r) < 0)
		return -1;
	if (seal_line_is_identity(cmd->secrets)) {
		if (take_identity(cmd, sources->new_password, error_r) < 0)
			return -1;
		return read_new(cmd, sources, error_r);
	}
	if (take_new(cmd, error_r) < 0)
		return -1;
	return ask_opening(cmd, error_r);
}

static int
read_secrets(struct seal_cmd_context *cmd, int *exit_code_r,
	     const char **error_r)
{
	struct sources sources;

	*exit_code_r = EX_USAGE;
	if (refuse_params(cmd, error_r) < 0)
		return -1;
	if (cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_TCP) {
		*exit_code_r = EX_PROTOCOL;
		return seal_wire_read(cmd, error_r);
	}
	if (find_sources(cmd, &sources, error_r) < 0 ||
	    check_sources(cmd, &sources, error_r) < 0)
		return -1;
	*exit_code_r = EX_DATAERR;
	if ((cmd->wanted & SEAL_SECRET_OPENING) != 0 &&
	    (cmd->wanted & SEAL_SECRET_PASSWORD) == 0 &&
	    sources.identity == NULL && sources.new_password != NULL)
		return read_code_and_new(cmd, &sources, error_r);
	if (read_opening(cmd, &sources, error_r) < 0)
		return -1;
	return read_new(cmd, &sources, error_r);
}

int seal_secrets_get(struct seal_cmd_context *cmd, int *exit_code_r,
		     const char **error_r)
{
	cmd->secrets = secret_alloc(sizeof(*cmd->secrets));
	if (cmd->wanted == 0)
		return 0;
	if (read_secrets(cmd, exit_code_r, error_r) < 0)
		return -1;
	seal_wire_write(cmd);
	return 0;
}
