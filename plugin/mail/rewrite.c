/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "istream.h"
#include "mail/mail-seal-memory.h"
#include "mail/mail-seal-user.h"
#include "mail/unsealing.h"
#include "rewrite-private.h"

/* Messages of one transaction. */
#define BATCH_COUNT 100
#define STEP_COUNT 20

/* Then every message fails, and for no reason of its own. */
static void check_deleted(struct rewrite_context *ctx)
{
	struct stat st;

	if (ctx->fatal == NULL &&
	    stat(mailbox_get_path(ctx->box), &st) < 0 && errno == ENOENT)
		ctx->fatal = i_strdup("it was deleted meanwhile");
}

void rewrite_count(struct rewrite_context *ctx, uint32_t uid,
		   enum rewrite_result result, uoff_t size, const char *error)
{
	struct mail_seal_rewrite_counts *counts = ctx->counts;

	switch (result) {
	case REWRITE_DONE:
		counts->done++;
		counts->done_bytes += size;
		break;
	case REWRITE_ALREADY:
		counts->already++;
		break;
	case REWRITE_OTHER:
		counts->other++;
		break;
	case REWRITE_FOREIGN:
		counts->foreign++;
		break;
	case REWRITE_DAMAGED:
		counts->damaged++;
		break;
	case REWRITE_GONE:
		counts->gone++;
		break;
	case REWRITE_FAILED:
		counts->failed++;
		break;
	case REWRITE_WANTED:
		i_unreached();
	}
	if (result == REWRITE_GONE || result == REWRITE_FAILED)
		check_deleted(ctx);
	if (result == REWRITE_FOREIGN || result == REWRITE_DAMAGED ||
	    (result == REWRITE_FAILED && ctx->fatal == NULL)) {
		e_error(ctx->box->event, "mail_seal: UID %u is left as it is: "
			"%s", uid, error);
	}
	if (ctx->progress != NULL &&
	    !ctx->progress(counts, ctx->progress_context))
		ctx->stopped = TRUE;
}

static enum rewrite_result
examine_mail(struct rewrite_context *ctx, struct mail *mail,
	     const char **error_r)
{
	struct istream *input;
	enum rewrite_result result;
	uoff_t size;
	int ret;

	ret = stored_mail_open(mail, &input, &size, error_r);
	if (ret <= 0)
		return ret == 0 ? REWRITE_GONE : REWRITE_FAILED;
	result = rewrite_examine(ctx, input, size, error_r);
	i_stream_unref(&input);
	return result;
}

static void
walk_mail(struct rewrite_context *ctx, struct mail *mail, bool count,
	  rewrite_wanted_t *wanted, void *context)
{
	enum rewrite_result result;
	const char *error = NULL;

	result = examine_mail(ctx, mail, &error);
	if (result == REWRITE_WANTED)
		wanted(ctx, mail, context);
	else if (count)
		rewrite_count(ctx, mail->uid, result, 0, error);
}

/* Look at some messages after the last one. Returns FALSE if there are none. */
static bool
walk_batch(struct rewrite_context *ctx, bool count, rewrite_wanted_t *wanted,
	   void *context)
{
	struct mailbox_transaction_context *trans;
	uint32_t seq, seq1, seq2;
	struct mail *mail;

	mailbox_get_seq_range(ctx->box, ctx->last_uid + 1, (uint32_t)-1, &seq1,
			      &seq2);
	if (seq1 == 0 || ctx->last_uid == (uint32_t)-1)
		return FALSE;
	seq2 = I_MIN(seq2, seq1 + (ctx->step ? STEP_COUNT : BATCH_COUNT) - 1);
	trans = mailbox_transaction_begin(ctx->box, 0, "mail_seal: rewrite");
	mail = mail_alloc(trans, 0, NULL);
	for (seq = seq1; seq <= seq2 && !ctx->stopped && ctx->fatal == NULL;
	     seq++) T_BEGIN {
		mail_set_seq(mail, seq);
		ctx->last_uid = mail->uid;
		walk_mail(ctx, mail, count, wanted, context);
	} T_END;
	mail_free(&mail);
	/* Saved dates. If they can't be cached, the messages count more. */
	(void)mailbox_transaction_commit(&trans);
	return TRUE;
}

void rewrite_walk(struct rewrite_context *ctx, bool count,
		  rewrite_wanted_t *wanted, rewrite_batch_t *batch,
		  void *context)
{
	while (!ctx->stopped && ctx->fatal == NULL) {
		if (!walk_batch(ctx, count, wanted, context)) {
			ctx->at_end = TRUE;
			break;
		}
		if (batch != NULL)
			batch(ctx, context);
	}
}

/* Sealed to none of the current recipients' identities, a message would be
   rewritten each time; and if it is lost to us, it is lost for good. */
static int check_recipients(struct rewrite_context *ctx, const char **error_r)
{
	struct age_x25519_recipient current;
	const struct age_x25519_recipient *recipient;

	age_x25519_identity_recipient(
		age_identities_get(ctx->suser->identities, 0), &current);
	array_foreach(&ctx->suser->recipients, recipient) {
		if (memcmp(recipient->key, current.key,
			   sizeof(current.key)) == 0)
			return 0;
	}
	*error_r = "the current identity isn't that of a recipient that mail "
		"is sealed to";
	return -1;
}

static int get_recipients(struct rewrite_context *ctx, struct mail_user *owner,
			  const char **error_r)
{
	int ret = mail_seal_recipients_load(owner, ctx->suser, error_r);

	if (ret == 0) {
		*error_r = t_strdup_printf("user %s has no keyring",
					   owner->username);
	}
	return ret > 0 ? 0 : -1;
}

static int get_keys(struct rewrite_context *ctx, struct mail_user *owner,
		    const char **error_r)
{
	if (ctx->mode != MAIL_SEAL_REWRITE_SEAL) {
		(void)mail_seal_user_unlock(owner);
		if (ctx->suser->identities == NULL) {
			*error_r = t_strdup_printf("there is no identity of "
				"its owner %s to open messages with",
				owner->username);
			return -1;
		}
		ctx->list = age_identities_list(ctx->suser->identities,
						&ctx->list_count);
	}
	if (ctx->mode == MAIL_SEAL_REWRITE_UNSEAL)
		return 0;
	if (get_recipients(ctx, owner, error_r) < 0)
		return -1;
	return ctx->mode == MAIL_SEAL_REWRITE_RESEAL ?
		check_recipients(ctx, error_r) : 0;
}

/* After the first step it was synced already, and the messages that came since
   have UIDs behind it. */
static int open_box(struct rewrite_context *ctx, const char **error_r)
{
	if (ctx->last_uid == 0)
		return stored_mail_sync(ctx->box, error_r);
	if (mailbox_open(ctx->box) == 0)
		return 0;
	*error_r = mailbox_get_last_internal_error(ctx->box, NULL);
	return -1;
}

static int
rewrite_init(struct rewrite_context *ctx, const char **error_r)
{
	struct mail_user *owner = mail_seal_mailbox_owner(ctx->box);

	if (owner == NULL) {
		*error_r = "it belongs to nobody whose keys could be used";
		return -1;
	}
	ctx->suser = MAIL_SEAL_USER_CONTEXT(owner);
	if (open_box(ctx, error_r) < 0 ||
	    stored_mail_get_format(ctx->box, &ctx->format, error_r) < 0)
		return -1;
	return get_keys(ctx, owner, error_r);
}

static int run(struct rewrite_context *ctx, const char **error_r)
{
	struct mail_seal_unsealing *unsealing = NULL;

	if (rewrite_init(ctx, error_r) < 0)
		return -1;
	if ((ctx->mode == MAIL_SEAL_REWRITE_UNSEAL ||
	     ctx->format == STORED_MAIL_MDBOX) &&
	    mail_seal_unsealing_begin(ctx->box, &unsealing, error_r) < 0)
		return -1;
	if (ctx->format == STORED_MAIL_MDBOX)
		rewrite_mdbox(ctx);
	else
		rewrite_files(ctx);
	if (unsealing != NULL)
		mail_seal_unsealing_end(&unsealing);
	if (ctx->fatal != NULL) {
		*error_r = t_strdup(ctx->fatal);
		i_free(ctx->fatal);
		return -1;
	}
	if (!ctx->step || ctx->at_end) {
		mail_seal_memory_rewritten(ctx->box,
			ctx->mode == MAIL_SEAL_REWRITE_UNSEAL);
	}
	return 0;
}

int mail_seal_rewrite_mailbox(struct mailbox *box,
			      enum mail_seal_rewrite_mode mode,
			      struct mail_seal_rewrite_counts *counts,
			      mail_seal_rewrite_progress_t *progress,
			      void *context, const char **error_r)
{
	struct rewrite_context ctx = {
		.box = box,
		.mode = mode,
		.counts = counts,
		.progress = progress,
		.progress_context = context,
	};

	return run(&ctx, error_r);
}

int mail_seal_rewrite_step(struct mailbox *box,
			   enum mail_seal_rewrite_mode mode,
			   uint32_t *last_uid, bool *finished_r,
			   struct mail_seal_rewrite_counts *counts,
			   mail_seal_rewrite_progress_t *progress,
			   void *context, const char **error_r)
{
	struct rewrite_context ctx = {
		.box = box,
		.mode = mode,
		.counts = counts,
		.progress = progress,
		.progress_context = context,
		.last_uid = *last_uid,
		.step = TRUE,
	};

	if (run(&ctx, error_r) < 0)
		return -1;
	*last_uid = ctx.last_uid;
	*finished_r = ctx.at_end;
	return 0;
}
