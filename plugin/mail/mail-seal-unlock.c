/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "crypto/secret.h"
#include "keyring/store.h"
#include "mail/mail-seal-user.h"
#include "mail-seal-private.h"

/* How a session gets its identity. All reasons of failure are told twice: to
   the administrator in the log, with what was found; to the person at the
   client in a sentence without details. */

#define LOCKED_TEXT_PREFIX "Your mail is sealed and cannot be opened in this " \
	"session: "
#define LOCKED_TEXT_SUFFIX " New mail still arrives and nothing is lost."

#define LOCKED_WRONG_PASSWORD LOCKED_TEXT_PREFIX \
	"the password of this login does not open your keyring. If it was " \
	"changed, please ask your administrator to unlock your mail." \
	LOCKED_TEXT_SUFFIX
#define LOCKED_NO_PASSWORD LOCKED_TEXT_PREFIX \
	"this way of logging in gives the server no password to open your " \
	"keyring with. Please log in with your password." LOCKED_TEXT_SUFFIX
#define LOCKED_SERVER LOCKED_TEXT_PREFIX \
	"the server has a problem with your keyring. Please tell your " \
	"administrator." LOCKED_TEXT_SUFFIX
#define LOCKED_NO_KEYRING \
	"You have no keyring yet, so your mail cannot be sealed and opened. " \
	"Please ask your administrator to enrol you."

static void
lock_user(struct mail_seal_user *suser, struct mail_user *user,
	  const char *locked_text, const char *log_text)
{
	suser->locked_text = locked_text;
	e_error(user->event, "mail_seal: Session is locked: %s", log_text);
}

const char *mail_seal_userdb_field(struct mail_user *user, const char *name)
{
	const char *const *field = user->userdb_fields;
	size_t name_size = strlen(name);

	if (field == NULL)
		return NULL;
	for (; *field != NULL; field++) {
		if (strncmp(*field, name, name_size) != 0)
			continue;
		if ((*field)[name_size] == '=')
			return *field + name_size + 1;
		/* Auth sends an empty value without the '='. */
		if ((*field)[name_size] == '\0')
			return *field + name_size;
	}
	return NULL;
}

/* The field's memory is the user's pool, which we may write to; what other
   parts of Dovecot keep of it is theirs. */
static void wipe_userdb_field(const char *value)
{
	secret_wipe((void *)(uintptr_t)value, strlen(value));
}

/* The recipients that came to light by unlocking, unless the userdb names
   others. */
static void
learn_recipients(struct mail_user *user, struct mail_seal_user *suser,
		 const struct age_x25519_recipient *recipients,
		 unsigned int count)
{
	if (array_count(&suser->recipients) == 0 &&
	    mail_seal_userdb_field(user, "mail_seal_recipient") == NULL)
		array_append(&suser->recipients, recipients, count);
}

static void
unlock_by_userdb(struct mail_user *user, struct mail_seal_user *suser,
		 const char *value)
{
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
	learn_recipients(user, suser, &recipient, 1);
}

static void
unlock_keyring(struct mail_user *user, struct mail_seal_user *suser,
	       const struct keyring_store *store,
	       const struct keyring *keyring, const char *secret)
{
	const struct age_x25519_recipient *recipients;
	const char *error;
	unsigned int count;
	int ret;

	ret = keyring_unlock(keyring, secret, &suser->identities, &error);
	if (ret > 0) {
		recipients = keyring_recipients(keyring, &count);
		learn_recipients(user, suser, recipients, count);
		return;
	}
	suser->identities = NULL;
	lock_user(suser, user, ret == 0 ? LOCKED_WRONG_PASSWORD : LOCKED_SERVER,
		  t_strdup_printf("%s: %s", keyring_store_name(store), error));
}

/* Returns 1 if a new keyring was stored, 0 if another session was faster, -1 if
   there can't be one. */
static int
enroll(struct mail_user *user, struct mail_seal_user *suser,
       struct keyring_store *store, const char *secret)
{
	struct keyring_costs costs = {
		.memory_kib = suser->set.argon2_memory_kib,
		.passes = suser->set.argon2_passes,
	};
	const struct age_x25519_recipient *recipients;
	struct age_identities *identities;
	struct keyring *keyring;
	const char *error;
	unsigned int count;
	int ret;

	if (keyring_create(secret, &costs, &keyring, &identities, &error) < 0) {
		lock_user(suser, user, LOCKED_SERVER, t_strdup_printf(
			"cannot make a keyring: %s", error));
		return -1;
	}
	ret = keyring_store_create(store, keyring, &error);
	if (ret > 0) {
		suser->identities = identities;
		recipients = keyring_recipients(keyring, &count);
		learn_recipients(user, suser, recipients, count);
		e_info(user->event, "mail_seal: Enrolled: %s, recipient %s",
		       keyring_store_name(store),
		       age_x25519_recipient_str(&recipients[0]));
	} else {
		age_identities_deinit(&identities);
	}
	if (ret < 0) {
		lock_user(suser, user, LOCKED_SERVER, t_strdup_printf(
			"cannot enrol: %s", error));
	}
	keyring_free(&keyring);
	return ret;
}

static bool
may_enroll(struct mail_user *user, struct mail_seal_user *suser,
	   const char *secret)
{
	/* Mail that is sealed to the userdb's recipient is not for an identity
	   that we could make. */
	return secret != NULL && suser->set.enroll &&
		mail_seal_userdb_field(user, "mail_seal_recipient") == NULL;
}

/* There is no keyring and none is to be made. */
static void
stay_without_keyring(struct mail_user *user, struct mail_seal_user *suser,
		     const struct keyring_store *store, const char *why)
{
	/* Then all mail is plain, and there is nothing to be locked out of. */
	if (suser->set.unenrolled == MAIL_SEAL_UNENROLLED_PLAINTEXT)
		return;
	lock_user(suser, user, LOCKED_NO_KEYRING, t_strdup_printf(
		"%s does not exist and %s", keyring_store_name(store), why));
}

/* SHA-256 of nothing: what a passdb makes of the password where there is none.
   A keyring made with it would open to everybody. */
#define SECRET_OF_NO_PASSWORD \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* To OAuth2's mechanisms the password is a token, and another one tomorrow. */
static bool has_token_as_password(struct mail_user *user)
{
	return user->auth_mech != NULL &&
		(strcasecmp(user->auth_mech, "OAUTHBEARER") == 0 ||
		 strcasecmp(user->auth_mech, "XOAUTH2") == 0);
}

/* A master user's password must not open a keyring, still less make one. Some
   sites set the field to the user's own name, for ACLs. */
static bool is_master_login(struct mail_user *user)
{
	const char *master = mail_seal_userdb_field(user, "master_user");

	return master != NULL && strcmp(master, user->username) != 0;
}

/* What the passdb hands on of the user's own password. NULL if the login had
   none. */
static const char *own_secret(struct mail_user *user)
{
	const char *secret = mail_seal_userdb_field(user, "mail_seal_password");

	if (secret == NULL || strcmp(secret, SECRET_OF_NO_PASSWORD) == 0 ||
	    has_token_as_password(user) || is_master_login(user))
		return NULL;
	return secret;
}

static void
unlock_by_store(struct mail_user *user, struct mail_seal_user *suser,
		struct keyring_store *store, const char *secret)
{
	struct keyring *keyring;
	const char *error;
	int ret;

	ret = keyring_store_load(store, &keyring, &error);
	if (ret == 0 && may_enroll(user, suser, secret)) {
		if (enroll(user, suser, store, secret) != 0)
			return;
		ret = keyring_store_load(store, &keyring, &error);
	}
	if (ret < 0) {
		lock_user(suser, user, LOCKED_SERVER, error);
		return;
	}
	if (ret == 0) {
		stay_without_keyring(user, suser, store, secret == NULL ?
			"there is no password to make one with" :
			!suser->set.enroll ? "mail_seal_enroll = no" :
			"the userdb's mail_seal_recipient needs an identity "
			"of its own");
		return;
	}
	if (secret == NULL) {
		lock_user(suser, user, LOCKED_NO_PASSWORD,
			"there is no userdb field mail_seal_password or "
			"mail_seal_identity: see the passdb's settings, or "
			"the login used a mechanism without a password, or a "
			"master user's");
	} else {
		unlock_keyring(user, suser, store, keyring, secret);
	}
	keyring_free(&keyring);
}

static void
unlock_by_keyring(struct mail_user *user, struct mail_seal_user *suser)
{
	const char *secret = own_secret(user);
	struct keyring_store *store;
	const char *error;

	if (secret != NULL && !keyring_secret_is_valid(secret)) {
		lock_user(suser, user, LOCKED_SERVER, t_strdup_printf(
			"the userdb field mail_seal_password must be 64 "
			"lower-case hex digits, the SHA-256 of the password, "
			"and has %zu characters: let the passdb return "
			"userdb_mail_seal_password as the manual says",
			strlen(secret)));
		return;
	}
	store = mail_seal_keyring_store(user, suser, &error);
	if (store == NULL) {
		lock_user(suser, user, LOCKED_SERVER, error);
		return;
	}
	unlock_by_store(user, suser, store, secret);
	keyring_store_deinit(&store);
}

bool mail_seal_user_unlock(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);
	const char *identity, *secret, *error;

	if (suser == NULL)
		return TRUE;
	if (suser->unlock_tried)
		return suser->locked_text == NULL;
	suser->unlock_tried = TRUE;

	identity = mail_seal_userdb_field(user, "mail_seal_identity");
	if (identity != NULL) {
		unlock_by_userdb(user, suser, identity);
		wipe_userdb_field(identity);
	} else {
		unlock_by_keyring(user, suser);
	}
	secret = mail_seal_userdb_field(user, "mail_seal_password");
	if (secret != NULL)
		wipe_userdb_field(secret);
	/* A wrong one is to be seen at the login, not at the next delivery. */
	if (mail_seal_userdb_field(user, "mail_seal_recipient") != NULL &&
	    mail_seal_recipients_load(user, suser, &error) < 0)
		e_error(user->event, "mail_seal: %s", error);
	return suser->locked_text == NULL;
}
