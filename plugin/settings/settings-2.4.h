/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_SETTINGS_2_4_H
#define PLUGIN_SETTINGS_2_4_H

/* How Dovecot 2.4's parser knows the settings: all are texts here and are
   checked by mail_seal_settings_parse(). Shared by the plugin and by the
   module that Dovecot's config process loads. */

extern const struct setting_parser_info mail_seal_setting_parser_info;

#endif
