/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_IMAP_MAIL_SEAL_PRIVATE_H
#define PLUGIN_IMAP_MAIL_SEAL_PRIVATE_H

struct module;

/* Dovecot finds these by name when it loads the module. */
extern const char *imap_mail_seal_plugin_version;
extern const char *imap_mail_seal_plugin_dependencies[];
void imap_mail_seal_plugin_init(struct module *module);
void imap_mail_seal_plugin_deinit(void);

/* commands.c: SELECT, EXAMINE and STATUS answer NO in a locked session. */
void imap_mail_seal_commands_init(void);
void imap_mail_seal_commands_deinit(void);

/* bye.c: a session whose keys another process has changed is ended. */
struct client;
void imap_mail_seal_bye_init(void);
void imap_mail_seal_bye_deinit(void);
void imap_mail_seal_bye_client_created(struct client *client);

/* fetch.c: FETCH authenticates a message before it promises its size. */
void imap_mail_seal_fetch_init(void);
void imap_mail_seal_fetch_deinit(void);

#endif
