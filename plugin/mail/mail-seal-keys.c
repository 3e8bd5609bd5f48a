/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail-seal-private.h"

/* A user's keys for those who manage them. */

const struct mail_seal_settings *
mail_seal_user_settings(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	i_assert(suser != NULL);
	return &suser->set;
}

int mail_seal_user_store_init(struct mail_user *user,
			      struct keyring_store **store_r,
			      const char **error_r)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	i_assert(suser != NULL);
	*store_r = mail_seal_keyring_store(user, suser, error_r);
	return *store_r == NULL ? -1 : 0;
}

const char *mail_seal_user_no_keyring_reason(struct mail_user *user)
{
	static const char *const names[] = {
		"mail_seal_recipient", "mail_seal_identity"
	};

	for (unsigned int i = 0; i < N_ELEMENTS(names); i++) {
		if (mail_seal_userdb_field(user, names[i]) != NULL) {
			return t_strdup_printf("the user's keys are given by "
				"the userdb field %s, not by a keyring",
				names[i]);
		}
	}
	return NULL;
}

const struct age_identities *
mail_seal_user_get_identities(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	return suser == NULL ? NULL : suser->identities;
}

static struct age_identities *
identities_dup(const struct age_identities *identities)
{
	struct age_identities *copy = age_identities_init();
	unsigned int count = age_identities_count(identities);

	for (unsigned int i = 0; i < count; i++)
		age_identities_add(copy, age_identities_get(identities, i));
	return copy;
}

void mail_seal_user_set_identities(struct mail_user *user,
				   const struct age_identities *identities)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);
	struct age_identities *copy = identities_dup(identities);

	i_assert(suser != NULL);
	if (suser->identities != NULL)
		age_identities_deinit(&suser->identities);
	suser->identities = copy;
	suser->unlock_tried = TRUE;
	suser->locked_text = NULL;
	/* Looked up when the next message is saved. */
	array_clear(&suser->recipients);
	suser->recipients_serial++;
	suser->stamp_known = FALSE;
	suser->keys_lost = FALSE;
}
