/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "istream.h"
#include "crypto/secret.h"
#include "mail/mail-seal-memory.h"
#include "mail-seal-private.h"

/* A message that was opened before is opened by what is remembered of it, and is
   compared with that. */

static const struct mail_seal_memory_vfuncs *memory;

void mail_seal_memory_set(const struct mail_seal_memory_vfuncs *vfuncs)
{
	memory = vfuncs;
}

static bool
recall(struct mail *mail, struct age_istream_known *known_r, bool *current_r)
{
	return memory != NULL && mail->uid != 0 && !mail->saving &&
		memory->recall(mail, known_r, current_r);
}

void mail_seal_memory_use(struct mail *mail, struct mail_seal_mail *smail,
			  struct istream *input)
{
	struct age_istream_known known;
	bool current;

	smail->remembered = smail->replaced = FALSE;
	if (!recall(mail, &known, &current))
		return;
	i_stream_age_set_known(input, &known);
	memcpy(smail->remembered_hash, known.header_hash, HASH_SIZE);
	secret_wipe(&known, sizeof(known));
	smail->remembered = TRUE;
	smail->current = current;
	smail->locked = FALSE;
}

/* What was remembered under other keys than those of now tells nothing. */
static bool keys_have_changed(struct mail_user *owner)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(owner);

	return mail_seal_get_new_identities(owner) || suser->keys_lost;
}

/* The message isn't as it is remembered. */
static bool may_be_another(struct mail *mail, struct mail_user *owner)
{
	if (!memory->is_exchanged(mail))
		return TRUE;
	memory->distrust(mail);
	return keys_have_changed(owner);
}

bool mail_seal_memory_fits(struct mail *mail, struct mail_seal_mail *smail,
			   struct mail_user *owner)
{
	if (!smail->remembered || smail->replaced ||
	    memcmp(smail->remembered_hash, smail->header_hash, HASH_SIZE) == 0)
		return TRUE;
	return may_be_another(mail, owner);
}

bool mail_seal_memory_fits_plain(struct mail *mail, struct mail_user *owner)
{
	struct age_istream_known known;
	bool current;

	if (owner == NULL || !recall(mail, &known, &current))
		return TRUE;
	secret_wipe(&known, sizeof(known));
	return may_be_another(mail, owner);
}

void mail_seal_memory_rewritten(struct mailbox *box, bool unsealed)
{
	if (memory != NULL)
		memory->rewritten(box, unsealed);
}

struct istream *mail_seal_mail_get_sealed(struct mail *mail, bool *current_r)
{
	struct mail_private *pmail =
		container_of(mail, struct mail_private, mail);
	struct mail_seal_mail *smail = MAIL_SEAL_MAIL_CONTEXT(pmail);

	if (smail == NULL || smail->input == NULL)
		return NULL;
	*current_r = smail->current;
	return smail->input;
}
