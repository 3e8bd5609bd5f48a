/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pop3-common.h"
#include "module-context.h"
#include "module-dir.h"
#include "mail/catch-up.h"
#include "mail/mail-seal-user.h"
#include "pop3-mail-seal-plugin.h"

/* What mail_seal adds to a POP3 session: it unlocks at login. POP3 has no way
   to be logged in without a mailbox, so a locked session is refused, in plain
   words; and none to end a message with an error, so each is authenticated
   before it is sent. */

const char *pop3_mail_seal_plugin_version = DOVECOT_ABI_VERSION;
const char *pop3_mail_seal_plugin_dependencies[] = { "mail_seal", NULL };

static pop3_client_created_func_t *next_hook_client_created;
/* mail_seal loads this module by itself, and mail_plugins may name it too. */
static unsigned int init_count = 0;

struct seal_client {
	union pop3_module_context module_ctx;
};

static MODULE_CONTEXT_DEFINE_INIT(seal_client_module, &pop3_module_register);
#define SEAL_CLIENT_CONTEXT(obj) MODULE_CONTEXT(obj, seal_client_module)

/* Implements mail_seal_idle_t. */
static bool is_idle(void *context)
{
	const struct client *client = context;

	return !client->disconnected && client->cmd == NULL;
}

static void seal_client_destroy(struct client *client, const char *reason)
{
	struct seal_client *sclient = SEAL_CLIENT_CONTEXT(client);

	mail_seal_user_catch_up_pause(client->user);
	sclient->module_ctx.super.destroy(client, reason);
}

static void catch_up(struct client *client)
{
	struct seal_client *sclient = p_new(client->pool, struct seal_client, 1);

	sclient->module_ctx.super = client->v;
	client->v.destroy = seal_client_destroy;
	MODULE_CONTEXT_SET(client, seal_client_module, sclient);
	mail_seal_user_catch_up(client->user, is_idle, client);
}

static void pop3_mail_seal_client_created(struct client **client)
{
	struct mail_user *user = (*client)->user;

	if (!mail_seal_user_unlock(user))
		mail_seal_user_refuse_open(user);
	mail_seal_user_verify_on_open(user);
	catch_up(*client);
	if (next_hook_client_created != NULL)
		next_hook_client_created(client);
}

void pop3_mail_seal_plugin_init(struct module *module ATTR_UNUSED)
{
	if (init_count++ > 0)
		return;
	next_hook_client_created =
		pop3_client_created_hook_set(pop3_mail_seal_client_created);
}

void pop3_mail_seal_plugin_deinit(void)
{
	if (--init_count > 0)
		return;
	pop3_client_created_hook_set(next_hook_client_created);
}
