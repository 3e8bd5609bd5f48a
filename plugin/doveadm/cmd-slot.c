/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "strnum.h"
#include "mail-user.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal slot list|add|remove. */

static const char *const list_columns[] = {
	"slot", "kind", "method", "created", "label", "recipient", "memory",
	"passes", "state"
};

static void start_list(struct seal_cmd_context *cmd ATTR_UNUSED)
{
	unsigned int i;

	doveadm_print_header(list_columns[0], list_columns[0],
			     DOVEADM_PRINT_HEADER_FLAG_NUMBER);
	for (i = 1; i < N_ELEMENTS(list_columns); i++)
		doveadm_print_header_simple(list_columns[i]);
}

static void print_slot(const struct keyring_slot *slot, unsigned int number)
{
	doveadm_print_num(number);
	doveadm_print(slot->kind_name);
	doveadm_print(slot->method);
	doveadm_print(slot->created);
	doveadm_print(slot->label == NULL ? "" : slot->label);
	doveadm_print(slot->recipient == NULL ? "" : slot->recipient);
	doveadm_print(seal_slot_memory(slot));
	doveadm_print(seal_slot_passes(slot));
	doveadm_print(seal_slot_state(slot));
}

static int run_list(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct keyring_store *store = seal_store_init(cmd, user);
	const struct keyring_slot *slots;
	struct keyring *keyring;
	unsigned int i, count;
	int ret;

	if (store == NULL)
		return -1;
	ret = seal_load(cmd, user, store, &keyring);
	keyring_store_deinit(&store);
	if (ret < 0)
		return -1;
	slots = keyring_slots(keyring, &count);
	for (i = 0; i < count; i++)
		print_slot(&slots[i], i + 1);
	keyring_free(&keyring);
	return 0;
}

static void start_add(struct seal_cmd_context *cmd)
{
	const char *label = seal_cmd_str(cmd, "label"), *error;

	if (label == NULL) {
		seal_cmd_fail_start(cmd, EX_USAGE, "a further password needs a "
			"name by which it can be removed: --label <label>");
	} else if (keyring_label_check(label, &error) < 0) {
		seal_cmd_fail_start(cmd, EX_USAGE, t_strdup_printf(
			"--label: %s", error));
	} else {
		seal_require_new_password(cmd);
	}
	doveadm_print_header_simple("result");
}

static int apply_add(struct seal_change *change, const char **error_r)
{
	return seal_set_or_add_password(change, KEYRING_NO_SLOT,
					seal_cmd_str(change->cmd, "label"),
					error_r);
}

static int run_add(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct seal_change change = {
		.cmd = cmd,
		.user = user,
		.action = "slot add",
		.slot_kind = "password",
		.apply = apply_add,
	};

	return seal_change_run_and_print(&change);
}

/* The slot to remove may be named with or without --label. */
static const char *slot_name(const struct seal_cmd_context *cmd)
{
	const char *name = seal_cmd_str(cmd, "slot");

	return name != NULL ? name : seal_cmd_str(cmd, "label");
}

static void start_remove(struct seal_cmd_context *cmd)
{
	bool forget = seal_cmd_flag(cmd, "forget-old");

	if (seal_cmd_has(cmd, "slot") && seal_cmd_has(cmd, "label")) {
		seal_cmd_fail_start(cmd, EX_USAGE, "which slot? --label and a "
			"slot are given");
	} else if (forget == (slot_name(cmd) != NULL)) {
		seal_cmd_fail_start(cmd, EX_USAGE, forget ?
			"--forget-old removes earlier identities and no slot" :
			"which slot? Give its number or label, as doveadm seal "
			"slot list tells, or --forget-old");
	}
	doveadm_print_header_simple("result");
}

/* By number, as slot list counts, or by label. Returns 0, or -1 and error_r. */
static int
find_slot(struct seal_change *change, unsigned int *idx_r,
	  const char **error_r)
{
	const char *name = slot_name(change->cmd);
	const struct keyring_slot *slots;
	unsigned int i, count, number;

	slots = keyring_slots(change->keyring, &count);
	for (i = 0; i < count; i++) {
		if (null_strcmp(slots[i].label, name) == 0) {
			*idx_r = i;
			return 0;
		}
	}
	if (str_to_uint(name, &number) == 0 && number > 0 && number <= count) {
		*idx_r = number - 1;
		return 0;
	}
	*error_r = t_strdup_printf("there is no slot \"%s\": expected a label "
		"or a number from 1 to %u", name, count);
	change->exit_code = DOVEADM_EX_NOTFOUND;
	return -1;
}

static int apply_remove(struct seal_change *change, const char **error_r)
{
	const struct keyring_slot *slots;
	unsigned int idx, count;

	if (find_slot(change, &idx, error_r) < 0)
		return -1;
	slots = keyring_slots(change->keyring, &count);
	if (keyring_edit_remove(change->edit, idx, error_r) < 0)
		return -1;
	change->slot_kind = t_strdup(slots[idx].kind_name);
	change->result = t_strdup_printf("%s slot removed",
					 slots[idx].kind_name);
	return seal_check_last_slot(change, error_r);
}

static int run_remove(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct seal_change change = {
		.cmd = cmd,
		.user = user,
		.action = "slot remove",
		.apply = apply_remove,
	};

	if (seal_cmd_flag(cmd, "forget-old"))
		return seal_forget_old(cmd, user);
	return seal_change_run_and_print(&change);
}

static struct doveadm_mail_cmd_context *alloc_list(void)
{
	return seal_cmd_alloc(0, DOVEADM_PRINT_TYPE_TABLE, start_list,
			      run_list);
}

static struct doveadm_mail_cmd_context *alloc_add(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING | SEAL_SECRET_NEW,
			      DOVEADM_PRINT_TYPE_FLOW, start_add, run_add);
}

static struct doveadm_mail_cmd_context *alloc_remove(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING, DOVEADM_PRINT_TYPE_FLOW,
			      start_remove, run_remove);
}

struct doveadm_cmd_ver2 seal_cmd_slot_list = {
	.name = "seal slot list",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_list,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX,
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
DOVEADM_CMD_PARAMS_END
};

struct doveadm_cmd_ver2 seal_cmd_slot_add = {
	.name = "seal slot add",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_add,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX
		"[--password-fd <n>] [--old-password-fd <n>|--identity-fd <n>] "
		"[--new-password-fd <n>] [--allow-weak] --label <label>",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
SEAL_NEW_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "label", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAMS_END
};

struct doveadm_cmd_ver2 seal_cmd_slot_remove = {
	.name = "seal slot remove",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_remove,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX SEAL_OPENING_USAGE
		"[--force] <slot>|--label <label>|--forget-old",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "force", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAM('\0', "forget-old", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAM('\0', "label", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAM('\0', "slot", CMD_PARAM_STR, CMD_PARAM_FLAG_POSITIONAL)
DOVEADM_CMD_PARAMS_END
};
