/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MODULE_MAIL_SEAL_PLUGIN_H
#define PLUGIN_MODULE_MAIL_SEAL_PLUGIN_H

struct module;

/* Dovecot finds these three by name when it loads the module. */
extern const char *mail_seal_plugin_version;
void mail_seal_plugin_init(struct module *module);
void mail_seal_plugin_deinit(void);

#endif
