/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-user.h"
#include "crypto/secret.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal recovery new|remove. */

struct recovery {
	struct seal_change change;
	struct age_x25519_identity *code;
};

static void start_new(struct seal_cmd_context *cmd ATTR_UNUSED)
{
	doveadm_print_header_simple("result");
	seal_code_print_headers();
}

/* Earlier codes shall not open any more, unless they are to be kept. */
static int apply_new(struct seal_change *change, const char **error_r)
{
	struct recovery *recovery =
		container_of(change, struct recovery, change);
	unsigned int removed = 0;

	if (!seal_cmd_flag(change->cmd, "keep")) {
		removed = keyring_edit_remove_kind(change->edit,
						   KEYRING_SLOT_RECOVERY);
	}
	if (keyring_edit_add_recovery(change->edit,
				      seal_cmd_str(change->cmd, "label"),
				      recovery->code, error_r) < 0)
		return -1;
	change->result = removed == 0 ? "recovery code made" :
		"recovery code made, earlier ones removed";
	return 1;
}

static int run_new(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct recovery recovery = {
		.change = {
			.cmd = cmd,
			.user = user,
			.action = "recovery new",
			.slot_kind = "recovery",
			.apply = apply_new,
		},
	};
	struct keyring *keyring;
	void *code = secret_alloc(sizeof(*recovery.code));
	int ret;

	recovery.code = code;
	ret = seal_change_run(&recovery.change, &keyring);
	if (ret >= 0) {
		doveadm_print(recovery.change.result);
		seal_code_print(user, recovery.code);
		keyring_free(&keyring);
		seal_change_deinit(&recovery.change);
	}
	secret_free(&code);
	return ret < 0 ? -1 : 0;
}

static int
remove_labelled(struct seal_change *change, const char *label,
		const char **error_r)
{
	const struct keyring_slot *slots;
	unsigned int i, count;

	slots = keyring_slots(change->keyring, &count);
	for (i = 0; i < count; i++) {
		if (slots[i].kind == KEYRING_SLOT_RECOVERY &&
		    null_strcmp(slots[i].label, label) == 0)
			return keyring_edit_remove(change->edit, i, error_r);
	}
	*error_r = t_strdup_printf("there is no recovery slot with the label "
				   "\"%s\"", label);
	change->exit_code = DOVEADM_EX_NOTFOUND;
	return -1;
}

static int apply_remove(struct seal_change *change, const char **error_r)
{
	const char *label = seal_cmd_str(change->cmd, "label");

	if (label != NULL) {
		if (remove_labelled(change, label, error_r) < 0)
			return -1;
	} else if (keyring_edit_remove_kind(change->edit,
					    KEYRING_SLOT_RECOVERY) == 0) {
		*error_r = "there is no recovery slot";
		change->exit_code = DOVEADM_EX_NOTFOUND;
		return -1;
	}
	change->result = "recovery code removed";
	return seal_check_last_slot(change, error_r);
}

static int run_remove(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct seal_change change = {
		.cmd = cmd,
		.user = user,
		.action = "recovery remove",
		.slot_kind = "recovery",
		.apply = apply_remove,
	};

	return seal_change_run_and_print(&change);
}

static struct doveadm_mail_cmd_context *alloc_new(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING, DOVEADM_PRINT_TYPE_PAGER,
			      start_new, run_new);
}

static struct doveadm_mail_cmd_context *alloc_remove(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING, DOVEADM_PRINT_TYPE_FLOW,
			      seal_start_result, run_remove);
}

struct doveadm_cmd_ver2 seal_cmd_recovery_new = {
	.name = "seal recovery new",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_new,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX SEAL_OPENING_USAGE
		"[--label <label>] [--keep]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "label", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAM('\0', "keep", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAMS_END
};

struct doveadm_cmd_ver2 seal_cmd_recovery_remove = {
	.name = "seal recovery remove",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_remove,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX SEAL_OPENING_USAGE
		"[--label <label>] [--force]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "label", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAM('\0', "force", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAMS_END
};
