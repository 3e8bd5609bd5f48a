/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "str.h"
#include "mail-user.h"
#include "mail/mail-seal-user.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* doveadm seal status: no secret is needed. */

static const char *const columns[] = {
	"enrolled", "recipient", "keyring",
	"password_slots", "recovery_slots", "escrow_slots", "other_slots",
	"outdated_slots", "unlisted_slots", "earlier", "slots"
};
#define FIRST_NUMBER 3
#define LAST_NUMBER 8

static void start_status(struct seal_cmd_context *cmd ATTR_UNUSED)
{
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(columns); i++) {
		if (i >= FIRST_NUMBER && i <= LAST_NUMBER) {
			doveadm_print_header(columns[i], columns[i],
				DOVEADM_PRINT_HEADER_FLAG_NUMBER);
		} else {
			doveadm_print_header_simple(columns[i]);
		}
	}
}

/* For who has no keyring, or none that can be read. */
static void print_without(const char *enrolled, const char *keyring)
{
	unsigned int i;

	doveadm_print(enrolled);
	doveadm_print("");
	doveadm_print(keyring);
	for (i = FIRST_NUMBER; i <= LAST_NUMBER; i++)
		doveadm_print_num(0);
	doveadm_print("");
	doveadm_print("");
}

static const char *earlier_str(const struct keyring *keyring)
{
	const struct keyring_earlier *earlier;
	string_t *str = t_str_new(64);
	unsigned int i, count;

	earlier = keyring_earlier(keyring, &count);
	for (i = 0; i < count; i++) {
		str_printfa(str, "%s%s until %s", i == 0 ? "" : "; ",
			    age_x25519_recipient_str(&earlier[i].recipient),
			    earlier[i].until);
	}
	return str_c(str);
}

static void
print_keyring(const struct keyring_store *store, const struct keyring *keyring)
{
	struct keyring_slot_counts counts;

	keyring_count(keyring, &counts);
	doveadm_print("yes");
	doveadm_print(seal_recipients_str(keyring));
	doveadm_print(keyring_store_name(store));
	doveadm_print_num(counts.password);
	doveadm_print_num(counts.recovery);
	doveadm_print_num(counts.escrow);
	doveadm_print_num(counts.link + counts.unknown);
	doveadm_print_num(counts.marked);
	doveadm_print_num(counts.unlisted);
	doveadm_print(earlier_str(keyring));
	doveadm_print(seal_slots_str(keyring));
}

static int
status_of_store(struct seal_cmd_context *cmd, struct mail_user *user,
		struct keyring_store *store)
{
	struct keyring *keyring;
	const char *error;
	int ret;

	ret = keyring_store_load(store, &keyring, &error);
	if (ret < 0) {
		print_without("unknown", keyring_store_name(store));
		return seal_cmd_fail(cmd, user, EX_TEMPFAIL, "%s", error);
	}
	if (ret == 0) {
		print_without("no", keyring_store_name(store));
		return 0;
	}
	if (keyring_store_notice(store) != NULL)
		e_warning(user->event, "%s", keyring_store_notice(store));
	print_keyring(store, keyring);
	keyring_free(&keyring);
	return 0;
}

static int run_status(struct seal_cmd_context *cmd, struct mail_user *user)
{
	struct keyring_store *store;
	const char *error;
	int ret;

	error = seal_no_keyring_reason(user);
	if (error != NULL) {
		print_without(mail_seal_user_is_sealed(user) ? "userdb" : "no",
			      error);
		return 0;
	}
	if (mail_seal_user_store_init(user, &store, &error) < 0) {
		print_without("unknown", "");
		return seal_cmd_fail(cmd, user, EX_TEMPFAIL, "%s", error);
	}
	ret = status_of_store(cmd, user, store);
	keyring_store_deinit(&store);
	return ret;
}

static struct doveadm_mail_cmd_context *alloc_status(void)
{
	return seal_cmd_alloc(0, DOVEADM_PRINT_TYPE_PAGER, start_status,
			      run_status);
}

struct doveadm_cmd_ver2 seal_cmd_status = {
	.name = "seal status",
	.cmd = seal_cmd_exec,
	.mail_cmd = alloc_status,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX "[--count]",
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
DOVEADM_CMD_PARAM('\0', "count", CMD_PARAM_BOOL, 0)
DOVEADM_CMD_PARAMS_END
};
