/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "imap-common.h"
#include "imap-commands.h"
#include "imap-resp-code.h"
#include "mail/mail-seal-user.h"
#include "imap-mail-seal-private.h"

/* In a locked session the commands that would show a mailbox answer NO. It is
   done here and not where mailboxes are opened, because the quota of an APPEND,
   which must go on working, opens mailboxes too. */

static const char *const guarded_names[] = { "SELECT", "EXAMINE", "STATUS" };

static struct guarded_command {
	command_func_t *func;
	enum command_flags flags;
} guarded_commands[N_ELEMENTS(guarded_names)];

static bool cmd_guarded(struct client_command_context *cmd)
{
	const char *text = mail_seal_user_get_locked_text(cmd->client->user);
	const struct imap_arg *args;
	unsigned int i;

	if (text != NULL) {
		mail_seal_user_tell_refused(cmd->client->user, cmd->name);
		/* Take the arguments off the input, literals and all. */
		if (!client_read_args(cmd, 0, 0, &args))
			return FALSE;
		client_send_tagline(cmd, t_strdup_printf(
			"NO ["IMAP_RESP_CODE_UNAVAILABLE"] %s", text));
		return TRUE;
	}
	for (i = 0; strcasecmp(guarded_names[i], cmd->name) != 0; i++)
		i_assert(i + 1 < N_ELEMENTS(guarded_names));
	/* From here on the command is its own again. */
	cmd->func = guarded_commands[i].func;
	return cmd->func(cmd);
}

void imap_mail_seal_commands_init(void)
{
	const struct command *command;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(guarded_names); i++) {
		command = command_find(guarded_names[i]);
		i_assert(command != NULL);
		guarded_commands[i].func = command->func;
		guarded_commands[i].flags = command->flags;
		command_unregister(guarded_names[i]);
		command_register(guarded_names[i], cmd_guarded,
				 guarded_commands[i].flags);
	}
}

void imap_mail_seal_commands_deinit(void)
{
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(guarded_names); i++) {
		command_unregister(guarded_names[i]);
		command_register(guarded_names[i], guarded_commands[i].func,
				 guarded_commands[i].flags);
	}
}
