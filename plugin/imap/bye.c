/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "imap-common.h"
#include "imap-commands.h"
#include "ioloop.h"
#include "module-context.h"
#include "mail/catch-up.h"
#include "mail/mail-seal-user.h"
#include "imap-mail-seal-private.h"

/* A session that lacks the user's new identity could only answer NO to each new
   message. If it is ended, the client logs in again by itself and all is well. */

#define BYE_TEXT "The keys of your mailbox were changed, please log in again."
/* Until a command that is in the middle of its answer is done. */
#define RETRY_MSECS 100

struct bye_client {
	union imap_module_context module_ctx;
	struct client *client;
	struct timeout *to_bye;
};

static MODULE_CONTEXT_DEFINE_INIT(bye_client_module, &imap_module_register);
#define BYE_CONTEXT(obj) MODULE_CONTEXT(obj, bye_client_module)

static void say_bye(struct bye_client *bclient)
{
	struct client *client = bclient->client;

	timeout_remove(&bclient->to_bye);
	if (client->disconnected)
		return;
	if (client->output_cmd_lock == NULL)
		client_disconnect_with_error(client, BYE_TEXT);
	else
		bclient->to_bye = timeout_add_short(RETRY_MSECS, say_bye, bclient);
}

static void before_command(struct client_command_context *cmd ATTR_UNUSED)
{
}

/* Its tagged answer may yet come, after a sync. */
static void after_command(struct client_command_context *cmd)
{
	struct bye_client *bclient = BYE_CONTEXT(cmd->client);

	if (bclient != NULL && bclient->to_bye == NULL &&
	    mail_seal_user_has_lost_keys(cmd->client->user))
		bclient->to_bye = timeout_add_short(0, say_bye, bclient);
}

static void bye_client_destroy(struct client *client, const char *reason)
{
	struct bye_client *bclient = BYE_CONTEXT(client);

	timeout_remove(&bclient->to_bye);
	mail_seal_user_catch_up_pause(client->user);
	bclient->module_ctx.super.destroy(client, reason);
}

void imap_mail_seal_bye_client_created(struct client *client)
{
	struct bye_client *bclient = p_new(client->pool, struct bye_client, 1);

	bclient->client = client;
	bclient->module_ctx.super = client->v;
	client->v.destroy = bye_client_destroy;
	MODULE_CONTEXT_SET(client, bye_client_module, bclient);
}

void imap_mail_seal_bye_init(void)
{
	command_hook_register(before_command, after_command);
}

void imap_mail_seal_bye_deinit(void)
{
	command_hook_unregister(before_command, after_command);
}
