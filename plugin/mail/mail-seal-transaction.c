/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-seal-private.h"

/* What is saved and copied in a transaction counts only when it's committed: the
   keyring must then still be the one that it was sealed by. */

struct mail_seal_transaction {
	union mailbox_transaction_module_context module_ctx;
	/* Whose recipients they were, and which. */
	struct mail_user *owner;
	unsigned int recipients_serial;
};

static MODULE_CONTEXT_DEFINE_INIT(mail_seal_transaction_module,
				  &mail_storage_module_register);
#define TRANSACTION_CONTEXT(obj) \
	MODULE_CONTEXT(obj, mail_seal_transaction_module)

void mail_seal_transaction_add(struct mailbox_transaction_context *t,
			       struct mail_user *owner)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(owner);
	struct mail_seal_transaction *st = TRANSACTION_CONTEXT(t);

	/* What the first message was sealed by is good for all. */
	if (st != NULL)
		return;
	st = i_new(struct mail_seal_transaction, 1);
	MODULE_CONTEXT_SET(t, mail_seal_transaction_module, st);
	st->owner = owner;
	st->recipients_serial = suser->recipients_serial;
}

/* Returns 0, or -1 and error_r if what was sealed mustn't be stored. */
static int
check_recipients(const struct mail_seal_transaction *st, const char **error_r)
{
	struct mail_seal_user *suser;

	suser = MAIL_SEAL_USER_CONTEXT(st->owner);
	if (mail_seal_refresh(st->owner, FALSE, error_r) < 0)
		return -1;
	if (suser->recipients_serial == st->recipients_serial)
		return 0;
	*error_r = "another process has changed the keyring while it was "
		"being saved, it would be sealed to the wrong recipient";
	return -1;
}

static int
fail_commit(struct mailbox_transaction_context *t, const char *error)
{
	struct mailbox *box = t->box;
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);

	e_warning(box->event, "mail_seal: Message is refused: %s", error);
	sbox->module_ctx.super.transaction_rollback(t);
	/* After the rollback, which may set another one. */
	mail_storage_set_error(box->storage, MAIL_ERROR_TEMP,
		"The keys of the mailbox were changed at this moment. Please "
		"try again.");
	return -1;
}

int mail_seal_transaction_commit(struct mailbox_transaction_context *t,
				 struct mail_transaction_commit_changes *changes_r)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(t->box);
	struct mail_seal_transaction *st = TRANSACTION_CONTEXT(t);
	const char *error;
	int ret;

	ret = st == NULL ? 0 : check_recipients(st, &error);
	i_free(st);
	if (ret < 0)
		return fail_commit(t, error);
	return sbox->module_ctx.super.transaction_commit(t, changes_r);
}

void mail_seal_transaction_rollback(struct mailbox_transaction_context *t)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(t->box);
	struct mail_seal_transaction *st = TRANSACTION_CONTEXT(t);

	i_free(st);
	sbox->module_ctx.super.transaction_rollback(t);
}
