/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "str.h"
#include "mail-user.h"
#include "mail/mail-seal-user.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal status: no secret is needed. */

static const char *const columns[] = {
	"enrolled", "recipient", "keyring",
	"password_slots", "recovery_slots", "escrow_slots", "other_slots",
	"outdated_slots", "unlisted_slots", "earlier", "slots"
};
#define FIRST_NUMBER 3
#define LAST_NUMBER 8

/* With --count there is a row for each mailbox, with these beside the others. */
static const char *const count_columns[] = {
	"mailbox", "sealed", "sealed_bytes", "plain", "plain_bytes", "damaged"
};
#define FIRST_COUNT 1

struct status {
	struct seal_cmd_context *cmd;
	struct mail_user *user;
	/* "yes", "no", "userdb", "unknown" */
	const char *enrolled;
	/* Where the keyring is, or why there is none. */
	const char *place;
	/* NULL if there is none, or it can't be read. */
	const struct keyring *keyring;
	bool printed;
};

static void start_status(struct seal_cmd_context *cmd)
{
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(columns); i++) {
		if (i >= FIRST_NUMBER && i <= LAST_NUMBER)
			seal_print_number_header(columns[i]);
		else
			doveadm_print_header_simple(columns[i]);
	}
	if (!seal_cmd_flag(cmd, "count"))
		return;
	for (i = 0; i < N_ELEMENTS(count_columns); i++) {
		if (i >= FIRST_COUNT)
			seal_print_number_header(count_columns[i]);
		else
			doveadm_print_header_simple(count_columns[i]);
	}
}

static const char *earlier_str(const struct keyring *keyring)
{
	const struct keyring_earlier *earlier;
	string_t *str = t_str_new(64);
	unsigned int i, count;

	earlier = keyring_earlier(keyring, &count);
	for (i = 0; i < count; i++) {
		str_printfa(str, "%s%s until %s", i == 0 ? "" : "; ",
			    age_x25519_recipient_str(&earlier[i].recipient),
			    earlier[i].until);
	}
	return str_c(str);
}

/* The columns that are not of a mailbox. */
static void print_user(struct status *status)
{
	const struct keyring *keyring = status->keyring;
	struct keyring_slot_counts counts;

	i_zero(&counts);
	if (keyring != NULL)
		keyring_count(keyring, &counts);
	doveadm_print(status->enrolled);
	doveadm_print(keyring == NULL ? "" : seal_recipients_str(keyring));
	doveadm_print(status->place);
	doveadm_print_num(counts.password);
	doveadm_print_num(counts.recovery);
	doveadm_print_num(counts.escrow);
	doveadm_print_num(counts.link + counts.unknown);
	doveadm_print_num(counts.marked);
	doveadm_print_num(counts.unlisted);
	doveadm_print(keyring == NULL ? "" : earlier_str(keyring));
	doveadm_print(keyring == NULL ? "" : seal_slots_str(keyring));
	status->printed = TRUE;
}

static void print_count(struct status *status, const char *mailbox,
			const struct mail_seal_scan *scan)
{
	print_user(status);
	doveadm_print(mailbox);
	doveadm_print_num(scan->sealed);
	doveadm_print_num(scan->sealed_bytes);
	doveadm_print_num(scan->plain);
	doveadm_print_num(scan->plain_bytes);
	doveadm_print_num(scan->damaged);
}

/* A mailbox that can't be looked at isn't the end. */
static int count_mailbox(struct mailbox *box, void *context)
{
	struct status *status = context;
	struct mail_seal_scan scan;

	i_zero(&scan);
	if (seal_scan_mailbox(status->cmd, status->user, box, NULL, &scan) == 0)
		print_count(status, mailbox_get_vname(box), &scan);
	return 0;
}

static int count_mailboxes(struct status *status)
{
	struct mail_seal_scan none;
	int ret;

	ret = seal_visit_mailboxes(status->cmd, status->user,
				   MAILBOX_FLAG_READONLY, count_mailbox,
				   status);
	i_zero(&none);
	/* Everybody has a row. */
	if (!status->printed)
		print_count(status, "", &none);
	return ret < 0 || status->cmd->ctx.exit_code != 0 ? -1 : 0;
}

static int print_status(struct status *status)
{
	if (seal_cmd_flag(status->cmd, "count"))
		return count_mailboxes(status);
	print_user(status);
	return 0;
}

/* The error is told, and shown in a row as well. */
static int print_unknown(struct status *status, const char *error)
{
	(void)seal_cmd_fail(status->cmd, status->user, EX_TEMPFAIL, "%s",
			    error);
	status->enrolled = "unknown";
	(void)print_status(status);
	return -1;
}

static int
status_of_store(struct status *status, struct keyring_store *store)
{
	struct keyring *keyring;
	const char *error;
	int ret;

	status->place = keyring_store_name(store);
	ret = keyring_store_load(store, &keyring, &error);
	if (ret < 0)
		return print_unknown(status, error);
	status->enrolled = ret > 0 ? "yes" : "no";
	if (ret == 0)
		return print_status(status);
	if (keyring_store_notice(store) != NULL) {
		e_warning(status->user->event, "%s",
			  keyring_store_notice(store));
	}
	status->keyring = keyring;
	ret = print_status(status);
	keyring_free(&keyring);
	return ret;
}

static int run_status(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct status status = { .cmd = cmd, .user = user, .place = "" };
	struct keyring_store *store;
	const char *error;
	int ret;

	error = seal_no_keyring_reason(user);
	if (error != NULL) {
		status.enrolled = mail_seal_user_is_sealed(user) ?
			"userdb" : "no";
		status.place = error;
		return print_status(&status);
	}
	if (mail_seal_user_store_init(user, &store, &error) < 0)
		return print_unknown(&status, error);
	ret = status_of_store(&status, store);
	keyring_store_deinit(&store);
	return ret;
}

static struct doveadm_mail_cmd_context *alloc_status(void)
{
	return seal_cmd_alloc(0, DOVEADM_PRINT_TYPE_PAGER, start_status,
			      run_status);
}

struct doveadm_cmd_ver2 seal_cmd_status = {
	.name = "seal status",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_status,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX "[--count]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
DOVEADM_CMD_PARAM('\0', "count", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAMS_END
};
