/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "crypto/secret.h"
#include "keyring/keyring.h"
#include "mail-seal-private.h"
#include "unlock.h"

/* What the userdb and the passdb hand on of a user's keys and secrets. */

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
static void wipe_field(struct mail_user *user, const char *name)
{
	const char *value = mail_seal_userdb_field(user, name);

	if (value != NULL)
		secret_wipe((void *)(uintptr_t)value, strlen(value));
}

void mail_seal_userdb_wipe(struct mail_user *user)
{
	wipe_field(user, "mail_seal_identity");
	wipe_field(user, "mail_seal_password");
	wipe_field(user, "mail_seal_old_password");
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

/* NULL if the field has no secret of the user's own password. */
static const char *own_secret(struct mail_user *user, const char *name)
{
	const char *secret = mail_seal_userdb_field(user, name);

	if (secret == NULL || strcmp(secret, SECRET_OF_NO_PASSWORD) == 0 ||
	    has_token_as_password(user) || is_master_login(user))
		return NULL;
	return secret;
}

static int
check_secret(const char *name, const char *secret, const char **error_r)
{
	if (keyring_secret_is_valid(secret))
		return 0;
	*error_r = t_strdup_printf("the userdb field %s must be 64 lower-case "
		"hex digits, the SHA-256 of the password, and has %zu "
		"characters: let the passdb return userdb_%s as the manual "
		"says", name, strlen(secret), name);
	return -1;
}

int mail_seal_userdb_secrets(struct mail_user *user,
			     struct mail_seal_secrets *secrets_r,
			     const char **error_r)
{
	static const char password[] = "mail_seal_password";
	static const char old_password[] = "mail_seal_old_password";
	const char *old_secret;

	i_zero(secrets_r);
	secrets_r->secret = own_secret(user, password);
	if (secrets_r->secret == NULL)
		return 0;
	if (check_secret(password, secrets_r->secret, error_r) < 0)
		return -1;
	/* The userdb may know none, or give the present one. */
	old_secret = own_secret(user, old_password);
	if (old_secret == NULL || *old_secret == '\0' ||
	    strcmp(old_secret, secrets_r->secret) == 0)
		return 0;
	if (check_secret(old_password, old_secret, error_r) < 0)
		return -1;
	secrets_r->old_secret = old_secret;
	return 0;
}
