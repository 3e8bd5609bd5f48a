/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-user.h"
#include "crypto/secret.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal enroll: make a keyring before the first login does, so that mail
   can arrive sealed. */

struct enroll {
	struct seal_cmd_context *cmd;
	struct mail_user *user;
	struct keyring_store *store;
	/* The recovery identity; NULL if none is wanted. */
	struct age_x25519_identity *code;
	struct age_identities *identities;
};

static void start_enroll(struct seal_cmd_context *cmd)
{
	doveadm_print_header_simple("result");
	doveadm_print_header_simple("recipient");
	doveadm_print_header_simple("slots");
	if (seal_cmd_flag(cmd, "recovery"))
		seal_code_print_headers();
}

static int add_slots(struct enroll *enroll, struct keyring_edit *edit,
		     const char **error_r)
{
	const struct seal_secrets *secrets = enroll->cmd->secrets;
	struct keyring_slot_counts counts;
	struct keyring_costs costs;

	if ((secrets->set & SEAL_SECRET_NEW) != 0) {
		seal_costs(enroll->user, &costs);
		if (keyring_edit_add_password(edit, secrets->new_password,
					      &costs, NULL, error_r) < 0)
			return -1;
	}
	if (enroll->code != NULL &&
	    keyring_edit_add_recovery(edit, NULL, enroll->code, error_r) < 0)
		return -1;
	if (seal_sync_escrow(enroll->user, edit, error_r) < 0)
		return -1;
	keyring_edit_count(edit, &counts);
	if (counts.password + counts.recovery + counts.escrow == 0) {
		*error_r = "a keyring needs at least one slot: give a password "
			"(--password-fd N), ask for a recovery code "
			"(--recovery), or set mail_seal_escrow_recipients";
		return -1;
	}
	return 0;
}

/* Returns 1 if it is there and opens, 0 if there was one already, -1. */
static int
store_keyring(struct enroll *enroll, const struct keyring *keyring,
	      const char **error_r)
{
	const struct seal_secrets *secrets = enroll->cmd->secrets;
	struct age_identities *identities;
	struct keyring *stored;
	int ret;

	ret = keyring_store_create(enroll->store, keyring, error_r);
	if (ret <= 0)
		return ret;
	ret = keyring_store_load(enroll->store, &stored, error_r);
	if (ret == 0)
		*error_r = "the keyring is gone that was just stored";
	if (ret <= 0)
		return -1;
	if (!keyring_fits(stored, enroll->identities)) {
		*error_r = "what was read back is not what was written";
		ret = -1;
	} else if ((secrets->set & SEAL_SECRET_NEW) != 0) {
		ret = keyring_unlock(stored, secrets->new_password,
				     &identities, error_r) > 0 ? 1 : -1;
		if (ret > 0)
			age_identities_deinit(&identities);
	}
	keyring_free(&stored);
	return ret;
}

static void
tell_enrolled(struct enroll *enroll, const struct keyring *keyring)
{
	const struct keyring_slot *slots;
	struct mail_seal_key_event_fields fields = {
		.recipient = seal_recipients_str(keyring),
		.keyring = keyring_store_name(enroll->store),
	};
	unsigned int count;

	slots = keyring_slots(keyring, &count);
	fields.slot_kind = slots[0].kind_name;
	mail_seal_user_key_event(enroll->user, MAIL_SEAL_EVENT_ENROLLED,
				 &fields);
	doveadm_print("enrolled");
	doveadm_print(seal_recipients_str(keyring));
	doveadm_print(seal_slots_str(keyring));
	if (enroll->code != NULL)
		seal_code_print(enroll->user, enroll->code);
}

static int
tell_already(struct enroll *enroll)
{
	struct keyring *keyring;
	int ret;

	if (!seal_cmd_flag(enroll->cmd, "if-needed")) {
		return seal_cmd_fail(enroll->cmd, enroll->user,
			DOVEADM_EX_NOTPOSSIBLE,
			"the user is enrolled already, nothing was changed: %s",
			keyring_store_name(enroll->store));
	}
	ret = seal_load(enroll->cmd, enroll->user, enroll->store, &keyring);
	if (ret < 0)
		return -1;
	doveadm_print("already enrolled");
	doveadm_print(seal_recipients_str(keyring));
	doveadm_print(seal_slots_str(keyring));
	if (enroll->code != NULL)
		seal_code_print(enroll->user, NULL);
	keyring_free(&keyring);
	return 0;
}

static int make_keyring(struct enroll *enroll)
{
	struct keyring_edit *edit = keyring_edit_begin_new();
	struct keyring *keyring;
	const char *error;
	int ret;

	if (add_slots(enroll, edit, &error) < 0) {
		keyring_edit_abort(&edit);
		return seal_cmd_fail(enroll->cmd, enroll->user,
				     DOVEADM_EX_NOTPOSSIBLE, "%s", error);
	}
	if (keyring_edit_finish(&edit, 0, &keyring, &enroll->identities,
				&error) <= 0) {
		return seal_cmd_fail(enroll->cmd, enroll->user,
				     DOVEADM_EX_NOTPOSSIBLE, "%s", error);
	}
	ret = store_keyring(enroll, keyring, &error);
	if (ret < 0) {
		(void)seal_cmd_fail(enroll->cmd, enroll->user, EX_TEMPFAIL,
				    "%s", error);
	} else if (ret == 0) {
		ret = tell_already(enroll);
	} else {
		tell_enrolled(enroll, keyring);
		ret = 0;
	}
	keyring_free(&keyring);
	age_identities_deinit(&enroll->identities);
	return ret;
}

static int run_with_store(struct enroll *enroll)
{
	struct keyring *keyring;
	const char *error;
	void *code = NULL;
	int ret;

	ret = keyring_store_load(enroll->store, &keyring, &error);
	if (ret < 0) {
		return seal_cmd_fail(enroll->cmd, enroll->user, EX_TEMPFAIL,
				     "%s", error);
	}
	if (seal_cmd_flag(enroll->cmd, "recovery")) {
		code = secret_alloc(sizeof(*enroll->code));
		enroll->code = code;
	}
	if (ret > 0) {
		keyring_free(&keyring);
		ret = tell_already(enroll);
	} else {
		ret = make_keyring(enroll);
	}
	secret_free(&code);
	return ret;
}

static int run_enroll(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct enroll enroll = { .cmd = cmd, .user = user };
	int ret;

	enroll.store = seal_store_init(cmd, user);
	if (enroll.store == NULL)
		return -1;
	ret = run_with_store(&enroll);
	keyring_store_deinit(&enroll.store);
	return ret;
}

static struct doveadm_mail_cmd_context *alloc_enroll(void)
{
	return seal_cmd_alloc(SEAL_SECRET_NEW, DOVEADM_PRINT_TYPE_PAGER,
			      start_enroll, run_enroll);
}

struct doveadm_cmd_ver2 seal_cmd_enroll = {
	.name = "seal enroll",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_enroll,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX
		"[--password-fd <n>|--no-password] [--recovery] [--if-needed] "
		"[--allow-weak]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
DOVEADM_CMD_PARAM('\0', "recovery", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAM('\0', "no-password", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAM('\0', "if-needed", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAM('\0', "allow-weak", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAM('\0', "password-fd", CMD_PARAM_STR, SEAL_FD_FLAG)
DOVEADM_CMD_PARAM('\0', "password", CMD_PARAM_STR, 0)
DOVEADM_CMD_PARAMS_END
};
