/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "time-util.h"
#include "mail-user.h"
#include "crypto/secret.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal destroy: the keyring goes, and with it whatever was sealed to it.
   No secret is needed: it works for lost and damaged keyrings, too. */

/* Has the person typed the user's name? The secrets are but memory here. */
static bool ask_confirmation(struct seal_cmd_context *cmd, const char **error_r)
{
	const char *username = cmd->ctx.cctx->username;
	bool confirmed;

	*error_r = "give --confirm with the user's name";
	if (cmd->ctx.cctx->conn_type != DOVEADM_CONNECTION_TYPE_CLI ||
	    seal_ask(cmd->secrets, t_strdup_printf("All sealed mail of %s will "
		"be unreadable for ever. Type the user's name to go on: ",
		username), TRUE, error_r) <= 0)
		return FALSE;
	confirmed = strcmp(cmd->secrets->line, username) == 0;
	if (!confirmed)
		*error_r = "what was typed is not the user's name";
	else
		seal_cmd_set_str(cmd, "confirm", username);
	return confirmed;
}

static void start_destroy(struct seal_cmd_context *cmd)
{
	const char *error;

	if (cmd->failed)
		;
	else if (!cmd->ctx.iterate_single_user) {
		seal_cmd_fail_start(cmd, EX_USAGE,
			"keyrings are destroyed one by one: name a user by -u");
	} else if (!seal_cmd_has(cmd, "confirm") &&
		   !ask_confirmation(cmd, &error)) {
		seal_cmd_fail_start(cmd, EX_USAGE, t_strdup_printf(
			"not confirmed: %s", error));
	}
	doveadm_print_header_simple("result");
	doveadm_print_header("sealed", "sealed",
			     DOVEADM_PRINT_HEADER_FLAG_NUMBER);
	doveadm_print_header("sealed_bytes", "sealed_bytes",
			     DOVEADM_PRINT_HEADER_FLAG_NUMBER);
}

static void log_destroyed(struct mail_user *user, uint64_t started,
			  const char *reason)
{
	const struct mail_seal_key_event_fields fields = {
		.action = "destroy",
		.reason = reason,
		.duration_usecs = i_microseconds() - started,
	};

	mail_seal_user_key_event(user, MAIL_SEAL_EVENT_KEYRING_CHANGED,
				 &fields);
}

static void tell_destroyed(const struct mail_seal_scan *scan)
{
	doveadm_print("keyring destroyed: what was sealed can't be read any "
		"more, but for sessions that are open now (doveadm kick)");
	doveadm_print_num(scan->sealed);
	doveadm_print_num(scan->sealed_bytes);
}

static int
destroy(struct seal_cmd_context *cmd, struct mail_user *user,
	struct keyring_store *store)
{
	uint64_t started = i_microseconds();
	struct mail_seal_scan scan;
	const char *error;
	int ret;

	/* What can't be counted mustn't keep the keyring alive: it's said. */
	i_zero(&scan);
	(void)seal_scan_all(cmd, user, NULL, &scan);
	ret = keyring_store_destroy(store, &error);
	if (ret < 0) {
		log_destroyed(user, started, error);
		return seal_cmd_fail(cmd, user, EX_TEMPFAIL, "%s", error);
	}
	if (ret == 0) {
		return seal_cmd_fail(cmd, user, DOVEADM_EX_NOTFOUND,
			"the user is not enrolled: %s does not exist",
			keyring_store_name(store));
	}
	log_destroyed(user, started, NULL);
	tell_destroyed(&scan);
	return cmd->ctx.exit_code != 0 ? -1 : 0;
}

static int run_destroy(struct seal_cmd_context *cmd, struct mail_user *user)
{
	const char *name = seal_cmd_str(cmd, "confirm");
	struct keyring_store *store;
	int ret;

	if (null_strcmp(name, user->username) != 0) {
		return seal_cmd_fail(cmd, user, EX_USAGE,
			"not confirmed: --confirm must be the user's name %s, "
			"nothing was changed", user->username);
	}
	store = seal_store_init(cmd, user);
	if (store == NULL)
		return -1;
	ret = destroy(cmd, user, store);
	keyring_store_deinit(&store);
	return ret;
}

static struct doveadm_mail_cmd_context *alloc_destroy(void)
{
	return seal_cmd_alloc(0, DOVEADM_PRINT_TYPE_PAGER, start_destroy,
			      run_destroy);
}

struct doveadm_cmd_ver2 seal_cmd_destroy = {
	.name = "seal destroy",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_destroy,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX "[--confirm <user>]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
DOVEADM_CMD_PARAM('\0', "confirm", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAMS_END
};
