/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "dbox-save.h"
#include "mail/message-event.h"
#include "mail-seal-private.h"
#include "plain-state.h"

/* What is saved and copied in a transaction counts only when it's committed: the
   keyring must then still be the one that it was sealed by. */

#define TEXT_KEYS_CHANGED "The keys of the mailbox were changed at this " \
	"moment. Please try again."
#define TEXT_LAST_FAILED "The last message could not be saved, so none was."

struct mail_seal_transaction {
	union mailbox_transaction_module_context module_ctx;
	/* Whose recipients they were, and which; NULL if nothing was sealed. */
	struct mail_user *owner;
	unsigned int recipients_serial;
	/* Whose messages were stored plain, or NULL. */
	struct mail_user *plain_owner;
};

static MODULE_CONTEXT_DEFINE_INIT(mail_seal_transaction_module,
				  &mail_storage_module_register);
#define TRANSACTION_CONTEXT(obj) \
	MODULE_CONTEXT(obj, mail_seal_transaction_module)

static struct mail_seal_transaction *
get_context(struct mailbox_transaction_context *t)
{
	struct mail_seal_transaction *st = TRANSACTION_CONTEXT(t);

	if (st == NULL) {
		st = i_new(struct mail_seal_transaction, 1);
		MODULE_CONTEXT_SET(t, mail_seal_transaction_module, st);
	}
	return st;
}

void mail_seal_transaction_add_plain(struct mailbox_transaction_context *t,
				     struct mail_user *owner)
{
	get_context(t)->plain_owner = owner;
}

void mail_seal_transaction_add(struct mailbox_transaction_context *t,
			       struct mail_user *owner)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(owner);
	struct mail_seal_transaction *st = get_context(t);

	/* What the first message was sealed by is good for all. */
	if (st->owner != NULL)
		return;
	st->owner = owner;
	st->recipients_serial = suser->recipients_serial;
}

/* Returns 0, or -1 and error_r if what was sealed mustn't be stored. */
static int
check_recipients(const struct mail_seal_transaction *st, const char **error_r)
{
	struct mail_seal_user *suser;

	if (st->owner == NULL)
		return 0;
	suser = MAIL_SEAL_USER_CONTEXT(st->owner);
	if (mail_seal_refresh(st->owner, FALSE, error_r) < 0)
		return -1;
	if (suser->recipients_serial == st->recipients_serial)
		return 0;
	*error_r = "another process has changed the keyring while it was "
		"being saved, it would be sealed to the wrong recipient";
	return -1;
}

/* If the last message of a transaction could not be saved, a damaged one say,
   sdbox removes the files of all others when it's committed, and reports
   success: doveadm move would go on and expunge them at the source. */
static bool would_lose_files(struct mailbox_transaction_context *t)
{
	const struct dbox_save_context *save_ctx;

	if (t->save_ctx == NULL || t->save_count == 0 ||
	    strcmp(t->box->storage->name, "sdbox") != 0)
		return FALSE;
	save_ctx = DBOX_SAVECTX(t->save_ctx);
	return save_ctx->failed;
}

static int
fail_commit(struct mailbox_transaction_context *t, const char *client_text,
	    const char *error)
{
	struct mailbox *box = t->box;
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);

	e_warning(mail_seal_message_refused_event(box, "keys"),
		  "mail_seal: Message is refused: %s", error);
	sbox->module_ctx.super.transaction_rollback(t);
	/* After the rollback, which may set another one. */
	mail_storage_set_error(box->storage, MAIL_ERROR_TEMP, client_text);
	return -1;
}

/* Said before and after, a session that looks through the store can't miss it,
   whether it comes in between or this process is killed there. */
static int
commit_and_tell(struct mailbox_transaction_context *t,
		struct mail_user *plain_owner,
		struct mail_transaction_commit_changes *changes_r)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(t->box);
	int ret;

	if (plain_owner == NULL)
		return sbox->module_ctx.super.transaction_commit(t, changes_r);
	T_BEGIN {
		plain_state_change(plain_owner);
	} T_END;
	ret = sbox->module_ctx.super.transaction_commit(t, changes_r);
	T_BEGIN {
		plain_state_change(plain_owner);
	} T_END;
	return ret;
}

int mail_seal_transaction_commit(struct mailbox_transaction_context *t,
				 struct mail_transaction_commit_changes *changes_r)
{
	struct mail_seal_transaction *st = TRANSACTION_CONTEXT(t);
	struct mail_user *plain_owner = st == NULL ? NULL : st->plain_owner;
	const char *error;
	int ret;

	ret = st == NULL ? 0 : check_recipients(st, &error);
	i_free(st);
	if (ret < 0)
		return fail_commit(t, TEXT_KEYS_CHANGED, error);
	if (would_lose_files(t)) {
		return fail_commit(t, TEXT_LAST_FAILED, "the last one of "
			"several could not be saved, and sdbox would not keep "
			"the others");
	}
	return commit_and_tell(t, plain_owner, changes_r);
}

void mail_seal_transaction_rollback(struct mailbox_transaction_context *t)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(t->box);
	struct mail_seal_transaction *st = TRANSACTION_CONTEXT(t);

	i_free(st);
	sbox->module_ctx.super.transaction_rollback(t);
}
