/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "age/keyfile.h"
#include "mail/scan.h"
#include "mail/verify.h"
#include "mail-seal-private.h"

struct scan_context {
	struct mailbox *box;
	struct mail_seal_scan *scan;
	/* How many there are. */
	unsigned int identities_count;
};

static void
count_sealed(struct scan_context *ctx,
	     const struct mail_seal_verify_result *result)
{
	struct mail_seal_scan *scan = ctx->scan;
	uint32_t *earlier;

	scan->sealed++;
	scan->sealed_bytes += result->size;
	if (ctx->identities_count == 0)
		return;
	if (result->state == MAIL_SEAL_VERIFY_FOREIGN) {
		scan->foreign++;
	} else if (result->identity == 0) {
		scan->current++;
	} else if (array_is_created(&scan->earlier)) {
		earlier = array_idx_get_space(&scan->earlier, result->identity);
		(*earlier)++;
	}
}

/* Implements mail_seal_verify_callback_t. */
static bool
count_message(const struct mail_seal_verify_result *result, void *context)
{
	struct scan_context *ctx = context;

	switch (result->state) {
	case MAIL_SEAL_VERIFY_SEALED:
	case MAIL_SEAL_VERIFY_FOREIGN:
		count_sealed(ctx, result);
		break;
	case MAIL_SEAL_VERIFY_PLAIN:
		ctx->scan->plain++;
		ctx->scan->plain_bytes += result->size;
		break;
	case MAIL_SEAL_VERIFY_DAMAGED:
		ctx->scan->damaged++;
		e_error(ctx->box->event, "mail_seal: UID %u: %s", result->uid,
			result->error);
		break;
	}
	return TRUE;
}

int mail_seal_scan_mailbox(struct mailbox *box,
			   const struct age_identities *identities,
			   struct mail_seal_scan *scan, const char **error_r)
{
	struct scan_context ctx = { .box = box, .scan = scan };

	if (identities != NULL)
		ctx.identities_count = age_identities_count(identities);
	if (ctx.identities_count > 0 && array_is_created(&scan->earlier)) {
		(void)array_idx_get_space(&scan->earlier,
					  ctx.identities_count - 1);
	}
	return mail_seal_verify_mailbox(box, identities,
					MAIL_SEAL_VERIFY_HEADER, count_message,
					&ctx, error_r);
}
