/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail/mail-seal-user.h"
#include "mail-seal-private.h"

struct mail_seal_storage_module mail_seal_storage_module =
	MODULE_CONTEXT_INIT(&mail_storage_module_register);

static int mail_seal_mailbox_open(struct mailbox *box)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);
	struct mail_seal_user *suser =
		MAIL_SEAL_USER_CONTEXT(box->storage->user);

	if (suser != NULL && suser->refuse_open &&
	    suser->locked_text != NULL &&
	    (box->flags & MAILBOX_FLAG_SAVEONLY) == 0) {
		mail_seal_user_tell_refused(box->storage->user, "open");
		mail_storage_set_error(box->storage, MAIL_ERROR_UNAVAILABLE,
				       suser->locked_text);
		return -1;
	}
	return sbox->module_ctx.super.open(box);
}

static void mail_seal_mailbox_free(struct mailbox *box)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);

	if (array_is_created(&sbox->reported_uids))
		array_free(&sbox->reported_uids);
	mail_seal_last_forget(sbox);
	sbox->module_ctx.super.free(box);
}

void mail_seal_mailbox_allocated(struct mailbox *box)
{
	struct mailbox_vfuncs *v = box->vlast;
	struct mail_seal_mailbox *sbox;

	sbox = p_new(box->pool, struct mail_seal_mailbox, 1);
	sbox->module_ctx.super = *v;
	box->vlast = &sbox->module_ctx.super;
	v->open = mail_seal_mailbox_open;
	v->free = mail_seal_mailbox_free;
	MODULE_CONTEXT_SET(box, mail_seal_storage_module, sbox);

	if (mail_seal_mailbox_is_sealable(box)) {
		v->save_begin = mail_seal_save_begin;
		v->save_finish = mail_seal_save_finish;
		v->copy = mail_seal_copy;
		v->transaction_commit = mail_seal_transaction_commit;
		v->transaction_rollback = mail_seal_transaction_rollback;
	}
}
