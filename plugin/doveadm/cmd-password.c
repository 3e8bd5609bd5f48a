/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-user.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal password: set the password of a slot, or add one. The identities
   stay, so no message is touched and open sessions go on. */

static void start_password(struct seal_cmd_context *cmd)
{
	seal_require_new_password(cmd);
	doveadm_print_header_simple("result");
}

/* Which password slot is to be set: the one with this label; without a label
   the one that the old password opened, else the first one without a label.
   Returns KEYRING_NO_SLOT if one is to be added. */
static unsigned int
find_slot(const struct seal_change *change, const char *label)
{
	const struct keyring_slot *slots;
	unsigned int i, count;

	slots = keyring_slots(change->keyring, &count);
	i = change->opened->slot_idx;
	if (label == NULL && i < count && slots[i].kind ==
	    KEYRING_SLOT_PASSWORD)
		return i;
	for (i = 0; i < count; i++) {
		if (slots[i].kind == KEYRING_SLOT_PASSWORD &&
		    null_strcmp(slots[i].label, label) == 0)
			return i;
	}
	return KEYRING_NO_SLOT;
}

static int apply_password(struct seal_change *change, const char **error_r)
{
	const char *label = seal_cmd_str(change->cmd, "label");

	return seal_set_or_add_password(change, find_slot(change, label),
					label, error_r);
}

static int run_password(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct seal_change change = {
		.cmd = cmd,
		.user = user,
		.action = "password",
		.slot_kind = "password",
		.apply = apply_password,
	};

	return seal_change_run_and_print(&change);
}

static struct doveadm_mail_cmd_context *alloc_password(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING | SEAL_SECRET_NEW,
			      DOVEADM_PRINT_TYPE_FLOW, start_password,
			      run_password);
}

struct doveadm_cmd_ver2 seal_cmd_password = {
	.name = "seal password",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_password,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX
		"[--password-fd <n>] [--old-password-fd <n>|--identity-fd <n>] "
		"[--new-password-fd <n>] [--label <label>] [--allow-weak]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
SEAL_NEW_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "label", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAMS_END
};
