/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "index/sort.h"
#include "index/thread.h"
#include "mail-seal-private.h"

struct mail_seal_storage_module mail_seal_storage_module =
	MODULE_CONTEXT_INIT(&mail_storage_module_register);

static bool is_virtual(struct mailbox *box)
{
	return strcmp(box->storage->name, "virtual") == 0;
}

/* What core stores of this mailbox beside its messages may tell of sealed ones:
   a virtual mailbox has indexes of its own, of messages that lie elsewhere. */
static bool holds_sealed_mail(struct mailbox *box)
{
	if (is_virtual(box))
		return MAIL_SEAL_USER_CONTEXT(box->storage->user) != NULL;
	return mail_seal_mailbox_is_sealable(box) &&
		mail_seal_mailbox_owner(box) != NULL;
}

static int mail_seal_mailbox_open(struct mailbox *box)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);
	struct mail_seal_user *suser =
		MAIL_SEAL_USER_CONTEXT(box->storage->user);

	if (suser != NULL && suser->refuse_open &&
	    suser->locked_text != NULL &&
	    (box->flags & MAILBOX_FLAG_SAVEONLY) == 0) {
		mail_storage_set_error(box->storage, MAIL_ERROR_UNAVAILABLE,
				       suser->locked_text);
		return -1;
	}
	if (!holds_sealed_mail(box))
		return sbox->module_ctx.super.open(box);
	seal_thread_keep_in_memory(box);
	if (sbox->module_ctx.super.open(box) < 0)
		return -1;
	seal_thread_remove_file(box);
	return 0;
}

static struct mailbox_sync_context *
mail_seal_sync_init(struct mailbox *box, enum mailbox_sync_flags flags)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);

	sbox->clearing_ranks = 0;
	/* Core opens it here if nobody has, and says so if that fails. */
	if (holds_sealed_mail(box) && mailbox_open(box) == 0)
		sbox->clearing_ranks = seal_sort_clear_begin(box);
	return sbox->module_ctx.super.sync_init(box, flags);
}

static int mail_seal_sync_deinit(struct mailbox_sync_context *ctx,
				 struct mailbox_sync_status *status_r)
{
	struct mailbox *box = ctx->box;
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);
	int ret;

	ret = sbox->module_ctx.super.sync_deinit(ctx, status_r);
	seal_sort_clear_end(box, sbox->clearing_ranks);
	return ret;
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

	if (is_virtual(box) || mail_seal_mailbox_is_sealable(box)) {
		v->sync_init = mail_seal_sync_init;
		v->sync_deinit = mail_seal_sync_deinit;
		v->transaction_commit = mail_seal_transaction_commit;
		v->transaction_rollback = mail_seal_transaction_rollback;
	}
	if (mail_seal_mailbox_is_sealable(box)) {
		v->save_begin = mail_seal_save_begin;
		v->save_finish = mail_seal_save_finish;
		v->copy = mail_seal_copy;
	}
}
