/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "imap-common.h"
#include "module-dir.h"
#include "mail/catch-up.h"
#include "mail/mail-seal-user.h"
#include "imap-mail-seal-private.h"

/* What mail_seal adds to an IMAP session: it unlocks at login and says in
   IMAP's own words what can't be opened. */

const char *imap_mail_seal_plugin_version = DOVECOT_ABI_VERSION;
const char *imap_mail_seal_plugin_dependencies[] = { "mail_seal", NULL };

static imap_client_created_func_t *next_hook_client_created;
/* mail_seal loads this module by itself, and mail_plugins may name it too. */
static unsigned int init_count = 0;

/* By default imap closes the connection when one message of a FETCH can't be
   read. A damaged message would so make a whole mailbox unreadable. */
static void answer_no_on_failure(struct client *client)
{
	struct imap_settings *set;

	if (client->set->parsed_fetch_failure ==
	    IMAP_CLIENT_FETCH_FAILURE_NO_AFTER)
		return;
	set = p_memdup(client->pool, client->set, sizeof(*client->set));
	set->parsed_fetch_failure = IMAP_CLIENT_FETCH_FAILURE_NO_AFTER;
	client->set = set;
}

/* Implements mail_seal_idle_t. */
static bool is_idle(void *context)
{
	const struct client *client = context;
	const struct client_command_context *cmd = client->command_queue;

	return !client->disconnected &&
		(cmd == NULL || (cmd->next == NULL && cmd->name != NULL &&
				 strcasecmp(cmd->name, "IDLE") == 0 &&
				 cmd->state == CLIENT_COMMAND_STATE_WAIT_INPUT));
}

static void imap_mail_seal_client_created(struct client **client)
{
	struct mail_user *user = (*client)->user;

	if (!mail_seal_user_unlock(user)) {
		/* This comes before the tagged OK of the login. */
		client_send_line(*client, t_strdup_printf("* OK [ALERT] %s",
			mail_seal_user_get_locked_text(user)));
	}
	if (mail_seal_user_is_sealed(user)) {
		answer_no_on_failure(*client);
		imap_mail_seal_bye_client_created(*client);
		mail_seal_user_catch_up(user, is_idle, *client);
	}
	if (next_hook_client_created != NULL)
		next_hook_client_created(client);
}

void imap_mail_seal_plugin_init(struct module *module ATTR_UNUSED)
{
	if (init_count++ > 0)
		return;
	next_hook_client_created =
		imap_client_created_hook_set(imap_mail_seal_client_created);
	imap_mail_seal_bye_init();
	imap_mail_seal_commands_init();
	imap_mail_seal_fetch_init();
}

void imap_mail_seal_plugin_deinit(void)
{
	if (--init_count > 0)
		return;
	imap_mail_seal_fetch_deinit();
	imap_mail_seal_commands_deinit();
	imap_mail_seal_bye_deinit();
	imap_client_created_hook_set(next_hook_client_created);
}
