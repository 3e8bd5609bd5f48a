/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "istream.h"
#include "age/chunk.h"
#include "crypto/secret.h"
#include "mail/verify.h"
#include "stream/istream-age.h"
#include "mail-seal-private.h"
#include "stored-mail.h"

/* Messages of one transaction. */
#define BATCH_COUNT 1000

struct verify_context {
	struct mailbox *box;
	const struct age_identity *const *list;
	unsigned int count;
	enum mail_seal_verify_depth depth;
	mail_seal_verify_callback_t *callback;
	void *context;

	/* Of the message at hand: the identity that opens it, or count; and the
	   header's size. */
	unsigned int opened_by;
	size_t header_size;
	bool stopped;
};

/* Implements age_istream_open_key_t. Without the payload the key isn't needed:
   it is enough who could open it. */
static int
find_identity(const struct age_header *header,
	      uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r,
	      void *context)
{
	struct verify_context *ctx = context;
	int ret = 0;

	ctx->header_size = header->size;
	for (ctx->opened_by = 0; ctx->opened_by < ctx->count;
	     ctx->opened_by++) {
		ret = age_header_open(header, &ctx->list[ctx->opened_by], 1,
				      file_key_r, error_r);
		if (ret != 0)
			break;
	}
	if (ret > 0 && ctx->depth == MAIL_SEAL_VERIFY_HEADER) {
		secret_wipe(file_key_r, AGE_FILE_KEY_SIZE);
		ret = 0;
	}
	return ret;
}

static void damaged(struct mail_seal_verify_result *result, const char *error)
{
	result->state = MAIL_SEAL_VERIFY_DAMAGED;
	result->error = t_strdup(error);
}

static void
check_header_alone(struct verify_context *ctx,
		   struct mail_seal_verify_result *result)
{
	uint64_t plain_size;

	if (ctx->count > 0 && ctx->opened_by == ctx->count)
		result->state = MAIL_SEAL_VERIFY_FOREIGN;
	else if (ctx->depth == MAIL_SEAL_VERIFY_WHOLE &&
		 !age_payload_plain_size(result->size - ctx->header_size,
					 &plain_size))
		damaged(result, "the file is cut or continued: no payload has "
			"its size");
}

static void
verify_sealed(struct verify_context *ctx, struct istream *sealed,
	      struct mail_seal_verify_result *result)
{
	struct istream *input;

	result->state = MAIL_SEAL_VERIFY_SEALED;
	input = i_stream_create_age(sealed, find_identity, ctx);
	if (i_stream_age_verify(input) < 0) {
		if (i_stream_age_failure(input) == AGE_ISTREAM_NO_IDENTITY)
			check_header_alone(ctx, result);
		else
			damaged(result, i_stream_get_error(input));
	}
	result->identity = ctx->opened_by;
	i_stream_unref(&input);
}

/* Returns FALSE if the message is gone. */
static bool verify_mail(struct verify_context *ctx, struct mail *mail,
			struct mail_seal_verify_result *result)
{
	struct istream *input;
	const char *error;
	uoff_t size;
	int ret;

	ret = stored_mail_open(mail, &input, &size, &error);
	if (ret < 0)
		damaged(result, error);
	if (ret <= 0)
		return ret < 0;
	result->size = size;
	ret = i_stream_is_sealed_mail(input);
	if (ret < 0)
		damaged(result, i_stream_get_error(input));
	else if (ret == 0)
		result->state = MAIL_SEAL_VERIFY_PLAIN;
	else
		verify_sealed(ctx, input, result);
	i_stream_unref(&input);
	return TRUE;
}

static void verify_seq(struct verify_context *ctx, struct mail *mail)
{
	struct mail_seal_verify_result result = { .uid = mail->uid };

	if (!verify_mail(ctx, mail, &result))
		return;
	if (ctx->depth == MAIL_SEAL_VERIFY_HEADER ||
	    mail_get_received_date(mail, &result.received) < 0)
		result.received = (time_t)-1;
	ctx->stopped = !ctx->callback(&result, ctx->context);
}

static void
verify_batch(struct verify_context *ctx, uint32_t seq1, uint32_t seq2)
{
	struct mailbox_transaction_context *trans;
	struct mail *mail;
	uint32_t seq;

	trans = mailbox_transaction_begin(ctx->box, 0, "mail_seal: verify");
	mail = mail_alloc(trans, 0, NULL);
	for (seq = seq1; seq <= seq2 && !ctx->stopped; seq++) T_BEGIN {
		mail_set_seq(mail, seq);
		verify_seq(ctx, mail);
	} T_END;
	mail_free(&mail);
	mailbox_transaction_rollback(&trans);
}

int mail_seal_verify_mailbox(struct mailbox *box,
			     const struct age_identities *identities,
			     enum mail_seal_verify_depth depth,
			     mail_seal_verify_callback_t *callback,
			     void *context, const char **error_r)
{
	struct verify_context ctx = {
		.box = box,
		.depth = depth,
		.callback = callback,
		.context = context,
	};
	enum stored_mail_format format;
	uint32_t seq, count;

	if (stored_mail_sync(box, error_r) < 0 ||
	    stored_mail_get_format(box, &format, error_r) < 0)
		return -1;
	if (identities != NULL)
		ctx.list = age_identities_list(identities, &ctx.count);
	count = mail_index_view_get_messages_count(box->view);
	for (seq = 1; seq <= count && !ctx.stopped; seq += BATCH_COUNT)
		verify_batch(&ctx, seq, I_MIN(seq + BATCH_COUNT - 1, count));
	return 0;
}
