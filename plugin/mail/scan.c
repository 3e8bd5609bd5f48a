/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "istream.h"
#include "crypto/secret.h"
#include "mail/scan.h"
#include "stream/istream-age.h"
#include "mail-seal-private.h"
#include "stored-mail.h"

struct scan_context {
	const struct age_identity *const *list;
	unsigned int count;
	struct mail_seal_scan *scan;

	/* Of the message at hand: the identity that opens it, or count. */
	unsigned int opened_by;
};

/* Implements age_istream_open_key_t: looks who could open it, and doesn't. */
static int
find_identity(const struct age_header *header,
	      uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r,
	      void *context)
{
	struct scan_context *ctx = context;
	int ret = 0;

	for (ctx->opened_by = 0; ctx->opened_by < ctx->count;
	     ctx->opened_by++) {
		ret = age_header_open(header, &ctx->list[ctx->opened_by], 1,
				      file_key_r, error_r);
		if (ret != 0)
			break;
	}
	secret_wipe(file_key_r, AGE_FILE_KEY_SIZE);
	return ret < 0 ? -1 : 0;
}

static void count_sealed(struct scan_context *ctx, uoff_t size)
{
	struct mail_seal_scan *scan = ctx->scan;

	scan->sealed++;
	scan->sealed_bytes += size;
	if (ctx->count == 0)
		return;
	if (ctx->opened_by == 0)
		scan->current++;
	else if (ctx->opened_by == ctx->count)
		scan->foreign++;
	else if (array_is_created(&scan->earlier)) {
		uint32_t *earlier =
			array_idx_get_space(&scan->earlier, ctx->opened_by);
		(*earlier)++;
	}
}

/* Returns 0, or -1 and error_r if it is damaged. */
static int
scan_sealed(struct scan_context *ctx, struct istream *sealed, uoff_t size,
	    const char **error_r)
{
	struct istream *input;
	uoff_t plain_size;
	int ret = 0;

	input = i_stream_create_age(sealed, find_identity, ctx);
	/* Reads the header, for which there is no key. */
	(void)i_stream_get_size(input, FALSE, &plain_size);
	if (i_stream_age_failure(input) == AGE_ISTREAM_NO_IDENTITY) {
		count_sealed(ctx, size);
	} else {
		*error_r = t_strdup(i_stream_get_error(input));
		ret = -1;
	}
	i_stream_unref(&input);
	return ret;
}

static int
scan_mail(struct scan_context *ctx, struct mail *mail, const char **error_r)
{
	struct istream *input;
	uoff_t size;
	int ret;

	ret = stored_mail_open(mail, &input, &size, error_r);
	if (ret <= 0)
		return ret;
	ret = i_stream_is_sealed_mail(input);
	if (ret < 0) {
		*error_r = t_strdup(i_stream_get_error(input));
	} else if (ret == 0) {
		ctx->scan->plain++;
		ctx->scan->plain_bytes += size;
	} else {
		ret = scan_sealed(ctx, input, size, error_r);
	}
	i_stream_unref(&input);
	return ret;
}

static void scan_all(struct scan_context *ctx, struct mailbox *box)
{
	struct mailbox_transaction_context *trans;
	struct mail *mail;
	const char *error;
	uint32_t seq, count;

	trans = mailbox_transaction_begin(box, 0, "mail_seal: scan");
	mail = mail_alloc(trans, 0, NULL);
	count = mail_index_view_get_messages_count(trans->view);
	for (seq = 1; seq <= count; seq++) T_BEGIN {
		mail_set_seq(mail, seq);
		if (scan_mail(ctx, mail, &error) < 0) {
			ctx->scan->damaged++;
			e_error(box->event, "mail_seal: UID %u: %s",
				mail->uid, error);
		}
	} T_END;
	mail_free(&mail);
	mailbox_transaction_rollback(&trans);
}

int mail_seal_scan_mailbox(struct mailbox *box,
			   const struct age_identities *identities,
			   struct mail_seal_scan *scan, const char **error_r)
{
	struct scan_context ctx = { .scan = scan };
	enum stored_mail_format format;

	if (stored_mail_sync(box, error_r) < 0 ||
	    stored_mail_get_format(box, &format, error_r) < 0)
		return -1;
	if (identities != NULL)
		ctx.list = age_identities_list(identities, &ctx.count);
	if (ctx.count > 0 && array_is_created(&scan->earlier))
		(void)array_idx_get_space(&scan->earlier, ctx.count - 1);
	scan_all(&ctx, box);
	return 0;
}
