/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "time-util.h"
#include "keyring/edit.h"
#include "mail-seal-private.h"
#include "unlock.h"

/* A user's first keyring. */

static int
make_slots(struct keyring_edit *edit, const char *secret,
	   const struct mail_seal_settings *set, const char **error_r)
{
	struct keyring_costs costs = {
		.memory_kib = set->argon2_memory_kib,
		.passes = set->argon2_passes,
	};

	if (keyring_edit_add_password(edit, secret, &costs, NULL, error_r) < 0)
		return -1;
	for (unsigned int i = 0; i < set->escrow_count; i++) {
		if (keyring_edit_add_escrow(edit, &set->escrow[i], NULL,
					    error_r) < 0)
			return -1;
	}
	return 0;
}

static int
make_keyring(struct mail_seal_unlock *unlock, struct keyring **keyring_r,
	     struct age_identities **identities_r, const char **error_r)
{
	struct keyring_edit *edit = keyring_edit_begin_new();

	if (make_slots(edit, unlock->secrets.secret, &unlock->suser->set,
		       error_r) < 0) {
		keyring_edit_abort(&edit);
		return -1;
	}
	if (keyring_edit_finish(&edit, 0, keyring_r, identities_r,
				error_r) < 0)
		return -1;
	return 0;
}

static void
log_enrolled(struct mail_seal_unlock *unlock, const struct keyring *keyring,
	     uint64_t started)
{
	struct mail_seal_key_event_fields fields = {
		.slot_kind = "password",
		.keyring = keyring_store_name(unlock->store),
		.duration_usecs = i_microseconds() - started,
	};
	const struct age_x25519_recipient *recipients;
	unsigned int count;

	recipients = keyring_recipients(keyring, &count);
	fields.recipient = age_x25519_recipient_str(&recipients[0]);
	mail_seal_user_key_event(unlock->user, MAIL_SEAL_EVENT_ENROLLED,
				 &fields);
}

int mail_seal_enroll(struct mail_seal_unlock *unlock,
		     struct keyring **keyring_r, const char **error_r)
{
	uint64_t started = i_microseconds();
	struct age_identities *identities;
	struct keyring *keyring;
	int ret;

	if (make_keyring(unlock, &keyring, &identities, error_r) < 0) {
		*error_r = t_strdup_printf("cannot make a keyring: %s",
					   *error_r);
		return -1;
	}
	ret = keyring_store_create(unlock->store, keyring, error_r);
	if (ret > 0) {
		log_enrolled(unlock, keyring, started);
		unlock->opened.identities = identities;
		*keyring_r = keyring;
		return 1;
	}
	if (ret < 0)
		*error_r = t_strdup_printf("cannot enrol: %s", *error_r);
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	return ret;
}
