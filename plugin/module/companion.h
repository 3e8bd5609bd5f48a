/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MODULE_COMPANION_H
#define PLUGIN_MODULE_COMPANION_H

/* The modules for imap and pop3 sessions (lib11_*_mail_seal_plugin.so). They
   lie beside this one and are loaded by it in the processes that they are for,
   so that mail_seal alone needs to be named in mail_plugins. Naming them there
   as well does no harm. */

struct module;

/* Load and initialise the companion of this process, if there is one for it.
   A companion that is missing or was built for another Dovecot is logged. */
void companion_init(const struct module *module);
void companion_deinit(void);

#endif
