/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail-user.h"
#include "mail-namespace.h"
#include "mail-storage-private.h"
#include "mailbox-list-iter.h"
#include "mail/mail-seal-user.h"
#include "doveadm-seal.h"

/* Going through all mailboxes whose messages are a user's own. */

/* The messages of virtual mailboxes lie in others. */
static bool has_own_messages(struct mailbox *box)
{
	return strcmp(mailbox_get_storage(box)->name, "virtual") != 0;
}

static int
visit(const struct mailbox_info *info, enum mailbox_flags flags,
      seal_mailbox_callback_t *callback, void *context)
{
	struct mailbox *box;
	int ret;

	if ((info->flags & (MAILBOX_NOSELECT | MAILBOX_NONEXISTENT)) != 0)
		return 0;
	box = mailbox_alloc(info->ns->list, info->vname,
			    flags | MAILBOX_FLAG_IGNORE_ACLS);
	ret = has_own_messages(box) ? callback(box, context) : 0;
	mailbox_free(&box);
	return ret;
}

int seal_visit_mailboxes(struct seal_cmd_context *cmd, struct mail_user *user,
			 enum mailbox_flags flags,
			 seal_mailbox_callback_t *callback, void *context)
{
	static const char *const all[] = { "*", NULL };
	const char *const *patterns = seal_cmd_array(cmd, "mailbox-mask");
	struct mailbox_list_iterate_context *iter;
	const struct mailbox_info *info;
	bool found = FALSE;
	int ret = 0;

	if (patterns == NULL)
		patterns = all;
	iter = mail_seal_user_list_mailboxes(user, patterns);
	while (ret == 0 && (info = mailbox_list_iter_next(iter)) != NULL)
		T_BEGIN {
			found = TRUE;
			ret = visit(info, flags, callback, context);
		} T_END;
	if (mailbox_list_iter_deinit(&iter) < 0) {
		return seal_cmd_fail(cmd, user, EX_TEMPFAIL,
			"can't list the mailboxes: %s",
			mailbox_list_get_last_internal_error(
				user->namespaces->list, NULL));
	}
	if (!found && patterns != all) {
		return seal_cmd_fail(cmd, user, DOVEADM_EX_NOTFOUND,
			"there is no mailbox that matches %s",
			t_strarray_join(patterns, " "));
	}
	return ret;
}

/* What there is to lose. */

struct counting {
	struct seal_cmd_context *cmd;
	struct mail_user *user;
	const struct age_identities *identities;
	struct mail_seal_scan *scan;
};

int seal_scan_mailbox(struct seal_cmd_context *cmd, struct mail_user *user,
		      struct mailbox *box,
		      const struct age_identities *identities,
		      struct mail_seal_scan *scan)
{
	const char *error;

	if (mail_seal_scan_mailbox(box, identities, scan, &error) == 0)
		return 0;
	return seal_cmd_fail(cmd, user, EX_TEMPFAIL, "mailbox %s: %s",
			     mailbox_get_vname(box), error);
}

static int count_mailbox(struct mailbox *box, void *context)
{
	struct counting *counting = context;

	return seal_scan_mailbox(counting->cmd, counting->user, box,
				 counting->identities, counting->scan);
}

int seal_scan_all(struct seal_cmd_context *cmd, struct mail_user *user,
		  const struct age_identities *identities,
		  struct mail_seal_scan *scan_r)
{
	struct counting counting = {
		.cmd = cmd,
		.user = user,
		.identities = identities,
		.scan = scan_r,
	};

	return seal_visit_mailboxes(cmd, user, MAILBOX_FLAG_READONLY,
				    count_mailbox, &counting);
}
