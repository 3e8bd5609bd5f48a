/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "istream.h"
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

/* TRUE if the message is plain or sealed to the recipient of now. */
static bool is_current(struct mail *mail)
{
	struct mail_private *pmail =
		container_of(mail, struct mail_private, mail);
	struct mail_seal_mail *smail = MAIL_SEAL_MAIL_CONTEXT(pmail);
	struct istream *input;

	return smail != NULL &&
		mail_get_stream(mail, NULL, NULL, &input) == 0 &&
		(smail->input == NULL || smail->current);
}

/* After a rotation the earlier identities are forgotten once no message needs
   them. One that moves about with its ciphertext could escape whoever looks for
   such messages, so it is sealed anew on its way. */
static bool may_keep_ciphertext(struct mail *mail, struct mail_user *owner)
{
	struct mail_seal_user *suser;
	const char *error;

	if (owner == NULL)
		return TRUE;
	suser = MAIL_SEAL_USER_CONTEXT(owner);
	if (mail_seal_keyring_look(owner, &error) < 0) {
		/* Then nobody can rotate it either. */
		e_debug(owner->event, "mail_seal: %s", error);
		return TRUE;
	}
	return suser->earlier_count == 0 || is_current(mail);
}

int mail_seal_copy(struct mail_save_context *ctx, struct mail *mail)
{
	struct mailbox *dest = ctx->transaction->box;
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(dest);
	struct mail_user *owner;

	owner = mail_seal_mailbox_owner(dest);
	if (!may_share_file(mail->box, dest) ||
	    !may_keep_ciphertext(mail, owner))
		return mail_storage_copy(ctx, mail);
	if (owner != NULL)
		mail_seal_transaction_add(ctx->transaction, owner);
	return sbox->module_ctx.super.copy(ctx, mail);
}
