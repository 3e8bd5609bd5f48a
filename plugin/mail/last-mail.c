/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "stream/chunk-cache.h"
#include "stream/istream-age.h"
#include "mail-seal-private.h"

/* Clients fetch a large message in pieces, and Dovecot opens it anew for each.
   What was authenticated for one piece need not be so again for the next. */

bool mail_seal_last_is(struct mail *mail, const struct mail_seal_mail *smail)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(mail->box);

	return mail->uid != 0 && mail->uid == sbox->last.uid &&
		memcmp(smail->header_hash, sbox->last.header_hash,
		       HASH_SIZE) == 0;
}

void mail_seal_last_set(struct mail *mail, const struct mail_seal_mail *smail)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(mail->box);

	if (mail_seal_last_is(mail, smail))
		return;
	mail_seal_last_forget(sbox);
	sbox->last.uid = mail->uid;
	memcpy(sbox->last.header_hash, smail->header_hash, HASH_SIZE);
}

void mail_seal_last_use_chunks(struct mail *mail,
			       const struct mail_seal_mail *smail)
{
	struct mail_seal_mailbox *sbox = MAIL_SEAL_BOX_CONTEXT(mail->box);

	mail_seal_last_set(mail, smail);
	if (sbox->last.chunks == NULL)
		sbox->last.chunks = age_chunk_cache_init();
	i_stream_age_set_cache(smail->input, sbox->last.chunks);
}

void mail_seal_last_forget(struct mail_seal_mailbox *sbox)
{
	if (sbox->last.chunks != NULL)
		age_chunk_cache_unref(&sbox->last.chunks);
	sbox->last.uid = 0;
	sbox->last.verified = FALSE;
}
