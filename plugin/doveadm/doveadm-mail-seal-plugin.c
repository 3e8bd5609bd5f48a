/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "master-service.h"
#include "module-dir.h"
#include "crypto/secret.h"
#include "settings/mail-seal-settings.h"
#include "mail/mail-seal-user.h"
#include "doveadm-seal.h"

/* The commands "doveadm seal …". doveadm tries to load this module before and
   after the mail plugins, and takes it when lib10_mail_seal_plugin.so, which it
   needs, is there: so there are no "dependencies", which are looked for among
   doveadm's own modules. */

extern const char *doveadm_mail_seal_plugin_version;
void doveadm_mail_seal_plugin_init(struct module *module);
void doveadm_mail_seal_plugin_deinit(void);

const char *doveadm_mail_seal_plugin_version = DOVECOT_ABI_VERSION;

static struct doveadm_cmd_ver2 *const commands[] = {
	&seal_cmd_status,
	&seal_cmd_enroll,
	&seal_cmd_password,
	&seal_cmd_recovery_new,
	&seal_cmd_recovery_remove,
	&seal_cmd_recover,
	&seal_cmd_slot_list,
	&seal_cmd_slot_add,
	&seal_cmd_slot_remove,
	&seal_cmd_escrow_sync,
	&seal_cmd_rotate,
	&seal_cmd_reseal,
	&seal_cmd_mail,
	&seal_cmd_unseal,
	&seal_cmd_verify,
	&seal_cmd_destroy,
};

#if DOVECOT_PREREQ(2, 4, 0)
static int unlock_fd(void)
{
	return mail_seal_settings_get_unlock_fd(
		master_service_get_event(master_service));
}
#else
static int unlock_fd(void)
{
	const char *value = doveadm_plugin_getenv("mail_seal_unlock_fd");
	int fd;

	return value == NULL || str_to_int(value, &fd) < 0 ? -1 : fd;
}
#endif

void doveadm_mail_seal_plugin_init(struct module *module ATTR_UNUSED)
{
	const char *error;
	unsigned int i;

	/* "doveadm sync" starts the other side before it has a user. */
	mail_seal_user_hide_unlock_fd(unlock_fd());
	mail_seal_user_audit_init();
	if (crypto_init(&error) < 0)
		i_fatal("mail_seal: %s", error);
	for (i = 0; i < N_ELEMENTS(commands); i++)
		doveadm_cmd_register_ver2(commands[i]);
}

void doveadm_mail_seal_plugin_deinit(void)
{
	mail_seal_user_audit_deinit();
}
