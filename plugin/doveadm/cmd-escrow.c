/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "settings/mail-seal-settings.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal escrow sync: what the next login with a password does by itself,
   for who has another secret of the keyrings. */

int seal_sync_escrow(struct mail_user *user, struct keyring_edit *edit,
		     const char **error_r)
{
	const struct mail_seal_settings *set = mail_seal_user_settings(user);

	return keyring_edit_sync_escrow(edit, set->escrow, set->escrow_count,
					error_r);
}

static int apply_sync(struct seal_change *change, const char **error_r)
{
	int ret;

	ret = seal_sync_escrow(change->user, change->edit, error_r);
	if (ret <= 0)
		return ret;
	change->result = "escrow slots changed";
	return seal_check_last_slot(change, error_r);
}

static int run_sync(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct seal_change change = {
		.cmd = cmd,
		.user = user,
		.action = "escrow sync",
		.slot_kind = "escrow",
		.apply = apply_sync,
	};

	return seal_change_run_and_print(&change);
}

static struct doveadm_mail_cmd_context *alloc_sync(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING, DOVEADM_PRINT_TYPE_FLOW,
			      seal_start_result, run_sync);
}

struct doveadm_cmd_ver2 seal_cmd_escrow_sync = {
	.name = "seal escrow sync",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_sync,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX SEAL_OPENING_USAGE "[--force]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "force", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAMS_END
};
