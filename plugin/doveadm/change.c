/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "time-util.h"
#include "mail-user.h"
#include "settings/mail-seal-settings.h"
#include "mail/mail-seal-user.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* Changing the keyring of one user: open it, edit it, store it, log it. */

void seal_costs(struct mail_user *user, struct keyring_costs *costs_r)
{
	const struct mail_seal_settings *set = mail_seal_user_settings(user);

	costs_r->memory_kib = set->argon2_memory_kib;
	costs_r->passes = set->argon2_passes;
}

const char *seal_no_keyring_reason(struct mail_user *user)
{
	return mail_seal_user_is_sealed(user) ?
		mail_seal_user_no_keyring_reason(user) :
		"mail_plugins doesn't name mail_seal for this user";
}

/* Without a secret of this command there may be mail_seal_unlock_fd, as for
   other commands of doveadm. Before the store is locked: unlocking may have it
   written. */
static void unlock_by_fd(struct seal_cmd_context *cmd, struct mail_user *user)
{
	enum seal_secret_flags opening =
		SEAL_SECRET_PASSWORD | SEAL_SECRET_IDENTITY;

	if ((cmd->wanted & opening) != 0 &&
	    (cmd->secrets->set & opening) == 0 &&
	    mail_seal_user_settings(user)->unlock_fd != -1)
		(void)mail_seal_user_unlock(user);
}

struct keyring_store *
seal_store_init(struct seal_cmd_context *cmd, struct mail_user *user)
{
	const char *error = seal_no_keyring_reason(user);
	struct keyring_store *store;

	if (error != NULL) {
		(void)seal_cmd_fail(cmd, user, DOVEADM_EX_NOTPOSSIBLE,
			"there is no keyring to manage: %s", error);
		return NULL;
	}
	if (mail_seal_user_store_init(user, &store, &error) < 0) {
		(void)seal_cmd_fail(cmd, user, EX_TEMPFAIL, "%s", error);
		return NULL;
	}
	unlock_by_fd(cmd, user);
	return store;
}

int seal_load(struct seal_cmd_context *cmd, struct mail_user *user,
	      struct keyring_store *store, struct keyring **keyring_r)
{
	const char *error;
	int ret;

	ret = keyring_store_load(store, keyring_r, &error);
	if (ret < 0)
		return seal_cmd_fail(cmd, user, EX_TEMPFAIL, "%s", error);
	if (ret == 0) {
		return seal_cmd_fail(cmd, user, DOVEADM_EX_NOTFOUND,
			"the user is not enrolled: %s does not exist (make it "
			"by doveadm seal enroll)", keyring_store_name(store));
	}
	if (keyring_store_notice(store) != NULL)
		e_warning(user->event, "%s", keyring_store_notice(store));
	return 0;
}

static int
open_by_identity(const struct seal_secrets *secrets,
		 const struct keyring *keyring,
		 struct keyring_opened *opened_r, const char **error_r)
{
	struct age_identities *keys = age_identities_init();
	int ret;

	age_identities_add(keys, &secrets->identity);
	ret = keyring_open_identities(keyring, keys, opened_r, error_r);
	age_identities_deinit(&keys);
	return ret;
}

/* Open a keyring with the secrets at hand, or the identities of the user. Returns 0,
   or -1, error_r and exit_code_r. */
static int
open_keyring(struct seal_cmd_context *cmd, struct mail_user *user,
	     const struct keyring *keyring, struct keyring_opened *opened_r,
	     int *exit_code_r, const char **error_r)
{
	const struct seal_secrets *secrets = cmd->secrets;
	const struct age_identities *unlocked =
		mail_seal_user_get_identities(user);
	int ret;

	if ((secrets->set & SEAL_SECRET_IDENTITY) != 0)
		ret = open_by_identity(secrets, keyring, opened_r, error_r);
	else if ((secrets->set & SEAL_SECRET_PASSWORD) != 0) {
		ret = keyring_open_password(keyring, secrets->password,
					    opened_r, error_r);
	} else if (unlocked != NULL) {
		ret = keyring_open_identities(keyring, unlocked, opened_r,
					      error_r);
	} else {
		*error_r = (cmd->wanted & SEAL_SECRET_PASSWORD) != 0 ?
			"a secret that opens the keyring is needed: give a "
			"password by --password-fd N, or a recovery code or "
			"escrow identity by --identity-fd N" :
			"the recovery code is needed: give it by --code-fd N";
		*exit_code_r = EX_USAGE;
		return -1;
	}
	if (ret == 0) {
		*error_r = t_strdup_printf("%s: give one that opens the "
			"keyring, see doveadm seal slot list", *error_r);
		*exit_code_r = EX_NOPERM;
	} else if (ret < 0) {
		*exit_code_r = EX_DATAERR;
	}
	return ret > 0 ? 0 : -1;
}

static int
load_open(struct seal_change *change, struct keyring_store *store,
	  struct keyring **keyring_r, struct keyring_opened *opened_r)
{
	const char *error;
	int exit_code;

	if (seal_load(change->cmd, change->user, store, keyring_r) < 0)
		return -1;
	if (open_keyring(change->cmd, change->user, *keyring_r, opened_r,
		      &exit_code, &error) == 0)
		return 0;
	keyring_free(keyring_r);
	return seal_cmd_fail(change->cmd, change->user, exit_code, "%s", error);
}

int seal_open_stored(struct seal_change *change, struct keyring **keyring_r,
		     struct keyring_opened *opened_r)
{
	struct keyring_store *store =
		seal_store_init(change->cmd, change->user);
	int ret;

	if (store == NULL)
		return -1;
	ret = load_open(change, store, keyring_r, opened_r);
	keyring_store_deinit(&store);
	return ret;
}

/* Returns 1 and the new keyring, 0 if nothing was changed, or -1. */
static int
edit_opened(struct seal_change *change, struct keyring **new_keyring_r,
	    const char **error_r)
{
	int ret;

	if (keyring_edit_begin(change->keyring, change->opened->identities,
			       &change->edit, error_r) < 0) {
		change->exit_code = EX_DATAERR;
		return -1;
	}
	change->exit_code = DOVEADM_EX_NOTPOSSIBLE;
	ret = change->apply(change, error_r);
	if (ret > 0) {
		ret = keyring_edit_finish(&change->edit, change->flags,
					  new_keyring_r, &change->identities,
					  error_r);
	}
	keyring_edit_abort(&change->edit);
	return ret;
}

static int
change_keyring(const struct keyring *keyring, struct keyring **new_keyring_r,
	       void *context, const char **error_r)
{
	struct seal_change *change = context;
	struct keyring_opened opened;
	int ret;

	seal_change_deinit(change);
	change->verify_secret = NULL;
	change->is_last_slot = FALSE;
	if (open_keyring(change->cmd, change->user, keyring, &opened,
		      &change->exit_code, error_r) < 0)
		return -1;
	change->keyring = keyring;
	change->opened = &opened;
	ret = edit_opened(change, new_keyring_r, error_r);
	age_identities_deinit(&opened.identities);
	change->keyring = NULL;
	change->opened = NULL;
	if (ret >= 0)
		change->exit_code = EX_TEMPFAIL;
	return ret;
}

/* The keyring as it was read back. It fits the identities; a password that was
   set has to open it, too. */
static int
verify_keyring(const struct keyring *keyring, void *context,
	       const char **error_r)
{
	struct seal_change *change = context;
	struct age_identities *identities;
	bool fits;

	fits = keyring_fits(keyring, change->identities);
	if (fits && change->verify_secret != NULL) {
		if (keyring_unlock(keyring, change->verify_secret,
				   &identities, error_r) <= 0)
			return -1;
		fits = keyring_fits(keyring, identities);
		age_identities_deinit(&identities);
	}
	if (!fits)
		*error_r = "what was read back is not what was written";
	return fits ? 0 : -1;
}

/* keyring is NULL if it failed. */
static void
log_change(struct seal_change *change, uint64_t started,
	   const struct keyring *keyring, const char *reason)
{
	struct mail_seal_key_event_fields fields = {
		.slot_kind = change->slot_kind,
		.action = change->action,
		.recipient = keyring == NULL ? NULL :
			seal_recipients_str(keyring),
		.reason = reason,
		.duration_usecs = i_microseconds() - started,
	};

	mail_seal_user_key_event(change->user,
				 MAIL_SEAL_EVENT_KEYRING_CHANGED, &fields);
}

/* When there is no slot left. Not while the store is locked. */
static const char *what_is_lost(struct seal_change *change)
{
	struct mail_seal_scan scan;

	i_zero(&scan);
	if (seal_scan_all(change->cmd, change->user, NULL, &scan) < 0)
		return "";
	return t_strdup_printf(" (%u sealed messages, %"PRIu64" bytes)",
			       scan.sealed, scan.sealed_bytes);
}

static int
run_update(struct seal_change *change, struct keyring_store *store,
	   struct keyring **keyring_r)
{
	const struct keyring_update update = {
		.change = change_keyring,
		.verify = verify_keyring,
		.context = change,
	};
	uint64_t started = i_microseconds();
	const char *error;
	int ret;

	change->exit_code = EX_TEMPFAIL;
	ret = keyring_store_update(store, &update, keyring_r, &error);
	if (keyring_store_notice(store) != NULL)
		e_warning(change->user->event, "%s",
			  keyring_store_notice(store));
	if (ret < 0) {
		seal_change_deinit(change);
		if (change->is_last_slot)
			error = t_strconcat(error, what_is_lost(change), NULL);
		log_change(change, started, NULL, error);
		return seal_cmd_fail(change->cmd, change->user,
				     change->exit_code, "%s", error);
	}
	if (change->is_last_slot) {
		change->result = t_strconcat(change->result,
			": no slot opens the keyring any more",
			what_is_lost(change), NULL);
	}
	if (ret > 0)
		log_change(change, started, *keyring_r, NULL);
	return ret;
}

int seal_change_run(struct seal_change *change, struct keyring **keyring_r)
{
	struct keyring_store *store;
	struct keyring *keyring;
	int ret;

	store = seal_store_init(change->cmd, change->user);
	if (store == NULL)
		return -1;
	/* It is loaded again when it is changed; this tells why there is
	   none. */
	ret = seal_load(change->cmd, change->user, store, &keyring);
	if (ret == 0) {
		keyring_free(&keyring);
		ret = run_update(change, store, keyring_r);
	}
	keyring_store_deinit(&store);
	return ret;
}

void seal_change_deinit(struct seal_change *change)
{
	if (change->identities != NULL)
		age_identities_deinit(&change->identities);
}

int seal_change_run_and_print(struct seal_change *change)
{
	struct keyring *keyring;
	int ret;

	ret = seal_change_run(change, &keyring);
	if (ret < 0)
		return -1;
	doveadm_print(ret > 0 ? change->result : "nothing to change");
	keyring_free(&keyring);
	seal_change_deinit(change);
	return 0;
}

int seal_set_or_add_password(struct seal_change *change, unsigned int idx,
			     const char *label, const char **error_r)
{
	const char *secret = change->cmd->secrets->new_password;
	struct keyring_costs costs;
	int ret;

	seal_costs(change->user, &costs);
	ret = idx == KEYRING_NO_SLOT ?
		keyring_edit_add_password(change->edit, secret, &costs, label,
					  error_r) :
		keyring_edit_set_password(change->edit, idx, secret, &costs,
					  error_r);
	change->result = idx == KEYRING_NO_SLOT ? "password slot added" :
		"password changed";
	change->verify_secret = secret;
	return ret < 0 ? -1 : 1;
}

int seal_renew_password(struct seal_change *change, const char **error_r)
{
	const struct seal_secrets *secrets = change->cmd->secrets;
	struct keyring_costs costs;

	if ((secrets->set & SEAL_SECRET_PASSWORD) == 0 ||
	    change->opened->slot_idx == KEYRING_NO_SLOT)
		return 1;
	seal_costs(change->user, &costs);
	if (keyring_edit_set_password(change->edit, change->opened->slot_idx,
				      secrets->password, &costs, error_r) < 0)
		return -1;
	change->verify_secret = secrets->password;
	return 1;
}

int seal_check_last_slot(struct seal_change *change, const char **error_r)
{
	struct keyring_slot_counts counts;

	keyring_edit_count(change->edit, &counts);
	if (counts.password + counts.recovery + counts.escrow > 0)
		return 1;
	change->is_last_slot = TRUE;
	if (seal_cmd_flag(change->cmd, "force")) {
		change->flags |= KEYRING_EDIT_FORCE;
		return 1;
	}
	*error_r = "this is the last slot that opens the keyring, nothing was "
		"changed: add another slot first; or say --force, and all "
		"sealed messages are lost for ever";
	change->exit_code = DOVEADM_EX_NOTPOSSIBLE;
	return -1;
}
