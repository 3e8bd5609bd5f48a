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

/* With --count there is a row for each mailbox instead. */
static const char *const count_columns[] = {
	"enrolled", "mailbox",
	"sealed", "sealed_bytes", "plain", "plain_bytes", "damaged"
};
#define FIRST_COUNT 2

static void print_number_header(const char *name)
{
	doveadm_print_header(name, name,
			     DOVEADM_PRINT_HEADER_FLAG_RIGHT_JUSTIFY |
			     DOVEADM_PRINT_HEADER_FLAG_NUMBER);
}

static void start_status(struct seal_cmd_context *cmd)
{
	unsigned int i;

	if (seal_cmd_flag(cmd, "count")) {
		for (i = 0; i < N_ELEMENTS(count_columns); i++) {
			if (i >= FIRST_COUNT)
				print_number_header(count_columns[i]);
			else
				doveadm_print_header_simple(count_columns[i]);
		}
		return;
	}
	for (i = 0; i < N_ELEMENTS(columns); i++) {
		if (i >= FIRST_NUMBER && i <= LAST_NUMBER)
			print_number_header(columns[i]);
		else
			doveadm_print_header_simple(columns[i]);
	}
}

struct count {
	struct seal_cmd_context *cmd;
	struct mail_user *user;
	const char *enrolled;
	unsigned int rows;
};

static void print_count(struct count *count, const char *mailbox,
			const struct mail_seal_scan *scan)
{
	doveadm_print(count->enrolled);
	doveadm_print(mailbox);
	doveadm_print_num(scan->sealed);
	doveadm_print_num(scan->sealed_bytes);
	doveadm_print_num(scan->plain);
	doveadm_print_num(scan->plain_bytes);
	doveadm_print_num(scan->damaged);
	count->rows++;
}

/* A mailbox that can't be looked at isn't the end. */
static int count_mailbox(struct mailbox *box, void *context)
{
	struct count *count = context;
	struct mail_seal_scan scan;

	i_zero(&scan);
	if (seal_scan_mailbox(count->cmd, count->user, box, NULL, &scan) == 0)
		print_count(count, mailbox_get_vname(box), &scan);
	return 0;
}

static int
count_mailboxes(struct seal_cmd_context *cmd, struct mail_user *user,
		const char *enrolled)
{
	struct count count = {
		.cmd = cmd,
		.user = user,
		.enrolled = enrolled,
	};
	struct mail_seal_scan none;
	int ret;

	ret = seal_visit_mailboxes(cmd, user, MAILBOX_FLAG_READONLY,
				   count_mailbox, &count);
	i_zero(&none);
	/* Everybody has a row. */
	if (count.rows == 0)
		print_count(&count, "", &none);
	return ret < 0 || cmd->ctx.exit_code != 0 ? -1 : 0;
}

/* For who has no keyring, or none that can be read. Returns 0, or -1 if the
   mailboxes are to be counted and can't be. */
static int
print_without(struct seal_cmd_context *cmd, struct mail_user *user,
	      const char *enrolled, const char *keyring)
{
	unsigned int i;

	if (seal_cmd_flag(cmd, "count"))
		return count_mailboxes(cmd, user, enrolled);
	doveadm_print(enrolled);
	doveadm_print("");
	doveadm_print(keyring);
	for (i = FIRST_NUMBER; i <= LAST_NUMBER; i++)
		doveadm_print_num(0);
	doveadm_print("");
	doveadm_print("");
	return 0;
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

static void
print_keyring(const struct keyring_store *store, const struct keyring *keyring)
{
	struct keyring_slot_counts counts;

	keyring_count(keyring, &counts);
	doveadm_print("yes");
	doveadm_print(seal_recipients_str(keyring));
	doveadm_print(keyring_store_name(store));
	doveadm_print_num(counts.password);
	doveadm_print_num(counts.recovery);
	doveadm_print_num(counts.escrow);
	doveadm_print_num(counts.link + counts.unknown);
	doveadm_print_num(counts.marked);
	doveadm_print_num(counts.unlisted);
	doveadm_print(earlier_str(keyring));
	doveadm_print(seal_slots_str(keyring));
}

static int
status_of_store(struct seal_cmd_context *cmd, struct mail_user *user,
		struct keyring_store *store)
{
	struct keyring *keyring;
	const char *error;
	int ret;

	ret = keyring_store_load(store, &keyring, &error);
	if (ret < 0) {
		(void)seal_cmd_fail(cmd, user, EX_TEMPFAIL, "%s", error);
		(void)print_without(cmd, user, "unknown",
				    keyring_store_name(store));
		return -1;
	}
	if (ret == 0) {
		return print_without(cmd, user, "no",
				     keyring_store_name(store));
	}
	if (keyring_store_notice(store) != NULL)
		e_warning(user->event, "%s", keyring_store_notice(store));
	if (seal_cmd_flag(cmd, "count"))
		ret = count_mailboxes(cmd, user, "yes");
	else {
		print_keyring(store, keyring);
		ret = 0;
	}
	keyring_free(&keyring);
	return ret;
}

static int run_status(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct keyring_store *store;
	const char *error;
	int ret;

	error = seal_no_keyring_reason(user);
	if (error != NULL) {
		return print_without(cmd, user,
				     mail_seal_user_is_sealed(user) ?
				     "userdb" : "no", error);
	}
	if (mail_seal_user_store_init(user, &store, &error) < 0) {
		(void)seal_cmd_fail(cmd, user, EX_TEMPFAIL, "%s", error);
		(void)print_without(cmd, user, "unknown", "");
		return -1;
	}
	ret = status_of_store(cmd, user, store);
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
