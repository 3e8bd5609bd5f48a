/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-user.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal recover: the password is lost, a code is there. The lost password
   must not open any longer: the new one takes the place of every password slot
   without a label. Slots with a label are other devices' and stay. */

static void start_recover(struct seal_cmd_context *cmd)
{
	seal_require_new_password(cmd);
	doveadm_print_header_simple("result");
}

/* Keep the first slot without a label, to be replaced, and remove the others.
   KEYRING_NO_SLOT if there is none. */
static int
find_unlabelled(struct seal_change *change, unsigned int *idx_r,
		const char **error_r)
{
	const struct keyring_slot *slots;
	unsigned int i, count;

	*idx_r = KEYRING_NO_SLOT;
	slots = keyring_slots(change->keyring, &count);
	for (i = 0; i < count; i++) {
		if (slots[i].kind != KEYRING_SLOT_PASSWORD ||
		    slots[i].label != NULL)
			continue;
		if (*idx_r == KEYRING_NO_SLOT)
			*idx_r = i;
		else if (keyring_edit_remove(change->edit, i, error_r) < 0)
			return -1;
	}
	return 0;
}

static int apply_recover(struct seal_change *change, const char **error_r)
{
	unsigned int idx;

	if (find_unlabelled(change, &idx, error_r) < 0)
		return -1;
	return seal_set_or_add_password(change, idx, NULL, error_r);
}

static int run_recover(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct seal_change change = {
		.cmd = cmd,
		.user = user,
		.action = "recover",
		.slot_kind = "password",
		.apply = apply_recover,
	};

	return seal_change_run_and_print(&change);
}

static struct doveadm_mail_cmd_context *alloc_recover(void)
{
	return seal_cmd_alloc(SEAL_SECRET_IDENTITY | SEAL_SECRET_NEW |
			      SEAL_SECRET_ASK, DOVEADM_PRINT_TYPE_FLOW,
			      start_recover, run_recover);
}

struct doveadm_cmd_ver2 seal_cmd_recover = {
	.name = "seal recover",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_recover,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX
		"[--code-fd <n>|--identity-fd <n>] [--password-fd <n>] "
		"[--allow-weak]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "code-fd", CMD_PARAM_STR, SEAL_FD_FLAG)
DOVEADM_CMD_PARAM('\0', "code", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAM('\0', "new-password-fd", CMD_PARAM_STR, SEAL_FD_FLAG)
DOVEADM_CMD_PARAM('\0', "new-password", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAM('\0', "allow-weak", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAMS_END
};
