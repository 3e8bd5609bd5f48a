/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "settings-parser.h"
#include "settings-2.4.h"

/* modules/settings/libmail_seal_settings.so: by it Dovecot 2.4's config process
   learns which settings there are. Dovecot finds both symbols by name. */

extern const char *mail_seal_settings_version;
extern const struct setting_parser_info *mail_seal_settings_set_infos[];

const char *mail_seal_settings_version = DOVECOT_ABI_VERSION;
const struct setting_parser_info *mail_seal_settings_set_infos[] = {
	&mail_seal_setting_parser_info,
	NULL
};
