/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "index/sort.h"
#include "index/thread.h"
#include "mail/mail-seal-mail.h"
#include "mail/mail-seal-user.h"
#include "traces.h"

/* A mailbox whose indexes are to keep no ranks and no threads. */

struct traces_box {
	union mailbox_module_context module_ctx;
	/* What seal_sort_clear_begin() returned, while it's synchronised. */
	uint32_t clearing;
};

#define TRACES_BOX_CONTEXT(obj) MODULE_CONTEXT(obj, traces_box_module)
static MODULE_CONTEXT_DEFINE_INIT(traces_box_module,
				  &mail_storage_module_register);

static int traces_open(struct mailbox *box)
{
	struct traces_box *tbox = TRACES_BOX_CONTEXT(box);

	seal_thread_keep_in_memory(box);
	if (tbox->module_ctx.super.open(box) < 0)
		return -1;
	seal_thread_remove_file(box);
	return 0;
}

static struct mailbox_sync_context *
traces_sync_init(struct mailbox *box, enum mailbox_sync_flags flags)
{
	struct traces_box *tbox = TRACES_BOX_CONTEXT(box);

	tbox->clearing = 0;
	/* Core opens it here if nobody has, and says so if that fails. */
	if (mailbox_open(box) == 0)
		tbox->clearing = seal_sort_clear_begin(box);
	return tbox->module_ctx.super.sync_init(box, flags);
}

static int traces_sync_deinit(struct mailbox_sync_context *ctx,
			      struct mailbox_sync_status *status_r)
{
	struct mailbox *box = ctx->box;
	struct traces_box *tbox = TRACES_BOX_CONTEXT(box);
	int ret;

	ret = tbox->module_ctx.super.sync_deinit(ctx, status_r);
	seal_sort_clear_end(box, tbox->clearing);
	return ret;
}

static int traces_commit(struct mailbox_transaction_context *t,
			 struct mail_transaction_commit_changes *changes_r)
{
	struct traces_box *tbox = TRACES_BOX_CONTEXT(t->box);

	seal_sort_remember(t);
	seal_sort_forget(t);
	seal_sort_drop_ranks(t->itrans);
	return tbox->module_ctx.super.transaction_commit(t, changes_r);
}

static void traces_rollback(struct mailbox_transaction_context *t)
{
	struct traces_box *tbox = TRACES_BOX_CONTEXT(t->box);

	seal_sort_forget(t);
	tbox->module_ctx.super.transaction_rollback(t);
}

static struct mail_search_context *
traces_search_init(struct mailbox_transaction_context *t,
		   struct mail_search_args *args,
		   const enum mail_sort_type *program,
		   enum mail_fetch_field fields,
		   struct mailbox_header_lookup_ctx *headers)
{
	struct traces_box *tbox = TRACES_BOX_CONTEXT(t->box);

	seal_sort_recall(t, program);
	return tbox->module_ctx.super.search_init(t, args, program, fields,
						  headers);
}

/* A virtual mailbox has indexes of its own, of messages that lie elsewhere. */
static bool holds_sealed_mail(struct mailbox *box)
{
	if (strcmp(box->storage->name, "virtual") == 0)
		return mail_seal_user_is_sealed(box->storage->user);
	return mail_seal_mailbox_is_sealable(box) &&
		mail_seal_mailbox_owner(box) != NULL;
}

void traces_mailbox_allocated(struct mailbox *box)
{
	struct mailbox_vfuncs *v = box->vlast;
	struct traces_box *tbox;

	if (!holds_sealed_mail(box))
		return;
	tbox = p_new(box->pool, struct traces_box, 1);
	tbox->module_ctx.super = *v;
	box->vlast = &tbox->module_ctx.super;
	v->open = traces_open;
	v->sync_init = traces_sync_init;
	v->sync_deinit = traces_sync_deinit;
	v->transaction_commit = traces_commit;
	v->transaction_rollback = traces_rollback;
	v->search_init = traces_search_init;
	MODULE_CONTEXT_SET(box, traces_box_module, tbox);
}
