/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "str.h"
#include "keyring/edit.h"
#include "mail-seal-private.h"
#include "unlock.h"

/* A login brings the keyring up to date while it is open. The new keyring is
   made before the store is locked, as Argon2id takes its time, and is good if
   the stored one is still the one that was opened; otherwise that one is opened
   and looked at anew. */

struct renewal {
	struct mail_seal_unlock *unlock;
	/* As text: prepared was made from it. */
	string_t *seen;
	struct keyring *prepared;
	/* What the last new keyring changes. */
	bool password, escrow;
};

static bool
has_escrow_slot(const struct keyring *keyring,
		const struct age_x25519_recipient *recipient)
{
	const char *str = age_x25519_recipient_str(recipient);
	const struct keyring_slot *slots;
	unsigned int count;

	slots = keyring_slots(keyring, &count);
	for (unsigned int i = 0; i < count; i++) {
		if (slots[i].kind == KEYRING_SLOT_ESCROW &&
		    slots[i].recipient != NULL &&
		    strcmp(slots[i].recipient, str) == 0)
			return TRUE;
	}
	return FALSE;
}

/* A cheap check for every login. */
static bool
escrow_fits(const struct keyring *keyring, const struct mail_seal_settings *set)
{
	struct keyring_slot_counts counts;

	keyring_count(keyring, &counts);
	if (counts.escrow != set->escrow_count)
		return FALSE;
	for (unsigned int i = 0; i < set->escrow_count; i++) {
		if (!has_escrow_slot(keyring, &set->escrow[i]))
			return FALSE;
	}
	return TRUE;
}

/* The slot can be written anew where it was a password that opened it. */
static bool password_fits(const struct mail_seal_unlock *unlock)
{
	return unlock->secrets.secret == NULL ||
		(!unlock->by_old_secret && !unlock->opened.outdated);
}

/* Begin with the escrow slots as they are to be. If they can't be, the password
   isn't to suffer. */
static int
begin_edit(struct renewal *renewal, const struct keyring *keyring,
	   struct keyring_edit **edit_r, const char **error_r)
{
	struct mail_seal_unlock *unlock = renewal->unlock;
	const struct mail_seal_settings *set = &unlock->suser->set;
	const char *error;
	int ret;

	if (keyring_edit_begin(keyring, unlock->opened.identities, edit_r,
			       error_r) < 0)
		return -1;
	ret = keyring_edit_sync_escrow(*edit_r, set->escrow, set->escrow_count,
				       &error);
	renewal->escrow = ret > 0;
	if (ret >= 0)
		return 0;
	e_warning(unlock->user->event, "mail_seal: %s: Cannot be brought in "
		  "line with mail_seal_escrow_recipients: %s",
		  keyring_store_name(unlock->store), error);
	keyring_edit_abort(edit_r);
	return keyring_edit_begin(keyring, unlock->opened.identities, edit_r,
				  error_r);
}

static int
renew_password(struct renewal *renewal, struct keyring_edit *edit,
	       const char **error_r)
{
	struct mail_seal_unlock *unlock = renewal->unlock;
	struct keyring_costs costs = {
		.memory_kib = unlock->suser->set.argon2_memory_kib,
		.passes = unlock->suser->set.argon2_passes,
	};

	renewal->password = !password_fits(unlock);
	if (!renewal->password)
		return 0;
	return keyring_edit_set_password(edit, unlock->opened.slot_idx,
					 unlock->secrets.secret, &costs,
					 error_r);
}

/* Returns 1 and the new keyring, 0 if nothing is to change, -1 and error_r. */
static int
make_keyring(struct renewal *renewal, const struct keyring *keyring,
	     struct keyring **new_r, const char **error_r)
{
	struct mail_seal_unlock *unlock = renewal->unlock;
	struct keyring_edit *edit;

	if (escrow_fits(keyring, &unlock->suser->set) && password_fits(unlock))
		return 0;
	if (begin_edit(renewal, keyring, &edit, error_r) < 0)
		return -1;
	if (renew_password(renewal, edit, error_r) < 0) {
		keyring_edit_abort(&edit);
		return -1;
	}
	return keyring_edit_finish(&edit, 0, new_r, NULL, error_r);
}

static int reopen(struct mail_seal_unlock *unlock,
		  const struct keyring *keyring, const char **error_r)
{
	struct mail_seal_unlock again = *unlock;

	if (mail_seal_unlock_open(&again, keyring, error_r) <= 0)
		return -1;
	age_identities_deinit(&unlock->opened.identities);
	*unlock = again;
	return 0;
}

static int
change(const struct keyring *keyring, struct keyring **new_r, void *context,
       const char **error_r)
{
	struct renewal *renewal = context;
	string_t *text = t_str_new(4096);

	keyring_write(keyring, text);
	if (renewal->prepared != NULL && str_equals(text, renewal->seen)) {
		*new_r = renewal->prepared;
		renewal->prepared = NULL;
		return 1;
	}
	/* Another process was faster. */
	if (reopen(renewal->unlock, keyring, error_r) < 0)
		return -1;
	return make_keyring(renewal, keyring, new_r, error_r);
}

static int
verify(const struct keyring *keyring, void *context, const char **error_r)
{
	struct renewal *renewal = context;

	if (keyring_fits(keyring, renewal->unlock->opened.identities))
		return 0;
	*error_r = "the new keyring has not the identities of the old one";
	return -1;
}

static void log_renewed(const struct renewal *renewal)
{
	const struct mail_seal_key_event_fields password = {
		.slot_kind = "password",
		.action = renewal->unlock->by_old_secret ?
			"new password" : "renew",
	};
	const struct mail_seal_key_event_fields escrow = {
		.slot_kind = "escrow",
		.action = "escrow sync",
	};

	if (renewal->password) {
		mail_seal_user_key_event(renewal->unlock->user,
			MAIL_SEAL_EVENT_KEYRING_CHANGED, &password);
	}
	if (renewal->escrow) {
		mail_seal_user_key_event(renewal->unlock->user,
			MAIL_SEAL_EVENT_KEYRING_CHANGED, &escrow);
	}
}

/* Returns as keyring_store_update(). */
static int
store_renewed(struct renewal *renewal, struct keyring **keyring,
	      const char **error_r)
{
	const struct keyring_update update = {
		.change = change,
		.verify = verify,
		.context = renewal,
	};
	struct keyring_store *store = renewal->unlock->store;
	struct keyring *stored;
	int ret;

	ret = keyring_store_update(store, &update, &stored, error_r);
	if (ret < 0)
		return -1;
	mail_seal_store_log_notice(renewal->unlock->user, store);
	keyring_free(keyring);
	*keyring = stored;
	return ret;
}

void mail_seal_renew(struct mail_seal_unlock *unlock, struct keyring **keyring)
{
	struct renewal renewal = { .unlock = unlock };
	const char *error;
	int ret;

	ret = make_keyring(&renewal, *keyring, &renewal.prepared, &error);
	if (ret > 0) {
		renewal.seen = t_str_new(4096);
		keyring_write(*keyring, renewal.seen);
		ret = store_renewed(&renewal, keyring, &error);
	}
	if (ret > 0)
		log_renewed(&renewal);
	else if (ret < 0) {
		e_warning(unlock->user->event, "mail_seal: %s: Cannot be "
			  "brought up to date: %s",
			  keyring_store_name(unlock->store), error);
	}
	if (renewal.prepared != NULL)
		keyring_free(&renewal.prepared);
}
