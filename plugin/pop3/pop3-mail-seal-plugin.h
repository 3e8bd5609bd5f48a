/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_POP3_MAIL_SEAL_PLUGIN_H
#define PLUGIN_POP3_MAIL_SEAL_PLUGIN_H

struct module;

/* Dovecot finds these by name when it loads the module. */
extern const char *pop3_mail_seal_plugin_version;
extern const char *pop3_mail_seal_plugin_dependencies[];
void pop3_mail_seal_plugin_init(struct module *module);
void pop3_mail_seal_plugin_deinit(void);

#endif
