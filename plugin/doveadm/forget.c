/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "ioloop.h"
#include "str.h"
#include "mail-user.h"
#include "mail-storage.h"
#include "iso8601-date.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

#include <unistd.h>

/* doveadm seal slot remove --forget-old: give up the earlier identities, once no
   message needs them. */

/* A delivery that began before the rotation may still seal to the identity that
   was current then. */
#define ROTATION_SETTLED_SECS 10

struct forget {
	struct seal_change change;
	/* The open identities with which all mailboxes were looked through. */
	struct age_identities *identities;
	/* Messages that need an earlier one, and those that may, by mailbox. */
	string_t *needed, *unknown;
};

/* How long to wait for deliveries of before the last rotation. Another host's
   clock may be ahead of ours. */
static unsigned int settle_secs(const struct keyring *keyring)
{
	const struct keyring_earlier *earlier;
	unsigned int count;
	time_t until, now = time(NULL);
	int tz;

	earlier = keyring_earlier(keyring, &count);
	if (count == 0 ||
	    !iso8601_date_parse((const unsigned char *)earlier[0].until,
				strlen(earlier[0].until), &until, &tz) ||
	    now - until >= ROTATION_SETTLED_SECS)
		return 0;
	return I_MIN(until + ROTATION_SETTLED_SECS - now,
		     2 * ROTATION_SETTLED_SECS);
}

/* Returns 0, or -1 if doveadm was told to end, which is said. */
static int
wait_until_settled(struct seal_change *change, const struct keyring *keyring)
{
	unsigned int left = settle_secs(keyring);

	while (left > 0 && !doveadm_is_killed())
		left = sleep(left);
	if (!doveadm_is_killed())
		return 0;
	return seal_cmd_fail(change->cmd, change->user, EX_TEMPFAIL,
			     "ended by a signal, nothing was changed");
}

static unsigned int count_needed(const struct mail_seal_scan *scan)
{
	const uint32_t *needed;
	unsigned int count, i, sum = 0;

	needed = array_get(&scan->earlier, &count);
	for (i = 1; i < count; i++)
		sum += needed[i];
	return sum;
}

static void add_count(string_t *str, struct mailbox *box, unsigned int count)
{
	if (count > 0) {
		str_printfa(str, "%s%s: %u", str_len(str) == 0 ? "" : ", ",
			    mailbox_get_vname(box), count);
	}
}

static int look_through(struct mailbox *box, void *context)
{
	struct forget *forget = context;
	struct mail_seal_scan scan;

	i_zero(&scan);
	t_array_init(&scan.earlier, 8);
	if (seal_scan_mailbox(forget->change.cmd, forget->change.user, box,
			      forget->identities, &scan) < 0)
		return -1;
	add_count(forget->needed, box, count_needed(&scan));
	add_count(forget->unknown, box, scan.damaged);
	return 0;
}

/* The same identities as when the mailboxes were looked through, or mail may
   need one that was current meanwhile. */
static int apply_forget(struct seal_change *change, const char **error_r)
{
	struct forget *forget = container_of(change, struct forget, change);
	int ret;

	if (!keyring_fits(change->keyring, forget->identities)) {
		*error_r = "the keyring was changed meanwhile: try again";
		change->exit_code = EX_TEMPFAIL;
		return -1;
	}
	ret = keyring_edit_forget(change->edit, NULL, error_r);
	change->result = t_strdup_printf("%u earlier identities forgotten",
		age_identities_count(forget->identities) - 1);
	return ret <= 0 ? ret : seal_renew_password(change, error_r);
}

static int forget_unneeded(struct forget *forget)
{
	struct seal_change *change = &forget->change;

	if (seal_visit_mailboxes(change->cmd, change->user,
				 MAILBOX_FLAG_READONLY, look_through,
				 forget) < 0)
		return -1;
	if (str_len(forget->needed) > 0) {
		return seal_cmd_fail(change->cmd, change->user,
			DOVEADM_EX_NOTPOSSIBLE, "messages still need the "
			"earlier identities, nothing was changed (%s): run "
			"doveadm seal reseal first", str_c(forget->needed));
	}
	if (str_len(forget->unknown) > 0 &&
	    !seal_cmd_flag(change->cmd, "force")) {
		return seal_cmd_fail(change->cmd, change->user,
			DOVEADM_EX_NOTPOSSIBLE, "messages that can't be read "
			"or are damaged may need the earlier identities, "
			"nothing was changed (%s): see above, and say --force "
			"to give them up", str_c(forget->unknown));
	}
	return seal_change_run_and_print(change);
}

/* The identities that open the keyring as it is stored now. Returns 1; 0 if
   there is no earlier one; -1, which was said. */
static int open_stored(struct forget *forget)
{
	struct keyring_opened opened;
	struct keyring *keyring;
	int ret;

	if (seal_open_stored(&forget->change, &keyring, &opened) < 0)
		return -1;
	forget->identities = opened.identities;
	ret = wait_until_settled(&forget->change, keyring);
	keyring_free(&keyring);
	if (ret < 0)
		return -1;
	return age_identities_count(forget->identities) > 1 ? 1 : 0;
}

int seal_forget_old(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct forget forget = {
		.change = {
			.cmd = cmd,
			.user = user,
			.action = "forget",
			.slot_kind = "identity",
			.apply = apply_forget,
		},
		.needed = t_str_new(128),
		.unknown = t_str_new(128),
	};
	int ret;

	ret = open_stored(&forget);
	if (ret > 0)
		ret = forget_unneeded(&forget);
	else if (ret == 0)
		doveadm_print("nothing to change");
	if (forget.identities != NULL)
		age_identities_deinit(&forget.identities);
	return ret;
}
