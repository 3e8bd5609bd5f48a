/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "iso8601-date.h"
#include "seq-range-array.h"
#include "str.h"
#include "imap-util.h"
#include "mail-user.h"
#include "mail-storage.h"
#include "mail/verify.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

#include <time.h>

/* doveadm seal verify: is every message sealed, to whom, and is it whole? */

static const char *const state_names[MAIL_SEAL_VERIFY_STATE_COUNT] = {
	"sealed", "plain", "foreign", "damaged"
};

/* Messages of one mailbox and state; sealed ones of one identity. Each is a
   row. */
struct group {
	enum mail_seal_verify_state state;
	unsigned int identity;
	unsigned int messages;
	uint64_t bytes;
	time_t oldest, newest;
	ARRAY_TYPE(seq_range) uids;
};

struct verify {
	struct seal_cmd_context *cmd;
	struct mail_user *user;
	/* NULL: the structure alone is checked. */
	const struct age_identities *identities;
	/* Of all mailboxes, by state. */
	unsigned int total[MAIL_SEAL_VERIFY_STATE_COUNT];

	/* The mailbox at hand. */
	struct mailbox *box;
	ARRAY(struct group) groups;
};

static void start_verify(struct seal_cmd_context *cmd ATTR_UNUSED)
{
	doveadm_print_header_simple("mailbox");
	doveadm_print_header_simple("state");
	seal_print_number_header("messages");
	seal_print_number_header("bytes");
	doveadm_print_header_simple("recipient");
	doveadm_print_header_simple("oldest");
	doveadm_print_header_simple("newest");
	doveadm_print_header_simple("uids");
	doveadm_print_header_simple("checked");
	doveadm_print_header_simple("time");
}

static struct group *
get_group(struct verify *verify, enum mail_seal_verify_state state,
	  unsigned int identity)
{
	struct group *group;

	array_foreach_modifiable(&verify->groups, group) {
		if (group->state == state && group->identity == identity)
			return group;
	}
	group = array_append_space(&verify->groups);
	group->state = state;
	group->identity = identity;
	group->oldest = group->newest = (time_t)-1;
	i_array_init(&group->uids, 8);
	return group;
}

static void add_date(struct group *group, time_t date)
{
	if (date == (time_t)-1)
		return;
	if (group->oldest == (time_t)-1 || date < group->oldest)
		group->oldest = date;
	if (group->newest == (time_t)-1 || date > group->newest)
		group->newest = date;
}

/* Implements mail_seal_verify_callback_t. */
static bool
add_message(const struct mail_seal_verify_result *result, void *context)
{
	struct verify *verify = context;
	struct group *group;

	group = get_group(verify, result->state,
			  result->state == MAIL_SEAL_VERIFY_SEALED ?
			  result->identity : 0);
	group->messages++;
	group->bytes += result->size;
	add_date(group, result->received);
	seq_range_array_add(&group->uids, result->uid);
	verify->total[result->state]++;
	if (result->state == MAIL_SEAL_VERIFY_DAMAGED) {
		e_error(verify->user->event, "%s: mailbox %s: UID %u: %s",
			verify->cmd->ctx.cmd->name,
			mailbox_get_vname(verify->box), result->uid,
			result->error);
	}
	return !doveadm_is_killed();
}

static const char *date_str(time_t date)
{
	return date == (time_t)-1 ? "" : iso8601_date_create(date);
}

static const char *
recipient_str(const struct verify *verify, const struct group *group)
{
	struct age_x25519_recipient recipient;

	if (verify->identities == NULL ||
	    group->state != MAIL_SEAL_VERIFY_SEALED)
		return "";
	age_x25519_identity_recipient(
		age_identities_get(verify->identities, group->identity),
		&recipient);
	return age_x25519_recipient_str(&recipient);
}

static void print_group(const struct verify *verify, const struct group *group)
{
	string_t *uids = t_str_new(128);

	imap_write_seq_range(uids, &group->uids);
	doveadm_print(mailbox_get_vname(verify->box));
	doveadm_print(state_names[group->state]);
	doveadm_print_num(group->messages);
	doveadm_print_num(group->bytes);
	doveadm_print(recipient_str(verify, group));
	doveadm_print(date_str(group->oldest));
	doveadm_print(date_str(group->newest));
	doveadm_print(str_c(uids));
	doveadm_print(verify->identities != NULL ? "content" : "structure");
	doveadm_print(date_str(time(NULL)));
}

/* An empty mailbox has a row, too. */
static void print_groups(struct verify *verify)
{
	struct group *group;

	if (array_count(&verify->groups) == 0)
		(void)get_group(verify, MAIL_SEAL_VERIFY_SEALED, 0);
	array_foreach_modifiable(&verify->groups, group) {
		T_BEGIN {
			print_group(verify, group);
		} T_END;
		array_free(&group->uids);
	}
	array_clear(&verify->groups);
}

/* A mailbox that can't be looked at isn't the end. */
static int verify_mailbox(struct mailbox *box, void *context)
{
	struct verify *verify = context;
	const char *error;

	verify->box = box;
	if (mail_seal_verify_mailbox(box, verify->identities,
				     MAIL_SEAL_VERIFY_WHOLE, add_message,
				     verify, &error) < 0) {
		(void)seal_cmd_fail(verify->cmd, verify->user, EX_TEMPFAIL,
				    "mailbox %s: %s", mailbox_get_vname(box),
				    error);
		return 0;
	}
	print_groups(verify);
	return doveadm_is_killed() ? -1 : 0;
}

/* Say what isn't as it should be. */
static int end(struct verify *verify, int ret)
{
	struct seal_cmd_context *cmd = verify->cmd;
	const unsigned int *total = verify->total;
	unsigned int wrong = total[MAIL_SEAL_VERIFY_FOREIGN] +
		total[MAIL_SEAL_VERIFY_DAMAGED];

	if (ret < 0 && doveadm_is_killed()) {
		return seal_cmd_fail(cmd, verify->user, EX_TEMPFAIL,
				     "ended by a signal");
	}
	if (!seal_cmd_flag(cmd, "allow-plain"))
		wrong += total[MAIL_SEAL_VERIFY_PLAIN];
	if (wrong > 0) {
		return seal_cmd_fail(cmd, verify->user, DOVEADM_EX_NOTPOSSIBLE,
			"%u messages are damaged, %u open with none of the "
			"identities, %u are plain",
			total[MAIL_SEAL_VERIFY_DAMAGED],
			total[MAIL_SEAL_VERIFY_FOREIGN],
			total[MAIL_SEAL_VERIFY_PLAIN]);
	}
	return ret < 0 || cmd->ctx.exit_code != 0 ? -1 : 0;
}

static int run_verify(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct verify verify = { .cmd = cmd, .user = user };
	int ret;

	if (seal_unlock_user(cmd, user) < 0)
		return -1;
	verify.identities = mail_seal_user_get_identities(user);
	i_array_init(&verify.groups, 4);
	ret = seal_visit_mailboxes(cmd, user, MAILBOX_FLAG_READONLY,
				   verify_mailbox, &verify);
	array_free(&verify.groups);
	return end(&verify, ret);
}

static struct doveadm_mail_cmd_context *alloc_verify(void)
{
	return seal_cmd_alloc(SEAL_SECRET_PASSWORD | SEAL_SECRET_IDENTITY,
			      DOVEADM_PRINT_TYPE_FLOW, start_verify,
			      run_verify);
}

struct doveadm_cmd_ver2 seal_cmd_verify = {
	.name = "seal verify",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_verify,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX SEAL_OPENING_USAGE
		"[--json] [--allow-plain] [<mailbox mask> […]]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
SEAL_SECRET_PARAMS
DOVEADM_CMD_PARAM('\0', "json", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAM('\0', "allow-plain", CMD_PARAM_BOOL, 0)
SEAL_MASK_PARAM
DOVEADM_CMD_PARAMS_END
};
