/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-copy.h"
#include "mail-seal-private.h"

/* The storage's own copy is a hard link or a reference: right while the owner
   stays the same, and wrong for anybody else. It would give a user another
   one's ciphertext, or the plaintext of LDA's spool file. */

static bool is_seal_user(struct mailbox *box)
{
	return MAIL_SEAL_USER_CONTEXT(box->storage->user) != NULL;
}

/* dest is always a mailbox whose messages can be sealed. */
static bool may_share_file(struct mailbox *src, struct mailbox *dest)
{
	struct mail_user *owner;

	if (!is_seal_user(src) && !is_seal_user(dest))
		return TRUE;
	if (!mail_seal_mailbox_is_sealable(src))
		return FALSE;
	owner = mail_seal_mailbox_owner(dest);
	if (owner == NULL) {
		return mailbox_get_namespace(src) ==
			mailbox_get_namespace(dest);
	}
	return mail_seal_mailbox_owner(src) == owner;
}

int mail_seal_copy(struct mail_save_context *ctx, struct mail *mail)
{
	struct mailbox *dest = ctx->transaction->box;
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(dest);

	if (!may_share_file(mail->box, dest))
		return mail_storage_copy(ctx, mail);
	return sbox->module_ctx.super.copy(ctx, mail);
}
