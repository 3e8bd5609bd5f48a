/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail-user.h"
#include "mail-storage.h"
#include "mail/rewrite.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal rotate, and seal reseal: a new identity, and old mail rewritten
   for it. Resealing can be ended at any moment and goes on where it was. */

struct rotate {
	struct seal_change change;
	/* What opens the keyring: before, and then after the rotation. */
	struct age_identities *identities;
	struct mail_seal_rewrite_counts counts;
	const char *recipient;
};

static void start_rotate(struct seal_cmd_context *cmd)
{
	doveadm_print_header_simple("result");
	doveadm_print_header_simple("recipient");
	if (strcmp(cmd->ctx.cmd->name, "seal rotate") == 0 &&
	    !seal_cmd_flag(cmd, "reseal"))
		return;
	seal_print_number_header("resealed");
	seal_print_number_header("resealed_bytes");
	seal_print_number_header("unchanged");
	seal_print_number_header("plain");
	seal_print_number_header("failed");
}

static int apply_rotate(struct seal_change *change, const char **error_r)
{
	if (keyring_edit_rotate(change->edit, error_r) < 0)
		return -1;
	return seal_renew_password(change, error_r);
}

static void take_identities(struct rotate *rotate,
			    struct age_identities **identities)
{
	struct age_x25519_recipient recipient;

	if (rotate->identities != NULL)
		age_identities_deinit(&rotate->identities);
	rotate->identities = *identities;
	*identities = NULL;
	age_x25519_identity_recipient(age_identities_get(rotate->identities, 0),
				      &recipient);
	rotate->recipient = age_x25519_recipient_str(&recipient);
}

static int rotate_keyring(struct rotate *rotate)
{
	struct keyring *keyring;

	if (seal_change_run(&rotate->change, &keyring) < 0)
		return -1;
	keyring_free(&keyring);
	take_identities(rotate, &rotate->change.identities);
	return 0;
}

/* The identities of the keyring as it is. Returns 0, or -1, which was said. */
static int open_stored(struct rotate *rotate)
{
	struct keyring_opened opened;
	struct keyring *keyring;

	if (seal_open_stored(&rotate->change, &keyring, &opened) < 0)
		return -1;
	keyring_free(&keyring);
	take_identities(rotate, &opened.identities);
	return 0;
}

/* TRUE if mail is left that an earlier rotation should have resealed. */
static int is_unfinished(struct rotate *rotate, bool *unfinished_r)
{
	struct mail_seal_scan scan;
	const uint32_t *needed;
	unsigned int i, count;

	*unfinished_r = FALSE;
	if (age_identities_count(rotate->identities) == 1)
		return 0;
	i_zero(&scan);
	t_array_init(&scan.earlier, 8);
	if (seal_scan_all(rotate->change.cmd, rotate->change.user,
			  rotate->identities, &scan) < 0)
		return -1;
	needed = array_get(&scan.earlier, &count);
	for (i = 1; i < count; i++) {
		if (needed[i] > 0)
			*unfinished_r = TRUE;
	}
	return 0;
}

static bool go_on(const struct mail_seal_rewrite_counts *counts ATTR_UNUSED,
		  void *context ATTR_UNUSED)
{
	return !doveadm_is_killed();
}

/* A mailbox that can't be rewritten isn't the end. */
static int reseal_mailbox(struct mailbox *box, void *context)
{
	struct rotate *rotate = context;
	const char *error;

	if (mail_seal_rewrite_mailbox(box, MAIL_SEAL_REWRITE_RESEAL,
				      &rotate->counts, go_on, NULL,
				      &error) < 0) {
		(void)seal_cmd_fail(rotate->change.cmd, rotate->change.user,
				    EX_TEMPFAIL, "mailbox %s: %s",
				    mailbox_get_vname(box), error);
	}
	return doveadm_is_killed() ? -1 : 0;
}

static int reseal(struct rotate *rotate)
{
	const struct mail_seal_rewrite_counts *counts = &rotate->counts;
	struct seal_change *change = &rotate->change;
	unsigned int failed;
	int ret;

	mail_seal_user_set_identities(change->user, rotate->identities);
	ret = seal_visit_mailboxes(change->cmd, change->user, 0,
				   reseal_mailbox, rotate);
	failed = counts->foreign + counts->damaged + counts->failed;
	doveadm_print_num(counts->done);
	doveadm_print_num(counts->done_bytes);
	doveadm_print_num(counts->already);
	doveadm_print_num(counts->other);
	doveadm_print_num(failed);
	if (ret < 0 && change->cmd->ctx.exit_code == 0) {
		return seal_cmd_fail(change->cmd, change->user, EX_TEMPFAIL,
			"ended by a signal: doveadm seal reseal goes on");
	}
	if (counts->failed > 0) {
		return seal_cmd_fail(change->cmd, change->user, EX_TEMPFAIL,
			"%u messages could not be rewritten: see above, and "
			"run doveadm seal reseal again", counts->failed);
	}
	if (failed > 0) {
		return seal_cmd_fail(change->cmd, change->user,
			DOVEADM_EX_NOTPOSSIBLE, "%u messages were left as they "
			"are: %u are damaged, %u open with none of the "
			"identities", failed, counts->damaged,
			counts->foreign);
	}
	return change->cmd->ctx.exit_code != 0 ? -1 : 0;
}

static int finish(struct rotate *rotate, const char *result, bool with_mail)
{
	doveadm_print(result);
	doveadm_print(rotate->recipient);
	return with_mail ? reseal(rotate) : 0;
}

static int rotate_and_reseal(struct rotate *rotate)
{
	bool unfinished;

	if (open_stored(rotate) < 0 ||
	    is_unfinished(rotate, &unfinished) < 0)
		return -1;
	if (unfinished)
		return finish(rotate, "earlier rotation goes on", TRUE);
	if (rotate_keyring(rotate) < 0)
		return -1;
	return finish(rotate, "rotated", TRUE);
}

static int run(struct rotate *rotate, bool only_reseal)
{
	if (only_reseal) {
		if (open_stored(rotate) < 0)
			return -1;
		return finish(rotate, "resealed", TRUE);
	}
	if (seal_cmd_flag(rotate->change.cmd, "reseal"))
		return rotate_and_reseal(rotate);
	if (rotate_keyring(rotate) < 0)
		return -1;
	return finish(rotate, "rotated", FALSE);
}

static int
run_for_user(struct seal_cmd_context *cmd, struct mail_user *user,
	     bool only_reseal)
{
	struct rotate rotate = {
		.change = {
			.cmd = cmd,
			.user = user,
			.action = "rotate",
			.slot_kind = "identity",
			.apply = apply_rotate,
		},
	};
	int ret;

	ret = run(&rotate, only_reseal);
	if (rotate.identities != NULL)
		age_identities_deinit(&rotate.identities);
	return ret;
}

static int run_rotate(struct seal_cmd_context *cmd, struct mail_user *user)
{
	return run_for_user(cmd, user, FALSE);
}

static int run_reseal(struct seal_cmd_context *cmd, struct mail_user *user)
{
	return run_for_user(cmd, user, TRUE);
}

static struct doveadm_mail_cmd_context *alloc_rotate(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING, DOVEADM_PRINT_TYPE_PAGER,
			      start_rotate, run_rotate);
}

static struct doveadm_mail_cmd_context *alloc_reseal(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING, DOVEADM_PRINT_TYPE_PAGER,
			      start_rotate, run_reseal);
}

struct doveadm_cmd_ver2 seal_cmd_rotate = {
	.name = "seal rotate",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_rotate,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX SEAL_OPENING_USAGE "[--reseal]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "reseal", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAMS_END
};

struct doveadm_cmd_ver2 seal_cmd_reseal = {
	.name = "seal reseal",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_reseal,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX SEAL_OPENING_USAGE,
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
DOVEADM_CMD_PARAMS_END
};
