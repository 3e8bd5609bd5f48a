/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "istream.h"
#include "index-mail.h"
#include "age/chunk.h"
#include "stream/istream-age.h"
#include "mail/mail-seal-mail.h"
#include "mail/mail-seal-user.h"
#include "mail/message-event.h"
#include "mail-seal-private.h"
#include "open-key.h"

struct mail_seal_mail_module mail_seal_mail_module =
	MODULE_CONTEXT_INIT(&mail_module_register);

#define TEXT_DAMAGED "This message is damaged and cannot be opened."
#define TEXT_FOREIGN "This message is sealed to a key that this session does " \
	"not have."
#define TEXT_EXCHANGED "This message is not the one that was here before. It " \
	"is not shown."
#define TEXT_CHANGED "The keys of your mailbox were changed. Please log in " \
	"again."

static struct mail_seal_mail *seal_mail(struct mail *mail)
{
	struct mail_private *pmail =
		container_of(mail, struct mail_private, mail);

	return MAIL_SEAL_MAIL_CONTEXT(pmail);
}

static bool was_reported(struct mail *mail)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(mail->box);

	return array_is_created(&sbox->reported_uids) &&
		seq_range_exists(&sbox->reported_uids, mail->uid);
}

static void set_reported(struct mail *mail)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(mail->box);

	if (!array_is_created(&sbox->reported_uids))
		i_array_init(&sbox->reported_uids, 4);
	if (mail->uid != 0)
		seq_range_array_add(&sbox->reported_uids, mail->uid);
	mail_seal_last_forget(sbox);
}

static void tell_damaged(struct mail *mail, const char *reason)
{
	mail_seal_message_event(mail, "mail_seal_message_damaged", "reason",
				reason);
}

/* Log once for each message of a mailbox and tell the client in plain words.
   INVALIDDATA makes imap answer NO and keep the connection. */
static void
report_failure(struct mail *mail, const char *reason, const char *client_text,
	       const char *log_text)
{
	if (!was_reported(mail)) {
		mail_set_critical(mail, "mail_seal: %s", log_text);
		tell_damaged(mail, reason);
	}
	set_reported(mail);
	mail_storage_set_error(mail->box->storage, MAIL_ERROR_INVALIDDATA,
			       client_text);
}

/* What unlocking has logged isn't logged again for each message. */
static void report_locked(struct mail *mail, struct mail_user *owner)
{
	const char *text = mail_seal_user_get_locked_text(owner);

	mail_seal_message_event(mail, "mail_seal_locked_refused", "command",
				"open");
	/* Of a shared mailbox: the text isn't for this person. */
	if (owner != mail->box->storage->user || text == NULL)
		text = TEXT_FOREIGN;
	mail_storage_set_error(mail->box->storage, MAIL_ERROR_INVALIDDATA,
			       text);
}

static void report_stream_failure(struct mail *mail, struct istream *input)
{
	enum age_istream_failure failure = i_stream_age_failure(input);
	struct mail_user *owner = mail_seal_mailbox_owner(mail->box);
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(owner);
	const char *text;

	if (failure == AGE_ISTREAM_NO_IDENTITY && seal_mail(mail)->locked) {
		report_locked(mail, owner);
		return;
	}
	text = t_strdup_printf("cannot open %s: %s", i_stream_get_name(input),
			       i_stream_get_error(input));
	if (failure != AGE_ISTREAM_NO_IDENTITY)
		report_failure(mail, "damaged", TEXT_DAMAGED, text);
	else if (suser->keys_lost)
		report_failure(mail, "changed", TEXT_CHANGED, text);
	else
		report_failure(mail, "foreign", TEXT_FOREIGN, text);
}

/* A file of the same user that is another one's, or was this one's before, opens
   as well as the right one. */
static void report_exchanged(struct mail *mail)
{
	if (!was_reported(mail)) {
		struct event_passthrough *e =
			event_create_passthrough(mail_event(mail))->
			set_name("mail_seal_message_exchanged")->
			add_int("uid", mail->uid);

		e_error(e->event(), "mail_seal: The message was exchanged for "
			"another one or an older copy: it isn't the one that "
			"was opened before");
	}
	set_reported(mail);
	mail_storage_set_error(mail->box->storage, MAIL_ERROR_INVALIDDATA,
			       TEXT_EXCHANGED);
}

static void input_destroyed(struct mail_seal_mail *smail)
{
	smail->input = NULL;
}

/* The key and the first chunk are known to be right before anything is promised
   to a client. */
static int
check_beginning(struct mail *mail, struct mail_seal_mail *smail,
		struct istream *input)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(mail->box);
	const unsigned char *data;
	size_t size;
	uoff_t whole_size;

	if (i_stream_get_size(input, FALSE, &whole_size) < 0)
		return -1;
	memcpy(smail->header_hash, i_stream_age_header_hash(input), HASH_SIZE);
	if (mail->uid == sbox->last.uid && mail_seal_last_is(mail, smail))
		return 0;
	if (i_stream_read_bytes(input, &data, &size, 1) < 0 &&
	    input->stream_errno != 0)
		return -1;
	mail_seal_last_set(mail, smail);
	return 0;
}

static struct istream *
open_seal(struct mail *mail, struct istream *sealed, struct mail_user *owner)
{
	struct mail_seal_mail *smail = seal_mail(mail);
	struct open_key_context ctx = { .owner = owner, .smail = smail };
	struct istream *input;

	input = i_stream_create_age(sealed, open_key, &ctx);
	i_stream_set_name(input, i_stream_get_name(sealed));
	mail_seal_memory_use(mail, smail, input);
	if (check_beginning(mail, smail, input) < 0) {
		report_stream_failure(mail, input);
		i_stream_unref(&input);
		return NULL;
	}
	if (!mail_seal_memory_fits(mail, smail, owner)) {
		report_exchanged(mail);
		i_stream_unref(&input);
		return NULL;
	}
	/* A message that is being saved is looked at, too. */
	if (mail->uid != 0) {
		mail_seal_message_event(mail, "mail_seal_message_opened", "key",
			smail->remembered ? "cached" : "identity");
	}
	smail->input = input;
	i_stream_add_destroy_callback(input, input_destroyed, smail);
	return input;
}

/* A file whose size tells nothing is damaged: it can't be too large to look. */
static bool is_large(struct istream *input)
{
	uoff_t size;

	return i_stream_get_size(input, FALSE, &size) > 0 &&
		size > MAIL_SEAL_VERIFY_MAX_SIZE;
}

/* Whatever its size and as soon as it's opened: for POP3, which ends a message
   that it couldn't read to the end as if it were whole; and if it failed before
   while Dovecot read it, which Dovecot has logged. */
static bool must_verify(struct mail *mail)
{
	struct mail_seal_user *ssession =
		MAIL_SEAL_USER_CONTEXT(mail->box->storage->user);

	return ssession->verify_on_open || was_reported(mail);
}

static int
verify_input(struct mail *mail, struct mail_seal_mail *smail)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(mail->box);

	if (!must_verify(mail) && is_large(smail->input))
		return 0;
	mail_seal_last_set(mail, smail);
	if (sbox->last.verified)
		return 0;
	if (i_stream_age_verify(smail->input) < 0) {
		report_stream_failure(mail, smail->input);
		return -1;
	}
	sbox->last.verified = TRUE;
	return 0;
}

static int
mail_seal_istream_opened(struct mail *mail, struct istream **stream)
{
	struct mail_seal_mail *smail = seal_mail(mail);
	struct mail_user *owner;
	struct istream *input;
	int ret;

	ret = i_stream_is_sealed_mail(*stream);
	if (smail->checking_plain) {
		smail->looks_sealed = ret > 0;
		ret = 0;
	}
	owner = mail_seal_mailbox_owner(mail->box);
	if (ret <= 0) {
		if (!mail_seal_memory_fits_plain(mail, owner)) {
			report_exchanged(mail);
			i_stream_unref(stream);
			return -1;
		}
		return smail->module_ctx.super.istream_opened(mail, stream);
	}

	if (owner == NULL) {
		report_failure(mail, "foreign", TEXT_FOREIGN,
			"the message is sealed, and the mailbox has no owner "
			"whose identity could open it");
		i_stream_unref(stream);
		return -1;
	}
	input = open_seal(mail, *stream, owner);
	i_stream_unref(stream);
	if (input == NULL)
		return -1;
	*stream = input;
	if (must_verify(mail) && verify_input(mail, smail) < 0) {
		i_stream_unref(stream);
		return -1;
	}
	if (smail->module_ctx.super.istream_opened(mail, stream) < 0)
		return -1;
	/* Compression above takes the size of its buffer from the streams
	   below, where a sealed chunk has room. That is more than
	   index-mail-binary.c stands. */
	i_stream_set_max_buffer_size(*stream, MAIL_READ_FULL_BLOCK_SIZE);
	return 0;
}

int mail_seal_mail_prepare(struct mail *mail, enum mail_seal_part part)
{
	struct mail_seal_mail *smail;
	struct mail *backend;
	struct istream *input;

	if (mail_get_backend_mail(mail, &backend) < 0)
		return -1;
	smail = seal_mail(backend);
	if (smail == NULL)
		return 0;
	/* mail_seal_get_stream() authenticates it. */
	if (mail_get_stream(backend, NULL, NULL, &input) < 0) {
		/* A virtual mailbox is of another storage. */
		mail_storage_copy_error(mail->box->storage,
					backend->box->storage);
		return -1;
	}
	if (smail->input == NULL)
		return 0;
	i_stream_set_max_buffer_size(smail->input,
		part == MAIL_SEAL_PART_DECODED ?
		MAIL_READ_FULL_BLOCK_SIZE : AGE_CHUNK_SIZE);
	if (part == MAIL_SEAL_PART_PIECE)
		mail_seal_last_use_chunks(backend, smail);
	return 0;
}

/* Dovecot has logged what it came upon while reading, and would tell the client
   of an internal error. */
static void explain_failure(struct mail *mail)
{
	struct mail_seal_mail *smail = seal_mail(mail);

	if (smail->input == NULL || smail->input->stream_errno == 0 ||
	    i_stream_age_failure(smail->input) == AGE_ISTREAM_IO)
		return;
	if (!was_reported(mail))
		tell_damaged(mail, "damaged");
	set_reported(mail);
	mail_storage_set_error(mail->box->storage, MAIL_ERROR_INVALIDDATA,
			       TEXT_DAMAGED);
}

/* Dovecot would go on with a stream that has failed, and log it each time; if
   it opens the message anew, that fails without a further word in the log. */
static int fail_mail(struct mail *mail)
{
	struct mail_seal_mail *smail = seal_mail(mail);

	explain_failure(mail);
	if (smail->input != NULL && smail->input->stream_errno != 0)
		index_mail_close_streams(INDEX_MAIL(mail));
	return -1;
}

/* Who wants the body learns of damage before the first byte of it. */
static int verify_body(struct mail *mail, struct mail_seal_mail *smail)
{
	struct istream *input;

	if (smail->input == NULL &&
	    smail->module_ctx.super.get_stream(mail, FALSE, NULL, NULL,
					       &input) < 0)
		return -1;
	return smail->input == NULL ? 0 : verify_input(mail, smail);
}

static int
mail_seal_get_stream(struct mail *mail, bool get_body,
		     struct message_size *hdr_size,
		     struct message_size *body_size, struct istream **stream_r)
{
	struct mail_seal_mail *smail = seal_mail(mail);

	if (get_body && !mail->saving && verify_body(mail, smail) < 0)
		return fail_mail(mail);
	if (smail->module_ctx.super.get_stream(mail, get_body, hdr_size,
					       body_size, stream_r) < 0)
		return fail_mail(mail);
	return 0;
}

static int
mail_seal_get_special(struct mail *mail, enum mail_fetch_field field,
		      const char **value_r)
{
	struct mail_seal_mail *smail = seal_mail(mail);

	if (smail->module_ctx.super.get_special(mail, field, value_r) < 0)
		return fail_mail(mail);
	return 0;
}

/* Dovecot takes what it can't read for nothing to be cached. */
static int mail_seal_precache(struct mail *mail)
{
	struct mail_seal_mail *smail = seal_mail(mail);
	struct istream *input;

	smail->locked = FALSE;
	(void)mail_get_hdr_stream(mail, NULL, &input);
	if (smail->module_ctx.super.precache(mail) < 0)
		return -1;
	if (!smail->locked)
		return 0;
	report_locked(mail, mail_seal_mailbox_owner(mail->box));
	return -1;
}

static void mail_seal_mail_close(struct mail *mail)
{
	struct mail_seal_mail *smail = seal_mail(mail);

	if (smail->input != NULL) {
		explain_failure(mail);
		i_stream_remove_destroy_callback(smail->input,
						 input_destroyed);
		smail->input = NULL;
	}
	smail->module_ctx.super.close(mail);
}

void mail_seal_mail_allocated(struct mail *mail)
{
	struct mail_private *pmail =
		container_of(mail, struct mail_private, mail);
	struct mail_vfuncs *v = pmail->vlast;
	struct mail_seal_mail *smail;

	if (MAIL_SEAL_USER_CONTEXT(mail->box->storage->user) == NULL ||
	    !mail_seal_mailbox_is_sealable(mail->box))
		return;
	smail = p_new(pmail->pool, struct mail_seal_mail, 1);
	smail->module_ctx.super = *v;
	pmail->vlast = &smail->module_ctx.super;
	v->istream_opened = mail_seal_istream_opened;
	v->get_stream = mail_seal_get_stream;
	v->get_special = mail_seal_get_special;
	v->precache = mail_seal_precache;
	v->close = mail_seal_mail_close;
	MODULE_CONTEXT_SET(pmail, mail_seal_mail_module, smail);
}
