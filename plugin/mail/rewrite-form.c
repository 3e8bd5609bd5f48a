/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "buffer.h"
#include "istream.h"
#include "ostream.h"
#include "age/chunk.h"
#include "age/replaces.h"
#include "crypto/secret.h"
#include "stream/istream-age.h"
#include "stream/ostream-age.h"
#include "rewrite-private.h"

/* The new form of one message. Whatever is stored below the seal is taken as it
   is; plaintext is in memory alone, a chunk at a time. */

/* Implements age_istream_open_key_t for the old form. */
static int
open_old(const struct age_header *header,
	 uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r,
	 void *context)
{
	struct rewrite_form *form = context;
	const struct rewrite_context *ctx = form->ctx;
	unsigned int skip = 0;
	int ret;

	if (ctx->mode == MAIL_SEAL_REWRITE_RESEAL) {
		skip = 1;
		ret = age_header_open(header, ctx->list, 1, file_key_r,
				      error_r);
		if (ret < 0)
			return -1;
		if (ret > 0) {
			form->already = TRUE;
			secret_wipe(file_key_r, AGE_FILE_KEY_SIZE);
			return 0;
		}
	}
	ret = age_header_open(header, ctx->list + skip, ctx->list_count - skip,
			      file_key_r, error_r);
	if (ret == 0) {
		*error_r = t_strdup_printf("it is sealed to none of the %u "
			"identities at hand", ctx->list_count);
	}
	return ret;
}

/* Why the old form can't be read. */
static enum rewrite_result
old_failure(struct rewrite_form *form, const char **error_r)
{
	struct istream *input = form->input;
	enum age_istream_failure failure = AGE_ISTREAM_IO;

	*error_r = t_strdup(i_stream_get_error(input));
	if (form->sealed != NULL)
		failure = i_stream_age_failure(form->sealed);
	switch (failure) {
	case AGE_ISTREAM_NO_IDENTITY:
		return form->already ? REWRITE_ALREADY : REWRITE_FOREIGN;
	case AGE_ISTREAM_BAD_HEADER:
	case AGE_ISTREAM_BAD_PAYLOAD:
		return REWRITE_DAMAGED;
	case AGE_ISTREAM_OK:
	case AGE_ISTREAM_IO:
		break;
	}
	return REWRITE_FAILED;
}

static void form_close(struct rewrite_form *form)
{
	i_stream_unref(&form->input);
	form->sealed = NULL;
}

/* Find out what it is, with the size of its plaintext: exactly or as its header
   has it. */
static enum rewrite_result
form_open(struct rewrite_context *ctx, struct rewrite_form *form,
	  struct istream *stored, uoff_t size, bool exact,
	  const char **error_r)
{
	enum rewrite_result result;
	int ret = i_stream_is_sealed_mail(stored);

	i_zero(form);
	form->ctx = ctx;
	if (ret < 0) {
		*error_r = t_strdup(i_stream_get_error(stored));
		return REWRITE_FAILED;
	}
	if (ret == 0) {
		if (ctx->mode != MAIL_SEAL_REWRITE_SEAL) {
			return ctx->mode == MAIL_SEAL_REWRITE_UNSEAL ?
				REWRITE_ALREADY : REWRITE_OTHER;
		}
		form->input = stored;
		i_stream_ref(stored);
		form->plain_size = size;
		return REWRITE_WANTED;
	}
	if (ctx->mode == MAIL_SEAL_REWRITE_SEAL)
		return REWRITE_ALREADY;
	form->input = form->sealed =
		i_stream_create_age(stored, open_old, form);
	if (i_stream_get_size(form->input, exact, &form->plain_size) > 0)
		return REWRITE_WANTED;
	result = old_failure(form, error_r);
	form_close(form);
	return result;
}

enum rewrite_result
rewrite_examine(struct rewrite_context *ctx, struct istream *stored,
		uoff_t size, const char **error_r)
{
	struct rewrite_form form;
	enum rewrite_result result;

	result = form_open(ctx, &form, stored, size, FALSE, error_r);
	if (result == REWRITE_WANTED)
		form_close(&form);
	return result;
}

static uoff_t sealed_size(size_t header_size, uoff_t plain_size)
{
	uoff_t chunks = plain_size == 0 ? 1 :
		(plain_size - 1) / AGE_CHUNK_SIZE + 1;

	return header_size + AGE_PAYLOAD_NONCE_SIZE + plain_size +
		chunks * AGE_CHUNK_TAG_SIZE;
}

/* Returns 0, or -1 and error_r. */
static int form_make_header(struct rewrite_form *form, const char **error_r)
{
	struct mail_seal_user *suser = form->ctx->suser;
	struct age_replaces replaces;
	bool reseal = form->ctx->mode == MAIL_SEAL_REWRITE_RESEAL;

	form->header = t_buffer_create(512);
	secret_random(form->file_key, sizeof(form->file_key));
	/* Sessions that remember the old form take the new one for it. */
	if (reseal) {
		age_replaces_init(&replaces,
			age_identities_get(suser->identities, 0),
			i_stream_age_header_hash(form->sealed));
	}
	if (mail_seal_make_header(suser, form->file_key,
				  reseal ? &replaces.recipient : NULL,
				  form->header, NULL, error_r) < 0)
		return -1;
	form->size = sealed_size(form->header->used, form->plain_size);
	return 0;
}

/* Stored plain, it must not be taken for a sealed one. */
static enum rewrite_result
form_check_plain(struct rewrite_form *form, const char **error_r)
{
	int ret = i_stream_is_sealed_mail(form->input);

	form->size = form->plain_size;
	if (ret < 0)
		return old_failure(form, error_r);
	if (ret == 0)
		return REWRITE_WANTED;
	*error_r = "it would be taken for a sealed message if it were stored "
		"plain";
	return REWRITE_FAILED;
}

enum rewrite_result
rewrite_form_init(struct rewrite_context *ctx, struct rewrite_form *form,
		  struct istream *stored, uoff_t size, const char **error_r)
{
	enum rewrite_result result;

	result = form_open(ctx, form, stored, size, TRUE, error_r);
	if (result != REWRITE_WANTED)
		return result;
	if (ctx->mode == MAIL_SEAL_REWRITE_UNSEAL)
		result = form_check_plain(form, error_r);
	else if (form_make_header(form, error_r) < 0)
		result = REWRITE_FAILED;
	if (result != REWRITE_WANTED)
		rewrite_form_deinit(form);
	return result;
}

enum rewrite_result
rewrite_form_verify(struct rewrite_form *form, const char **error_r)
{
	if (form->sealed == NULL || i_stream_age_verify(form->sealed) == 0)
		return REWRITE_WANTED;
	return old_failure(form, error_r);
}

static struct ostream *
form_output(struct rewrite_form *form, struct ostream *output)
{
	struct ostream *sealing;

	if (form->header == NULL) {
		o_stream_ref(output);
		return output;
	}
	sealing = o_stream_create_age(output, form->header->data,
				      form->header->used, form->file_key);
	o_stream_set_name(sealing, o_stream_get_name(output));
	return sealing;
}

static enum rewrite_result
form_copy(struct rewrite_form *form, struct ostream *output,
	  const char **error_r)
{
	i_stream_seek(form->input, 0);
	switch (o_stream_send_istream(output, form->input)) {
	case OSTREAM_SEND_ISTREAM_RESULT_FINISHED:
		break;
	case OSTREAM_SEND_ISTREAM_RESULT_ERROR_INPUT:
		return old_failure(form, error_r);
	default:
		*error_r = t_strdup_printf("write(%s) failed: %s",
			o_stream_get_name(output), o_stream_get_error(output));
		return REWRITE_FAILED;
	}
	if (form->input->v_offset != form->plain_size) {
		*error_r = t_strdup_printf("it has %"PRIuUOFF_T" bytes instead "
			"of %"PRIuUOFF_T": it was changed meanwhile",
			form->input->v_offset, form->plain_size);
		return REWRITE_FAILED;
	}
	return REWRITE_DONE;
}

enum rewrite_result
rewrite_form_send(struct rewrite_form *form, struct ostream *output,
		  const char **error_r)
{
	struct ostream *dest = form_output(form, output);
	uoff_t offset = output->offset;
	enum rewrite_result result;

	result = form_copy(form, dest, error_r);
	if (result == REWRITE_DONE &&
	    (dest == output ? o_stream_flush(dest) : o_stream_finish(dest)) <= 0) {
		*error_r = t_strdup_printf("write(%s) failed: %s",
			o_stream_get_name(dest), o_stream_get_error(dest));
		result = REWRITE_FAILED;
	}
	if (result != REWRITE_DONE)
		o_stream_abort(dest);
	o_stream_unref(&dest);
	/* The header that was written before tells the size. */
	i_assert(result != REWRITE_DONE ||
		 output->offset - offset == form->size);
	return result;
}

/* Implements age_istream_open_key_t for the new form. */
static int
open_new(const struct age_header *header,
	 uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r,
	 void *context)
{
	struct rewrite_form *form = context;

	if (form->ctx->mode == MAIL_SEAL_REWRITE_RESEAL)
		return age_header_open(header, form->ctx->list, 1, file_key_r,
				       error_r);
	if (!age_header_verify(header, form->file_key)) {
		*error_r = "its header isn't the one that was written";
		return -1;
	}
	memcpy(file_key_r, form->file_key, AGE_FILE_KEY_SIZE);
	return 1;
}

int rewrite_form_check(struct rewrite_form *form, int fd, uoff_t offset,
		       const char **error_r)
{
	struct istream *file, *sealed, *input;
	uoff_t size;
	int ret = 0;

	if (form->header == NULL)
		return 0;
	file = i_stream_create_fd(fd, AGE_CHUNK_SEALED_SIZE);
	i_stream_seek(file, offset);
	sealed = i_stream_create_limit(file, form->size);
	input = i_stream_create_age(sealed, open_new, form);
	if (i_stream_age_verify(input) < 0 ||
	    i_stream_get_size(input, TRUE, &size) <= 0) {
		*error_r = t_strdup_printf("what was written can't be opened: "
			"%s", i_stream_get_error(input));
		ret = -1;
	} else if (size != form->plain_size) {
		*error_r = "what was written has another size";
		ret = -1;
	}
	i_stream_unref(&input);
	i_stream_unref(&sealed);
	i_stream_unref(&file);
	return ret;
}

void rewrite_form_deinit(struct rewrite_form *form)
{
	form_close(form);
	secret_wipe(form->file_key, sizeof(form->file_key));
}
