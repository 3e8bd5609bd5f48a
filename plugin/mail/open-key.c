/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "age/replaces.h"
#include "mail/mail-seal-user.h"
#include "mail-seal-private.h"
#include "open-key.h"

/* What opens a message: a file key that this process knows already, or one of
   the identities of the mailbox's owner. */

/* Returns as age_header_open(). *current_r tells whether it was the identity of
   now. */
static int
open_by_identities(const struct age_identities *identities,
		   const struct age_header *header,
		   uint8_t file_key_r[AGE_FILE_KEY_SIZE], bool *current_r,
		   const char **error_r)
{
	const struct age_identity *const *list;
	unsigned int count;
	int ret;

	list = age_identities_list(identities, &count);
	ret = age_header_open(header, list, 1, file_key_r, error_r);
	*current_r = ret > 0;
	if (ret == 0 && count > 1) {
		ret = age_header_open(header, list + 1, count - 1, file_key_r,
				      error_r);
	}
	return ret;
}

bool mail_seal_get_new_identities(struct mail_user *owner)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(owner);
	unsigned int serial = suser->identities_serial;
	const char *error;

	if (suser->keys_lost)
		return FALSE;
	if (mail_seal_refresh(owner, TRUE, &error) < 0) {
		e_error(owner->event, "mail_seal: %s", error);
		return FALSE;
	}
	if (suser->identities_serial != serial)
		return TRUE;
	suser->keys_lost = mail_seal_has_lost_keys(suser);
	if (suser->keys_lost) {
		e_info(owner->event, "mail_seal: Another process has changed "
		       "the keys of the mailbox: this session can't open new "
		       "mail and has to be begun anew");
	}
	return FALSE;
}

static int
open_with_session(struct open_key_context *ctx, const struct age_header *header,
		  uint8_t file_key_r[AGE_FILE_KEY_SIZE], bool *current_r,
		  const char **error_r)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(ctx->owner);
	int ret;

	(void)mail_seal_user_unlock(ctx->owner);
	if (suser->identities == NULL) {
		ctx->smail->locked = TRUE;
		*error_r = "the session is locked: it has no identity to open "
			"sealed mail with";
		return 0;
	}
	ret = open_by_identities(suser->identities, header, file_key_r,
				 current_r, error_r);
	/* Perhaps another process has rotated the user's identity. */
	if (ret == 0 && mail_seal_get_new_identities(ctx->owner)) {
		ret = open_by_identities(suser->identities, header, file_key_r,
					 current_r, error_r);
	}
	if (ret == 0) {
		*error_r = t_strdup_printf("it is sealed to none of the %u "
			"identities of %s",
			age_identities_count(suser->identities),
			ctx->owner->username);
	}
	return ret;
}

/* It isn't the message that is remembered: does it replace that one? */
static void
look_if_replaced(struct mail_seal_mail *smail, struct mail_seal_user *suser,
		 const struct age_header *header,
		 const uint8_t file_key[AGE_FILE_KEY_SIZE])
{
	if (!smail->remembered || suser->identities == NULL)
		return;
	smail->replaced = age_replaces_verify(header,
		age_identities_get(suser->identities, 0), file_key,
		smail->remembered_hash);
}

/* Returns as open_key(). */
static int
find_key(struct open_key_context *ctx, const struct age_header *header,
	 uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(ctx->owner);
	bool current = FALSE;
	int ret;

	ctx->smail->locked = FALSE;
	if (suser->file_keys != NULL &&
	    file_keys_find(suser->file_keys, header, file_key_r, &current)) {
		ctx->smail->current = current;
		return 1;
	}
	ret = open_with_session(ctx, header, file_key_r, &current, error_r);
	ctx->smail->current = current;
	if (ret > 0) {
		if (suser->file_keys == NULL)
			suser->file_keys = file_keys_init();
		file_keys_add(suser->file_keys, header->mac, file_key_r,
			      current);
	}
	return ret;
}

int open_key(const struct age_header *header,
	     uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r,
	     void *context)
{
	struct open_key_context *ctx = context;
	int ret;

	ret = find_key(ctx, header, file_key_r, error_r);
	if (ret > 0) {
		look_if_replaced(ctx->smail, MAIL_SEAL_USER_CONTEXT(ctx->owner),
				 header, file_key_r);
	}
	return ret;
}
