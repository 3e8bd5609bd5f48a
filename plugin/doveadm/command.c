/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "istream.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"
#include "crypto/secret.h"

/* Between doveadm and the commands: options, secrets, exit codes. */

#define COMMON_PARAMS_COUNT \
	(sizeof((const struct doveadm_cmd_param[]) \
		{ DOVEADM_CMD_MAIL_COMMON }) / sizeof(struct doveadm_cmd_param))

/* --json is doveadm's -f json, unless another formatter was chosen. */
static void choose_formatter(const struct doveadm_cmd_context *cctx)
{
	int i;

	for (i = 0; i < cctx->argc; i++) {
		if (strcmp(cctx->argv[i].name, "json") == 0 &&
		    cctx->argv[i].value_set && cctx->argv[i].value.v_bool)
			doveadm_print_init(DOVEADM_PRINT_TYPE_JSON);
	}
}

void seal_cmd_exec(struct doveadm_cmd_context *cctx)
{
	choose_formatter(cctx);
#if !DOVECOT_PREREQ(2, 4, 0)
	/* Dovecot 2.3 refuses options of mail commands that have no short form:
	   show it those alone that it knows, until start_command(). */
	cctx->argc = COMMON_PARAMS_COUNT;
#endif
	doveadm_cmd_ver2_to_mail_cmd_wrapper(cctx);
}

static unsigned int count_params(const struct doveadm_cmd_param *params)
{
	unsigned int count = 0;

	while (params[count].name != NULL)
		count++;
	return count;
}

static const struct doveadm_cmd_param *
find_param(const struct seal_cmd_context *cmd, const char *name)
{
	const struct doveadm_cmd_context *cctx = cmd->ctx.cctx;
	int i;

	for (i = 0; i < cctx->argc; i++) {
		if (strcmp(cctx->argv[i].name, name) == 0)
			return cctx->argv[i].value_set ? &cctx->argv[i] : NULL;
	}
	return NULL;
}

bool seal_cmd_has(const struct seal_cmd_context *cmd, const char *name)
{
	return find_param(cmd, name) != NULL;
}

bool seal_cmd_flag(const struct seal_cmd_context *cmd, const char *name)
{
	const struct doveadm_cmd_param *param = find_param(cmd, name);

	return param != NULL && param->value.v_bool;
}

const char *seal_cmd_str(const struct seal_cmd_context *cmd, const char *name)
{
	const struct doveadm_cmd_param *param = find_param(cmd, name);

	return param == NULL ? NULL : param->value.v_string;
}

const char *const *
seal_cmd_array(const struct seal_cmd_context *cmd, const char *name)
{
	const struct doveadm_cmd_param *param = find_param(cmd, name);

	return param == NULL ? NULL : array_front(&param->value.v_array);
}

void seal_cmd_set_str(struct seal_cmd_context *cmd, const char *name,
		      const char *value)
{
	struct doveadm_cmd_param *params =
		(void *)(uintptr_t)cmd->ctx.cctx->argv;
	int i;

	for (i = 0; i < cmd->ctx.cctx->argc; i++) {
		if (strcmp(params[i].name, name) != 0)
			continue;
		params[i].value_set = TRUE;
		params[i].value.v_string = p_strdup(cmd->ctx.pool, value);
	}
}

/* Secrets have been read: what leads to them isn't for another server. */
static void hide_secret_params(struct seal_cmd_context *cmd)
{
	struct doveadm_cmd_context *cctx = cmd->ctx.cctx;
	struct doveadm_cmd_param *params;
	int i;

	params = p_new(cmd->ctx.pool, struct doveadm_cmd_param, cctx->argc);
	memcpy(params, cctx->argv, sizeof(*params) * cctx->argc);
	for (i = 0; i < cctx->argc; i++) {
		if (seal_secrets_is_param(params[i].name))
			params[i].value_set = FALSE;
	}
	cctx->argv = params;
}

#if !DOVECOT_PREREQ(2, 4, 0)
static void add_arg(struct seal_cmd_context *cmd, ARRAY_TYPE(const_string) *args,
		    const char *name, const char *value)
{
	const char *str = value == NULL ?
		p_strconcat(cmd->ctx.pool, "--", name, NULL) :
		p_strconcat(cmd->ctx.pool, "--", name, "=", value, NULL);

	array_push_back(args, &str);
}

static void
add_param(struct seal_cmd_context *cmd, ARRAY_TYPE(const_string) *args,
	  const struct doveadm_cmd_param *param)
{
	const char *const *values;

	if (param->type == CMD_PARAM_ARRAY) {
		values = array_front(&param->value.v_array);
		for (; *values != NULL; values++)
			add_arg(cmd, args, param->name, *values);
	} else if (param->type != CMD_PARAM_BOOL) {
		add_arg(cmd, args, param->name, param->value.v_string);
	} else if (param->value.v_bool) {
		add_arg(cmd, args, param->name, NULL);
	}
}

/* What a server is asked for, with the options that were hidden. */
static void set_full_args(struct seal_cmd_context *cmd)
{
	const struct doveadm_cmd_context *cctx = cmd->ctx.cctx;
	ARRAY_TYPE(const_string) args;
	const char *str;
	int i;

	p_array_init(&args, cmd->ctx.pool, 16);
	for (i = COMMON_PARAMS_COUNT; i < cctx->argc; i++) {
		if (cctx->argv[i].value_set)
			add_param(cmd, &args, &cctx->argv[i]);
	}
	for (i = 0; cmd->ctx.full_args[i] != NULL; i++) {
		str = cmd->ctx.full_args[i];
		/* The server would open the file, which is called "". */
		if (strcmp(str, "-F") == 0 && *cmd->ctx.full_args[i + 1] == 0) {
			str = "-A";
			i++;
		}
		array_push_back(&args, &str);
	}
	array_append_zero(&args);
	cmd->ctx.full_args = array_front(&args);
}
#endif

void seal_cmd_fail_start(struct seal_cmd_context *cmd, int exit_code,
			 const char *error)
{
	const char *name = cmd->ctx.cmd->name;

	if (cmd->ctx.cctx->conn_type == DOVEADM_CONNECTION_TYPE_CLI)
		i_fatal_status(exit_code, "%s: %s", name, error);
	i_error("%s: %s", name, error);
	cmd->ctx.exit_code = exit_code;
	cmd->failed = TRUE;
}

void seal_require_new_password(struct seal_cmd_context *cmd)
{
	if (!cmd->failed && (cmd->secrets->set & SEAL_SECRET_NEW) == 0) {
		seal_cmd_fail_start(cmd, EX_USAGE, "the new password is "
			"missing: give it by --password-fd N");
	}
}

void seal_print_number_header(const char *name)
{
	doveadm_print_header(name, name,
			     DOVEADM_PRINT_HEADER_FLAG_RIGHT_JUSTIFY |
			     DOVEADM_PRINT_HEADER_FLAG_NUMBER);
}

void seal_start_result(struct seal_cmd_context *cmd ATTR_UNUSED)
{
	doveadm_print_header_simple("result");
}

/* The input of a command is one stream for all users, which Dovecot doesn't
   rewind for those that wait for a connection to a server, and which 2.3 closes
   after the first: let none wait, and make it anew. */
static int next_user(struct doveadm_mail_cmd_context *ctx,
		     const char **username_r)
{
	struct seal_cmd_context *cmd =
		container_of(ctx, struct seal_cmd_context, ctx);

#if DOVECOT_PREREQ(2, 4, 0)
	doveadm_mail_server_flush(ctx);
#else
	doveadm_mail_server_flush();
#endif
	if (ctx->cmd_input != NULL)
		seal_wire_rewind(cmd);
	return cmd->next_user(ctx, username_r);
}

static void start_command(struct seal_cmd_context *cmd)
{
	struct doveadm_cmd_context *cctx = cmd->ctx.cctx;
	const char *error;
	int exit_code;

	if (cctx == NULL || cctx->cmd->cmd != seal_cmd_exec)
		i_fatal_status(EX_USAGE, "seal: not possible in a batch");
	cctx->argc = count_params(cctx->cmd->parameters);
	if (seal_secrets_get(cmd, &exit_code, &error) < 0)
		seal_cmd_fail_start(cmd, exit_code, error);
	hide_secret_params(cmd);
	cmd->next_user = cmd->ctx.v.get_next_user;
	cmd->ctx.v.get_next_user = next_user;
	cmd->start(cmd);
#if !DOVECOT_PREREQ(2, 4, 0)
	set_full_args(cmd);
#endif
}

static int run_command(struct doveadm_mail_cmd_context *ctx,
		       struct mail_user *user)
{
	struct seal_cmd_context *cmd =
		container_of(ctx, struct seal_cmd_context, ctx);

	return cmd->failed ? -1 : cmd->run(cmd, user);
}

static void end_command(struct doveadm_mail_cmd_context *ctx)
{
	struct seal_cmd_context *cmd =
		container_of(ctx, struct seal_cmd_context, ctx);
	void *secrets = cmd->secrets;

	/* It points into the secrets. */
	if (secrets != NULL)
		i_stream_unref(&ctx->cmd_input);
	secret_free(&secrets);
	cmd->secrets = NULL;
}

#if DOVECOT_PREREQ(2, 4, 0)
static void init_command(struct doveadm_mail_cmd_context *ctx)
#else
static void init_command(struct doveadm_mail_cmd_context *ctx,
			 const char *const args[] ATTR_UNUSED)
#endif
{
	start_command(container_of(ctx, struct seal_cmd_context, ctx));
}

struct doveadm_mail_cmd_context *
seal_cmd_alloc(enum seal_secret_flags wanted, const char *formatter,
	       void (*start)(struct seal_cmd_context *cmd),
	       int (*run)(struct seal_cmd_context *cmd,
			  struct mail_user *user))
{
	struct doveadm_mail_cmd_context *ctx;
	struct seal_cmd_context *cmd;

	ctx = doveadm_mail_cmd_alloc_size(sizeof(*cmd));
	cmd = container_of(ctx, struct seal_cmd_context, ctx);
	cmd->wanted = wanted;
	cmd->start = start;
	cmd->run = run;
	ctx->v.init = init_command;
	ctx->v.run = run_command;
	ctx->v.deinit = end_command;
	doveadm_print_init(formatter);
	return ctx;
}

int seal_cmd_fail(struct seal_cmd_context *cmd, struct mail_user *user,
		  int exit_code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	e_error(user->event, "%s: %s", cmd->ctx.cmd->name,
		t_strdup_vprintf(fmt, args));
	va_end(args);
	if (cmd->ctx.exit_code == 0 || exit_code == EX_TEMPFAIL)
		cmd->ctx.exit_code = exit_code;
	return -1;
}
