/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "istream.h"
#include "rewrite-mdbox-private.h"

/* A mailbox of mdbox: find the files that hold messages that are wanted, and
   rewrite these. Purging may move messages meanwhile, so look again. */

#define ROUNDS_MAX 5

static int
lookup_mail(struct mdbox_rewrite *rewrite, struct mail *mail,
	    uint32_t *map_uid_r, uint32_t *file_id_r)
{
	uoff_t offset;

	if (mdbox_mail_lookup(MDBOX_MAILBOX(mail->box), mail->transaction->view,
			      mail->seq, map_uid_r) < 0)
		return -1;
	return mdbox_map_lookup(rewrite->storage->map, *map_uid_r, file_id_r,
				&offset);
}

static void
collect_file(struct rewrite_context *ctx ATTR_UNUSED, struct mail *mail,
	     void *context)
{
	struct mdbox_rewrite *rewrite = context;
	uint32_t map_uid, file_id;

	if (lookup_mail(rewrite, mail, &map_uid, &file_id) > 0 &&
	    !seq_range_exists(&rewrite->damaged_map_uids, map_uid) &&
	    !seq_range_exists(&rewrite->failed_file_ids, file_id))
		seq_range_array_add(&rewrite->file_ids, file_id);
}

/* A step ends behind them, not between. */
static bool go_on(const struct rewrite_context *ctx)
{
	return (ctx->step || !ctx->stopped) && ctx->fatal == NULL;
}

static void rewrite_file_ids(struct mdbox_rewrite *rewrite)
{
	struct rewrite_context *ctx = rewrite->ctx;
	struct seq_range_iter iter;
	unsigned int i = 0;
	uint32_t file_id;

	seq_range_array_iter_init(&iter, &rewrite->file_ids);
	while (go_on(ctx) &&
	       seq_range_array_iter_nth(&iter, i++, &file_id)) T_BEGIN {
		if (rewrite_mdbox_file(rewrite, file_id) < 0) {
			e_error(ctx->box->event, "mail_seal: m.%u is left as "
				"it is: %s", file_id, rewrite->error);
			seq_range_array_add(&rewrite->failed_file_ids,
					    file_id);
			/* Nobody looks what is left. */
			if (ctx->step)
				ctx->counts->failed++;
		}
		if (ctx->progress != NULL &&
		    !ctx->progress(ctx->counts, ctx->progress_context))
			ctx->stopped = TRUE;
	} T_END;
}

/* What is wanted still, after all: say why. */
static void
count_left(struct rewrite_context *ctx, struct mail *mail, void *context)
{
	struct mdbox_rewrite *rewrite = context;
	enum rewrite_result result = REWRITE_FAILED;
	const char *error = "its file could not be rewritten";
	uint32_t map_uid, file_id;
	struct rewrite_form form;
	struct istream *input;
	uoff_t size;

	if (lookup_mail(rewrite, mail, &map_uid, &file_id) > 0 &&
	    seq_range_exists(&rewrite->damaged_map_uids, map_uid) &&
	    stored_mail_open(mail, &input, &size, &error) > 0) {
		result = rewrite_form_init(ctx, &form, input, size, &error);
		if (result == REWRITE_WANTED) {
			result = rewrite_form_verify(&form, &error);
			rewrite_form_deinit(&form);
		}
		if (result == REWRITE_WANTED)
			result = REWRITE_FAILED;
		i_stream_unref(&input);
	}
	rewrite_count(ctx, mail->uid, result, 0, error);
}

static void rewrite_batch(struct rewrite_context *ctx ATTR_UNUSED,
			  void *context)
{
	struct mdbox_rewrite *rewrite = context;

	if (array_count(&rewrite->file_ids) == 0)
		return;
	rewrite_file_ids(rewrite);
	array_clear(&rewrite->file_ids);
	/* Next messages are looked for where they are now. */
	(void)mdbox_map_refresh(rewrite->storage->map);
}

static void rewrite_all(struct mdbox_rewrite *rewrite)
{
	struct rewrite_context *ctx = rewrite->ctx;
	unsigned int i;

	for (i = 0; i < ROUNDS_MAX; i++) {
		array_clear(&rewrite->file_ids);
		ctx->last_uid = 0;
		rewrite_walk(ctx, i == 0, collect_file, NULL, rewrite);
		if (array_count(&rewrite->file_ids) == 0)
			break;
		rewrite_file_ids(rewrite);
	}
	ctx->last_uid = 0;
	rewrite_walk(ctx, FALSE, count_left, NULL, rewrite);
}

void rewrite_mdbox(struct rewrite_context *ctx)
{
	struct mdbox_mailbox *mbox = MDBOX_MAILBOX(ctx->box);
	struct mdbox_rewrite rewrite = {
		.ctx = ctx,
		.storage = mbox->storage,
	};

	T_BEGIN {
		mdbox_journal_recover(ctx, rewrite.storage);
	} T_END;
	i_array_init(&rewrite.file_ids, 64);
	i_array_init(&rewrite.failed_file_ids, 4);
	i_array_init(&rewrite.damaged_map_uids, 16);
	if (ctx->step)
		rewrite_walk(ctx, TRUE, collect_file, rewrite_batch, &rewrite);
	else
		rewrite_all(&rewrite);
	array_free(&rewrite.damaged_map_uids);
	array_free(&rewrite.failed_file_ids);
	array_free(&rewrite.file_ids);
}
