/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "ioloop.h"
#include "time-util.h"
#include "mail-user.h"
#include "mail-storage.h"
#include "mail/mail-seal-user.h"
#include "mail/rewrite.h"
#include "terminal/progress.h"
#include "settings/mail-seal-settings.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"
#if DOVECOT_PREREQ(2, 4, 0)
#  include "str-parse.h"
#  define parse_size str_parse_get_size
#else
#  include "settings-parser.h"
#  define parse_size settings_get_size
#endif

#include <unistd.h>

/* doveadm seal mail, and seal unseal: stored mail is sealed, or opened again,
   where it lies. Both can be ended at any moment and go on where they were. */

/* Between two lines of the log. */
#define LOG_INTERVAL_USECS (10 * 1000 * 1000)
/* How long it is slept at once, to keep to --max-rate. */
#define SLEEP_MAX_USECS (100 * 1000)

struct rewriting {
	struct seal_cmd_context *cmd;
	struct mail_user *user;
	enum mail_seal_rewrite_mode mode;
	/* "sealed" or "unsealed" */
	const char *done_word;
	struct mail_seal_rewrite_counts counts;
	/* How many messages there are. */
	unsigned int total;

	struct progress *progress;
	bool on_terminal;
	uint64_t begun_usecs, logged_usecs;
	/* Bytes a second; 0 is as fast as it can be. */
	uoff_t max_rate;
};

static bool is_unseal(const struct seal_cmd_context *cmd)
{
	return strcmp(cmd->ctx.cmd->name, "seal unseal") == 0;
}

static int get_max_rate(const struct seal_cmd_context *cmd, uoff_t *rate_r,
			const char **error_r)
{
	const char *value = seal_cmd_str(cmd, "max-rate"), *error;

	*rate_r = 0;
	if (value == NULL)
		return 0;
	if (parse_size(value, rate_r, &error) == 0 && *rate_r > 0)
		return 0;
	*error_r = t_strdup_printf("--max-rate is '%s': it must be the bytes a "
				   "second, as 500k or 20M", value);
	return -1;
}

static void start_mail(struct seal_cmd_context *cmd)
{
	const char *error;
	uoff_t rate;

	doveadm_print_header_simple("result");
	if (is_unseal(cmd)) {
		seal_print_number_header("unsealed");
		seal_print_number_header("unsealed_bytes");
	} else {
		seal_print_number_header("sealed");
		seal_print_number_header("sealed_bytes");
	}
	seal_print_number_header("unchanged");
	seal_print_number_header("foreign");
	seal_print_number_header("damaged");
	seal_print_number_header("gone");
	seal_print_number_header("failed");
	if (!cmd->failed && get_max_rate(cmd, &rate, &error) < 0)
		seal_cmd_fail_start(cmd, EX_USAGE, error);
}

/* Progress */

static struct progress_state get_state(const struct rewriting *rewriting)
{
	const struct mail_seal_rewrite_counts *counts = &rewriting->counts;

	return (struct progress_state) {
		.messages = counts->done + counts->already + counts->other +
			counts->foreign + counts->damaged + counts->gone +
			counts->failed,
		.total_messages = rewriting->total,
		.bytes = counts->done_bytes,
	};
}

static void log_progress(struct rewriting *rewriting,
			 const struct progress_state *state)
{
	uint64_t now = i_microseconds();

	if (now - rewriting->logged_usecs < LOG_INTERVAL_USECS)
		return;
	rewriting->logged_usecs = now;
	e_info(rewriting->user->event, "%s: %s", rewriting->cmd->ctx.cmd->name,
	       progress_text(rewriting->progress, state));
}

/* Sleep until no more was written than the time allows. */
static void keep_rate(const struct rewriting *rewriting)
{
	uint64_t now, due;

	if (rewriting->max_rate == 0)
		return;
	due = rewriting->begun_usecs + (uint64_t)(
		(double)rewriting->counts.done_bytes * 1000000 /
		rewriting->max_rate);
	while (!doveadm_is_killed() && (now = i_microseconds()) < due)
		usleep(I_MIN(due - now, SLEEP_MAX_USECS));
}

/* Implements mail_seal_rewrite_progress_t. */
static bool
go_on(const struct mail_seal_rewrite_counts *counts ATTR_UNUSED, void *context)
{
	struct rewriting *rewriting = context;
	const struct progress_state state = get_state(rewriting);

	if (rewriting->on_terminal)
		progress_show(rewriting->progress, &state);
	else T_BEGIN {
		log_progress(rewriting, &state);
	} T_END;
	keep_rate(rewriting);
	return !doveadm_is_killed();
}

/* Mailboxes */

static int count_mailbox(struct mailbox *box, void *context)
{
	struct rewriting *rewriting = context;
	struct mailbox_status status;

	if (mailbox_get_status(box, STATUS_MESSAGES, &status) == 0)
		rewriting->total += status.messages;
	return 0;
}

static void
log_mailbox(struct rewriting *rewriting, struct mailbox *box,
	    const struct mail_seal_rewrite_counts *before)
{
	const struct mail_seal_rewrite_counts *counts = &rewriting->counts;

	if (rewriting->on_terminal || counts->done == before->done)
		return;
	e_info(rewriting->user->event, "%s: mailbox %s: %u messages %s, %s",
	       rewriting->cmd->ctx.cmd->name, mailbox_get_vname(box),
	       counts->done - before->done, rewriting->done_word,
	       progress_size_str(counts->done_bytes - before->done_bytes));
}

/* A mailbox that can't be rewritten isn't the end. */
static int rewrite_mailbox(struct mailbox *box, void *context)
{
	struct rewriting *rewriting = context;
	const struct mail_seal_rewrite_counts before = rewriting->counts;
	const char *error;

	if (mail_seal_rewrite_mailbox(box, rewriting->mode, &rewriting->counts,
				      go_on, rewriting, &error) < 0) {
		(void)seal_cmd_fail(rewriting->cmd, rewriting->user,
				    EX_TEMPFAIL, "mailbox %s: %s",
				    mailbox_get_vname(box), error);
	}
	log_mailbox(rewriting, box, &before);
	return doveadm_is_killed() ? -1 : 0;
}

static int look_at_mailbox(struct mailbox *box, void *context)
{
	struct rewriting *rewriting = context;
	struct mail_seal_rewrite_counts *counts = &rewriting->counts;
	struct mail_seal_scan scan;

	i_zero(&scan);
	if (seal_scan_mailbox(rewriting->cmd, rewriting->user, box,
		mail_seal_user_get_identities(rewriting->user), &scan) < 0)
		return 0;
	counts->damaged += scan.damaged;
	if (rewriting->mode == MAIL_SEAL_REWRITE_SEAL) {
		counts->done += scan.plain;
		counts->done_bytes += scan.plain_bytes;
		counts->already += scan.sealed;
	} else {
		counts->foreign += scan.foreign;
		counts->done += scan.sealed - scan.foreign;
		counts->done_bytes += scan.sealed_bytes;
		counts->already += scan.plain;
	}
	return doveadm_is_killed() ? -1 : 0;
}

static int rewrite_all(struct rewriting *rewriting)
{
	int ret;

	if (seal_visit_mailboxes(rewriting->cmd, rewriting->user,
				 MAILBOX_FLAG_READONLY, count_mailbox,
				 rewriting) < 0)
		return -1;
	rewriting->on_terminal = isatty(STDERR_FILENO) == 1 &&
		rewriting->cmd->ctx.cctx->conn_type ==
		DOVEADM_CONNECTION_TYPE_CLI;
	rewriting->begun_usecs = rewriting->logged_usecs = i_microseconds();
	rewriting->progress = progress_init();
	ret = seal_visit_mailboxes(rewriting->cmd, rewriting->user, 0,
				   rewrite_mailbox, rewriting);
	progress_deinit(&rewriting->progress);
	return ret;
}

/* Users */

static void
print_counts(const struct mail_seal_rewrite_counts *counts, const char *result)
{
	doveadm_print(result);
	doveadm_print_num(counts->done);
	doveadm_print_num(counts->done_bytes);
	doveadm_print_num(counts->already);
	doveadm_print_num(counts->foreign);
	doveadm_print_num(counts->damaged);
	doveadm_print_num(counts->gone);
	doveadm_print_num(counts->failed);
}

/* Say what was not done. Returns 0 if all was. */
static int end(struct rewriting *rewriting, int ret)
{
	struct seal_cmd_context *cmd = rewriting->cmd;
	const struct mail_seal_rewrite_counts *counts = &rewriting->counts;

	if (ret < 0 && doveadm_is_killed()) {
		return seal_cmd_fail(cmd, rewriting->user, EX_TEMPFAIL,
			"ended by a signal: run it again to go on");
	}
	if (counts->failed > 0) {
		return seal_cmd_fail(cmd, rewriting->user, EX_TEMPFAIL,
			"%u messages could not be rewritten: see above, and "
			"run it again", counts->failed);
	}
	if (counts->foreign + counts->damaged > 0) {
		return seal_cmd_fail(cmd, rewriting->user,
			DOVEADM_EX_NOTPOSSIBLE, "%u messages are left as they "
			"are: %u are damaged, %u open with none of the "
			"identities", counts->foreign + counts->damaged,
			counts->damaged, counts->foreign);
	}
	return ret < 0 || cmd->ctx.exit_code != 0 ? -1 : 0;
}

static int run(struct rewriting *rewriting)
{
	struct seal_cmd_context *cmd = rewriting->cmd;
	const char *error;
	int ret;

	if (get_max_rate(cmd, &rewriting->max_rate, &error) < 0)
		i_unreached();
	if (seal_cmd_flag(cmd, "dry-run")) {
		ret = seal_visit_mailboxes(cmd, rewriting->user,
					   MAILBOX_FLAG_READONLY,
					   look_at_mailbox, rewriting);
		print_counts(&rewriting->counts, "dry run");
	} else {
		ret = rewrite_all(rewriting);
		print_counts(&rewriting->counts, rewriting->done_word);
	}
	return end(rewriting, ret);
}

/* Returns 0, or -1 if there is nobody to seal to, which was said. */
static int check_recipient(struct seal_cmd_context *cmd, struct mail_user *user)
{
	const char *reason = seal_no_keyring_reason(user);
	struct keyring_store *store;
	struct keyring *keyring;
	int ret;

	if (reason != NULL) {
		/* The userdb may give the keys. */
		return mail_seal_user_is_sealed(user) ? 0 :
			seal_cmd_fail(cmd, user, DOVEADM_EX_NOTPOSSIBLE, "%s",
				      reason);
	}
	store = seal_store_init(cmd, user);
	if (store == NULL)
		return -1;
	ret = seal_load(cmd, user, store, &keyring);
	if (ret == 0)
		keyring_free(&keyring);
	keyring_store_deinit(&store);
	return ret;
}

static int run_mail(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct rewriting rewriting = {
		.cmd = cmd,
		.user = user,
		.mode = MAIL_SEAL_REWRITE_SEAL,
		.done_word = "sealed",
	};

	return check_recipient(cmd, user) < 0 ? -1 : run(&rewriting);
}

static int run_unseal(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct rewriting rewriting = {
		.cmd = cmd,
		.user = user,
		.mode = MAIL_SEAL_REWRITE_UNSEAL,
		.done_word = "unsealed",
	};
	int ret = seal_unlock_user(cmd, user);

	if (ret < 0)
		return -1;
	if (ret == 0) {
		return seal_cmd_fail(cmd, user, EX_USAGE, "no identity is at "
			"hand to open messages with: give a password by "
			"--password-fd, or a recovery code or an escrow "
			"identity by --identity-fd");
	}
	if (mail_seal_user_settings(user)->save &&
	    !seal_cmd_flag(cmd, "dry-run")) {
		e_warning(user->event, "%s: New mail goes on being sealed, "
			  "until mail_seal_save = no", cmd->ctx.cmd->name);
	}
	return run(&rewriting);
}

static struct doveadm_mail_cmd_context *alloc_mail(void)
{
	return seal_cmd_alloc(0, DOVEADM_PRINT_TYPE_PAGER, start_mail,
			      run_mail);
}

static struct doveadm_mail_cmd_context *alloc_unseal(void)
{
	return seal_cmd_alloc(SEAL_SECRET_OPENING, DOVEADM_PRINT_TYPE_PAGER,
			      start_mail, run_unseal);
}

#define REWRITE_USAGE "[--max-rate <bytes>] [--dry-run] [<mailbox mask> […]]"
#define REWRITE_PARAMS \
DOVEADM_CMD_PARAM('\0', "max-rate", CMD_PARAM_STR, 0) \
DOVEADM_CMD_PARAM('\0', "dry-run", CMD_PARAM_BOOL, 0) \
SEAL_MASK_PARAM

struct doveadm_cmd_ver2 seal_cmd_mail = {
	.name = "seal mail",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_mail,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX REWRITE_USAGE,
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
REWRITE_PARAMS
DOVEADM_CMD_PARAMS_END
};

struct doveadm_cmd_ver2 seal_cmd_unseal = {
	.name = "seal unseal",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_unseal,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX SEAL_OPENING_USAGE REWRITE_USAGE,
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
REWRITE_PARAMS
DOVEADM_CMD_PARAMS_END
};
