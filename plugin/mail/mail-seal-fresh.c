/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "time-util.h"
#include "mail-seal-private.h"
#include "unlock.h"

/* Sessions last for days, and meanwhile another process may rotate the user's
   identity or destroy the keyring. Mail that is sealed to a recipient that is
   gone could be lost, so it is looked again before mail is saved. */

/* A file costs a stat(). A dict is asked again only after this time. */
#define DICT_FRESH_MSECS 2000
/* If the keyring can't be read, what was known of it is good for so long. An
   identity is not forgotten within minutes of a rotation while the store is
   down, and until then all mail that it opens can be read. */
#define OUTAGE_MSECS (5 * 60 * 1000)

static bool
recipients_are(struct mail_seal_user *suser,
	       const struct age_x25519_recipient *recipients,
	       unsigned int count)
{
	if (array_count(&suser->recipients) != count)
		return FALSE;
	for (unsigned int i = 0; i < count; i++) {
		const struct age_x25519_recipient *known =
			array_idx(&suser->recipients, i);

		if (memcmp(known->key, recipients[i].key,
			   sizeof(known->key)) != 0)
			return FALSE;
	}
	return TRUE;
}

void mail_seal_recipients_set(struct mail_seal_user *suser,
			      const struct age_x25519_recipient *recipients,
			      unsigned int count)
{
	if (recipients_are(suser, recipients, count))
		return;
	array_clear(&suser->recipients);
	array_append(&suser->recipients, recipients, count);
	suser->recipients_serial++;
	if (suser->file_keys != NULL)
		file_keys_set_earlier(suser->file_keys);
}

void mail_seal_recipients_take(struct mail_user *user,
			       struct mail_seal_user *suser,
			       const struct keyring *keyring)
{
	const struct age_x25519_recipient *recipients;
	unsigned int count;

	(void)keyring_earlier(keyring, &suser->earlier_count);
	if (mail_seal_userdb_field(user, "mail_seal_recipient") != NULL)
		return;
	recipients = keyring_recipients(keyring, &count);
	mail_seal_recipients_set(suser, recipients, count);
}

void mail_seal_stamp_take(struct mail_seal_user *suser,
			  const struct keyring_store *store)
{
	suser->stamp = *keyring_store_loaded_stamp(store);
	suser->stamp_known = TRUE;
	suser->stamp_msecs = i_microseconds() / 1000;
}

/* The keyring has other identities than the session. A rotation leaves a way to
   the new one where it could not write all slots anew. */
static void
learn_identities(struct mail_user *user, struct mail_seal_user *suser,
		 const struct keyring *keyring)
{
	struct keyring_opened opened;
	const char *error;

	if (suser->identities == NULL || keyring_fits(keyring, suser->identities))
		return;
	if (keyring_open_identities(keyring, suser->identities, &opened,
				    &error) > 0) {
		age_identities_deinit(&suser->identities);
		suser->identities = opened.identities;
		suser->identities_serial++;
		e_debug(user->event, "mail_seal: Another process has changed "
			"the keyring, and this session opened it again");
	}
}

static int
reload(struct mail_user *user, struct mail_seal_user *suser,
       struct keyring_store *store, const char **error_r)
{
	struct keyring *keyring;
	int ret;

	ret = keyring_store_load(store, &keyring, error_r);
	if (ret < 0)
		return -1;
	mail_seal_stamp_take(suser, store);
	mail_seal_store_log_notice(user, store);
	if (ret == 0) {
		/* Destroyed: as if the user had never been enrolled. */
		mail_seal_recipients_set(suser, NULL, 0);
		return 0;
	}
	mail_seal_recipients_take(user, suser, keyring);
	learn_identities(user, suser, keyring);
	keyring_free(&keyring);
	return 0;
}

static int
refresh_from(struct mail_user *user, struct mail_seal_user *suser,
	     struct keyring_store *store, const char **error_r)
{
	struct keyring_stamp stamp;

	if (keyring_store_stamp(store, &stamp, error_r) < 0)
		return -1;
	if (memcmp(&stamp, &suser->stamp, sizeof(stamp)) != 0)
		return reload(user, suser, store, error_r);
	suser->stamp_msecs = i_microseconds() / 1000;
	return 0;
}

static uint64_t known_since_msecs(const struct mail_seal_user *suser)
{
	return i_microseconds() / 1000 - suser->stamp_msecs;
}

static int
refresh(struct mail_user *user, struct mail_seal_user *suser,
	const char **error_r)
{
	struct keyring_store *store;
	int ret;

	store = mail_seal_keyring_store(user, suser, error_r);
	if (store == NULL)
		return -1;
	ret = refresh_from(user, suser, store, error_r);
	keyring_store_deinit(&store);
	return ret;
}

int mail_seal_refresh(struct mail_user *user, bool now, const char **error_r)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	/* Not looked at yet, or not kept in a keyring. */
	if (!suser->stamp_known)
		return 0;
	if (!now && suser->set.dict != NULL &&
	    known_since_msecs(suser) < DICT_FRESH_MSECS)
		return 0;
	if (refresh(user, suser, error_r) == 0)
		return 0;
	if (known_since_msecs(suser) >= OUTAGE_MSECS)
		return -1;
	e_warning(user->event, "mail_seal: Goes on with what it knows: %s",
		  *error_r);
	return 0;
}

bool mail_seal_has_lost_keys(const struct mail_seal_user *suser)
{
	const struct age_x25519_recipient *recipient;

	if (!suser->stamp_known || suser->identities == NULL ||
	    array_count(&suser->recipients) == 0)
		return FALSE;
	recipient = array_idx(&suser->recipients, 0);
	return memcmp(recipient->key,
		      age_identities_get(suser->identities, 0)->public,
		      sizeof(recipient->key)) != 0;
}
