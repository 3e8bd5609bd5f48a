/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "time-util.h"
#include "mail/mail-seal-user.h"
#include "mail-seal-private.h"
#include "unlock.h"
#include "mail/unlock-fd.h"

/* How a session gets its identity. All reasons of failure are told twice: to
   the administrator in the log, with what was found; to the person at the
   client in a sentence without details. */

#define LOCKED_TEXT_PREFIX "Your mail is sealed and cannot be opened in this " \
	"session: "
#define LOCKED_TEXT_SUFFIX " New mail still arrives and nothing is lost."

#define LOCKED_WRONG_PASSWORD LOCKED_TEXT_PREFIX \
	"the password of this login does not open your keyring. If it was " \
	"changed, the earlier password or your recovery code still opens " \
	"it: please ask your administrator to have the new password open " \
	"it, too." LOCKED_TEXT_SUFFIX
#define LOCKED_NO_PASSWORD LOCKED_TEXT_PREFIX \
	"this way of logging in gives the server no password to open your " \
	"keyring with. Please log in with your password." LOCKED_TEXT_SUFFIX
#define LOCKED_SERVER LOCKED_TEXT_PREFIX \
	"the server has a problem with your keyring. Please tell your " \
	"administrator." LOCKED_TEXT_SUFFIX
#define LOCKED_NO_KEYRING \
	"You have no keyring yet, so your mail cannot be sealed and opened. " \
	"Please ask your administrator to enrol you."

#if DOVECOT_PREREQ(2, 4, 0)
#  define UNLOCK_OPTION "-o mail_seal_unlock_fd=N"
#else
#  define UNLOCK_OPTION "-o plugin/mail_seal_unlock_fd=N"
#endif
/* For the person at the command line. */
#define LOCKED_DOVEADM "the mail is sealed: give the key with " UNLOCK_OPTION
#define LOCKED_DOVEADM_LOG LOCKED_DOVEADM ", where N is a file descriptor " \
	"with one line, the password or an identity (AGE-SECRET-KEY-1...)"
#define LOCKED_DOVEADM_WRONG "the mail is sealed and the key given with " \
	UNLOCK_OPTION " does not open it"
#define LOCKED_DOVEADM_SERVER "the mail is sealed and doveadm's server has " \
	"no key to open it with: run doveadm where the mail is, not through " \
	"a server, with " UNLOCK_OPTION

static void
lock_user(struct mail_seal_user *suser, struct mail_user *user,
	  const char *locked_text, const char *log_text)
{
	const struct mail_seal_key_event_fields fields = { .reason = log_text };

	suser->locked_text = locked_text;
	e_error(user->event, "mail_seal: Session is locked: %s", log_text);
	mail_seal_user_key_event(user, MAIL_SEAL_EVENT_UNLOCK_FAILED, &fields);
}

static void
unlock_by_userdb(struct mail_user *user, struct mail_seal_user *suser,
		 const char *value)
{
	const struct mail_seal_key_event_fields fields = {
		.slot_kind = "identity",
	};
	struct age_x25519_recipient recipient;
	const char *error;

	suser->identities = age_identities_init();
	if (age_identities_parse(suser->identities, value, strlen(value),
				 &error) < 0) {
		age_identities_deinit(&suser->identities);
		lock_user(suser, user, LOCKED_SERVER, t_strdup_printf(
			"the userdb field mail_seal_identity is not an "
			"identity (AGE-SECRET-KEY-1...): %s", error));
		return;
	}
	age_x25519_identity_recipient(age_identities_get(suser->identities, 0),
				      &recipient);
	if (mail_seal_userdb_field(user, "mail_seal_recipient") == NULL)
		mail_seal_recipients_set(suser, &recipient, 1);
	mail_seal_user_key_event(user, MAIL_SEAL_EVENT_UNLOCKED, &fields);
}

static int
open_password(struct mail_seal_unlock *unlock, const struct keyring *keyring,
	      const char **error_r)
{
	const struct mail_seal_secrets *secrets = &unlock->secrets;
	const char *error;
	int ret;

	ret = keyring_open_password(keyring, secrets->secret, &unlock->opened,
				    error_r);
	if (ret > 0 || secrets->old_secret == NULL)
		return ret;
	if (keyring_open_password(keyring, secrets->old_secret,
				  &unlock->opened, &error) > 0) {
		unlock->by_old_secret = TRUE;
		return 1;
	}
	*error_r = t_strdup_printf("%s (mail_seal_password); %s "
				   "(mail_seal_old_password)", *error_r, error);
	return ret;
}

int mail_seal_unlock_open(struct mail_seal_unlock *unlock,
			  const struct keyring *keyring, const char **error_r)
{
	unlock->by_old_secret = FALSE;
	if (unlock->secrets.keys == NULL)
		return open_password(unlock, keyring, error_r);
	return keyring_open_identities(keyring, unlock->secrets.keys,
				       &unlock->opened, error_r);
}

/* "password", "recovery", …, of the slot that opened it. */
static const char *slot_kind(const struct mail_seal_unlock *unlock,
			     const struct keyring *keyring)
{
	const struct keyring_slot *slots;
	unsigned int count;

	if (unlock->opened.slot_idx == KEYRING_NO_SLOT)
		return "identity";
	slots = keyring_slots(keyring, &count);
	i_assert(unlock->opened.slot_idx < count);
	return slots[unlock->opened.slot_idx].kind_name;
}

void mail_seal_store_log_notice(struct mail_user *user,
				const struct keyring_store *store)
{
	const char *notice = keyring_store_notice(store);

	if (notice != NULL)
		e_warning(user->event, "mail_seal: %s", notice);
}

/* The user has its identities: let it use them. */
static void
take_keyring(struct mail_seal_unlock *unlock, const struct keyring *keyring)
{
	unlock->suser->identities = unlock->opened.identities;
	unlock->opened.identities = NULL;
	mail_seal_recipients_take(unlock->user, unlock->suser, keyring);
}

static void
log_unlocked(struct mail_seal_unlock *unlock, const struct keyring *keyring,
	     uint64_t started)
{
	const struct mail_seal_key_event_fields fields = {
		.slot_kind = slot_kind(unlock, keyring),
		.duration_usecs = i_microseconds() - started,
	};

	mail_seal_user_key_event(unlock->user, MAIL_SEAL_EVENT_UNLOCKED,
				 &fields);
}

static void
unlock_keyring(struct mail_seal_unlock *unlock, struct keyring **keyring)
{
	uint64_t started = i_microseconds();
	const char *error;
	int ret;

	ret = mail_seal_unlock_open(unlock, *keyring, &error);
	if (ret <= 0) {
		lock_user(unlock->suser, unlock->user,
			  unlock->secrets.given ? LOCKED_DOVEADM_WRONG :
			  ret == 0 ? LOCKED_WRONG_PASSWORD : LOCKED_SERVER,
			  t_strdup_printf("%s: %s",
				keyring_store_name(unlock->store), error));
		return;
	}
	log_unlocked(unlock, *keyring, started);
	if (keyring_store_settle(unlock->store, *keyring, &error) < 0)
		e_warning(unlock->user->event, "mail_seal: %s", error);
	mail_seal_renew(unlock, keyring);
	take_keyring(unlock, *keyring);
}

static bool may_enroll(const struct mail_seal_unlock *unlock)
{
	/* Mail that is sealed to the userdb's recipient is not for an identity
	   that we could make. */
	return unlock->secrets.secret != NULL && !unlock->secrets.given &&
		unlock->suser->set.enroll &&
		mail_seal_userdb_field(unlock->user,
				       "mail_seal_recipient") == NULL;
}

/* There is no keyring and none is to be made. */
static void stay_without_keyring(struct mail_seal_unlock *unlock)
{
	const struct mail_seal_settings *set = &unlock->suser->set;

	/* Then all mail is plain, and there is nothing to be locked out of. */
	if (set->unenrolled == MAIL_SEAL_UNENROLLED_PLAINTEXT)
		return;
	lock_user(unlock->suser, unlock->user, LOCKED_NO_KEYRING,
		  t_strdup_printf("%s does not exist and %s",
			keyring_store_name(unlock->store),
			unlock->secrets.secret == NULL || unlock->secrets.given ?
			"there is no password to make one with" :
			!set->enroll ? "mail_seal_enroll = no" :
			"the userdb's mail_seal_recipient needs an identity "
			"of its own"));
}

/* Load the keyring, or make one. Returns 1 if it was loaded, 2 if it was made
   and is open, 0 if there is none, -1 and error_r. */
static int
get_keyring(struct mail_seal_unlock *unlock, struct keyring **keyring_r,
	    const char **error_r)
{
	int ret;

	ret = keyring_store_load(unlock->store, keyring_r, error_r);
	if (ret == 0 && may_enroll(unlock)) {
		ret = mail_seal_enroll(unlock, keyring_r, error_r);
		if (ret != 0)
			return ret < 0 ? -1 : 2;
		ret = keyring_store_load(unlock->store, keyring_r, error_r);
	}
	mail_seal_stamp_take(unlock->suser, unlock->store);
	if (ret > 0)
		mail_seal_store_log_notice(unlock->user, unlock->store);
	return ret;
}

/* There is a keyring, and nothing to open it with. */
static void lock_without_secret(struct mail_seal_unlock *unlock)
{
	struct mail_user *user = unlock->user;

	if (unlock_fd_is_doveadm(user)) {
		lock_user(unlock->suser, user, LOCKED_DOVEADM,
			  LOCKED_DOVEADM_LOG);
	} else if (strcmp(user->service, "doveadm") == 0) {
		lock_user(unlock->suser, user, LOCKED_DOVEADM_SERVER,
			  LOCKED_DOVEADM_SERVER);
	} else {
		lock_user(unlock->suser, user, LOCKED_NO_PASSWORD,
			"there is no userdb field mail_seal_password or "
			"mail_seal_identity: see the passdb's settings, or "
			"the login used a mechanism without a password, or a "
			"master user's");
	}
}

static void unlock_by_store(struct mail_seal_unlock *unlock)
{
	struct keyring *keyring;
	const char *error;
	int ret;

	ret = get_keyring(unlock, &keyring, &error);
	if (ret < 0)
		lock_user(unlock->suser, unlock->user, LOCKED_SERVER, error);
	else if (ret == 0)
		stay_without_keyring(unlock);
	if (ret <= 0)
		return;

	if (ret == 2)
		take_keyring(unlock, keyring);
	else if (unlock->secrets.secret == NULL && unlock->secrets.keys == NULL)
		lock_without_secret(unlock);
	else
		unlock_keyring(unlock, &keyring);
	keyring_free(&keyring);
}

static void
unlock_by_keyring(struct mail_user *user, struct mail_seal_user *suser)
{
	struct mail_seal_unlock unlock = { .user = user, .suser = suser };
	const char *error;

	if (!unlock_fd_get(&unlock.secrets) &&
	    mail_seal_userdb_secrets(user, &unlock.secrets, &error) < 0) {
		lock_user(suser, user, LOCKED_SERVER, error);
		return;
	}
	unlock.store = mail_seal_keyring_store(user, suser, &error);
	if (unlock.store == NULL) {
		lock_user(suser, user, LOCKED_SERVER, error);
		return;
	}
	unlock_by_store(&unlock);
	keyring_store_deinit(&unlock.store);
}

bool mail_seal_user_unlock(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);
	const char *identity, *error;

	if (suser == NULL)
		return TRUE;
	if (suser->unlock_tried)
		return suser->locked_text == NULL;
	suser->unlock_tried = TRUE;

	identity = mail_seal_userdb_field(user, "mail_seal_identity");
	if (identity != NULL)
		unlock_by_userdb(user, suser, identity);
	else
		unlock_by_keyring(user, suser);
	mail_seal_userdb_wipe(user);
	/* A wrong one is to be seen at the login, not at the next delivery. */
	if (mail_seal_userdb_field(user, "mail_seal_recipient") != NULL &&
	    mail_seal_recipients_load(user, suser, &error) < 0)
		e_error(user->event, "mail_seal: %s", error);
	return suser->locked_text == NULL;
}

bool mail_seal_user_has_key(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);
	struct mail_seal_secrets secrets;

	return suser != NULL && !suser->unlock_tried &&
		(unlock_fd_get(&secrets) ||
		 mail_seal_userdb_field(user, "mail_seal_identity") != NULL ||
		 mail_seal_userdb_field(user, "mail_seal_password") != NULL);
}
