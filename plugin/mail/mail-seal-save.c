/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "istream.h"
#include "ostream.h"
#include "crypto/secret.h"
#include "mail/message-event.h"
#include "stream/ostream-age.h"
#include "mail-seal-private.h"

/* Sealing on save. Everything that can be wrong with the keys is found before
   the storage opens a file, so that a message is either sealed or refused. */

/* Set the error that the sender retries, without details for the client. The
   reason is a word for statistics. */
static void
refuse_save(struct mailbox *box, const char *reason, const char *client_text,
	    const char *log_text)
{
	e_error(mail_seal_message_refused_event(box, reason),
		"mail_seal: Message is refused: %s", log_text);
	mail_storage_set_error(box->storage, MAIL_ERROR_TEMP, client_text);
}

/* Returns 1 if the message is to be sealed, 0 if it is to be stored plain, -1
   if it can be neither. */
static int want_seal(struct mailbox *box, struct mail_user **owner_r)
{
	struct mail_seal_user *ssession =
		MAIL_SEAL_USER_CONTEXT(box->storage->user);
	struct mail_user *owner = mail_seal_mailbox_owner(box);
	struct mail_seal_user *suser;
	const char *error;
	int ret;

	if (owner == NULL) {
		if (ssession == NULL || !ssession->set.save ||
		    ssession->set.unenrolled == MAIL_SEAL_UNENROLLED_PLAINTEXT)
			return 0;
		refuse_save(box, "no_owner", "This mailbox belongs to nobody "
			"whom the message could be sealed to.", "the mailbox has no "
			"owner to seal to: set mail_seal_save = no or "
			"mail_seal_unenrolled = plaintext for public mail");
		return -1;
	}
	suser = MAIL_SEAL_USER_CONTEXT(owner);
	if (!suser->set.save)
		return 0;
	*owner_r = owner;
	ret = mail_seal_recipients_load(owner, suser, &error);
	if (ret > 0)
		return 1;
	if (ret < 0) {
		refuse_save(box, "keys", "The message cannot be sealed at the "
			    "moment.", error);
		return -1;
	}
	if (suser->set.unenrolled == MAIL_SEAL_UNENROLLED_PLAINTEXT)
		return 0;
	refuse_save(box, "unenrolled",
		    "The mailbox is not ready to receive sealed mail yet.",
		    t_strdup_printf("user %s has no keyring yet "
			"(mail_seal_unenrolled = tempfail): it is made at the "
			"first login with a password", owner->username));
	return -1;
}

int mail_seal_make_header(struct mail_seal_user *suser,
			  const uint8_t file_key[AGE_FILE_KEY_SIZE],
			  const struct age_recipient *extra,
			  buffer_t *header, uint8_t *mac_r,
			  const char **error_r)
{
	const struct age_x25519_recipient *recipient;
	const struct age_recipient **list;
	unsigned int i, count = array_count(&suser->recipients);

	list = t_new(const struct age_recipient *, count + 1);
	for (i = 0; i < count; i++) {
		recipient = array_idx(&suser->recipients, i);
		list[i] = &recipient->recipient;
	}
	if (extra != NULL)
		list[count++] = extra;
	return age_header_seal(list, count, file_key, header, mac_r, error_r);
}

static void
wrap_output(struct mail_save_context *ctx, const buffer_t *header,
	    const uint8_t file_key[AGE_FILE_KEY_SIZE])
{
	struct ostream *output;

	output = o_stream_create_age(ctx->data.output, header->data,
				     header->used, file_key);
	o_stream_set_name(output, o_stream_get_name(ctx->data.output));
	o_stream_unref(&ctx->data.output);
	ctx->data.output = output;
	o_stream_cork(ctx->data.output);
}

static int
save_begin_sealed(struct mail_save_context *ctx, struct istream *input,
		  struct mail_seal_user *suser)
{
	struct mailbox *box = ctx->transaction->box;
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);
	uint8_t file_key[AGE_FILE_KEY_SIZE], mac[AGE_HEADER_MAC_SIZE];
	buffer_t *header = t_buffer_create(512);
	const char *error;
	int ret;

	secret_random(file_key, sizeof(file_key));
	ret = mail_seal_make_header(suser, file_key, NULL, header, mac,
				    &error);
	if (ret < 0) {
		refuse_save(box, "keys", "The message cannot be sealed.",
			    error);
	} else if ((ret = sbox->module_ctx.super.save_begin(ctx, input)) == 0) {
		if (suser->file_keys == NULL)
			suser->file_keys = file_keys_init();
		file_keys_add(suser->file_keys, mac, file_key, TRUE);
		wrap_output(ctx, header, file_key);
	}
	secret_wipe(file_key, sizeof(file_key));
	return ret;
}

int mail_seal_save_begin(struct mail_save_context *ctx, struct istream *input)
{
	struct mailbox *box = ctx->transaction->box;
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);
	struct mail_user *owner = NULL;
	int ret;

	T_BEGIN {
		ret = want_seal(box, &owner);
		if (ret > 0) {
			mail_seal_transaction_add(ctx->transaction, owner);
			ret = save_begin_sealed(ctx, input,
						MAIL_SEAL_USER_CONTEXT(owner));
			sbox->saving_plain = FALSE;
		} else if (ret == 0) {
			ret = sbox->module_ctx.super.save_begin(ctx, input);
			sbox->saving_plain = TRUE;
			if (owner != NULL) {
				mail_seal_transaction_add_plain(
					ctx->transaction, owner);
			}
		}
	} T_END;
	return ret;
}

/* A message that is stored plain and begins like an age file would be taken for
   a sealed one when it is read. */
static int check_plain(struct mail_save_context *ctx)
{
	struct mail_private *pmail =
		container_of(ctx->dest_mail, struct mail_private, mail);
	struct mail_seal_mail *smail = MAIL_SEAL_MAIL_CONTEXT(pmail);
	struct istream *input;
	int ret;

	if (smail == NULL)
		return 0;
	smail->checking_plain = TRUE;
	smail->looks_sealed = FALSE;
	ret = mail_get_stream(ctx->dest_mail, NULL, NULL, &input);
	smail->checking_plain = FALSE;
	if (ret < 0 || !smail->looks_sealed)
		return ret;
	mail_storage_set_error(ctx->transaction->box->storage,
		MAIL_ERROR_NOTPOSSIBLE, "A message that begins with "
		"\"age-encryption.org/\" cannot be stored here, as it would "
		"be taken for a sealed one.");
	return -1;
}

int mail_seal_save_finish(struct mail_save_context *ctx)
{
	struct mailbox *box = ctx->transaction->box;
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(box);
	uoff_t bytes = ctx->data.output == NULL ? 0 : ctx->data.output->offset;

	if (sbox->module_ctx.super.save_finish(ctx) < 0)
		return -1;
	if (sbox->saving_plain)
		return check_plain(ctx);
	mail_seal_message_sealed_event(box, bytes);
	return 0;
}
