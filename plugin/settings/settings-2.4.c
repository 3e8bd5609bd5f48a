/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "settings.h"
#include "settings-parser.h"
#include "array.h"
#include "dict.h"
#include "mail-user.h"
#include "settings/mail-seal-settings.h"
#include "settings-2.4.h"

struct parsed_settings {
	pool_t pool;
	struct mail_seal_settings_text text;
};

static bool
check_settings(void *_set, pool_t pool ATTR_UNUSED, const char **error_r)
{
	struct parsed_settings *parsed = _set;
	struct mail_seal_settings_text text = parsed->text;
	struct mail_seal_settings set;

	/* The config process doesn't know yet what %{variables} stand for. */
	if (text.keyring == set_value_unknown)
		text.keyring = "/";
	if (text.escrow_recipients == set_value_unknown)
		text.escrow_recipients = "";
	return mail_seal_settings_parse(&text, &set, error_r) == 0;
}

#define DEF(name) \
	{ .type = SET_STR, .key = "mail_seal_"#name, \
	  .offset = offsetof(struct parsed_settings, text.name) }

static const struct setting_define setting_defines[] = {
	{ .type = SET_FILTER_NAME, .key = MAIL_SEAL_SETTINGS_FILTER,
	  .required_setting = "dict" },
	DEF(keyring),
	DEF(enroll),
	DEF(save),
	DEF(unenrolled),
	DEF(argon2_memory),
	DEF(argon2_passes),
	DEF(escrow_recipients),
	DEF(unlock_fd),
	SETTING_DEFINE_LIST_END
};

static const struct parsed_settings default_settings = {
	.text = MAIL_SEAL_SETTINGS_DEFAULTS,
};

const struct setting_parser_info mail_seal_setting_parser_info = {
	.name = "mail_seal",
	.plugin_dependency = "lib10_mail_seal_plugin",
	.defines = setting_defines,
	.defaults = &default_settings,
	.struct_size = sizeof(struct parsed_settings),
	.pool_offset1 = 1 + offsetof(struct parsed_settings, pool),
	.check_func = check_settings,
};

static int
get_parsed(struct mail_user *user, struct event *event,
	   struct mail_seal_settings *set_r, const char **error_r)
{
	const struct parsed_settings *parsed;
	int ret;

	if (settings_get(event, &mail_seal_setting_parser_info, 0,
			 &parsed, error_r) < 0)
		return -1;
	ret = mail_seal_settings_parse(&parsed->text, set_r, error_r);
	set_r->keyring = p_strdup(user->pool, parsed->text.keyring);
	settings_free(parsed);
	return ret;
}

int mail_seal_settings_get_unlock_fd(struct event *event)
{
	const struct parsed_settings *parsed;
	const char *error;
	int fd;

	if (settings_get(event, &mail_seal_setting_parser_info,
			 SETTINGS_GET_FLAG_NO_CHECK |
			 SETTINGS_GET_FLAG_NO_EXPAND, &parsed, &error) < 0)
		return -1;
	if (str_to_int(parsed->text.unlock_fd, &fd) < 0)
		fd = -1;
	settings_free(parsed);
	return fd;
}

static int
get_dict(struct mail_user *user, struct event *event, const char **dict_r,
	 const char **error_r)
{
	const struct dict_settings *set;

	if (settings_get(event, &dict_setting_parser_info, 0, &set,
			 error_r) < 0)
		return -1;
	*dict_r = array_is_empty(&set->dicts) ? NULL :
		p_strdup(user->pool, array_idx_elem(&set->dicts, 0));
	settings_free(set);
	return 0;
}

int mail_seal_settings_get(struct mail_user *user,
			   struct mail_seal_settings *set_r,
			   const char **error_r)
{
	struct event *event = event_create(user->event);
	int ret;

	settings_event_add_filter_name(event, MAIL_SEAL_SETTINGS_FILTER);
	ret = get_parsed(user, event, set_r, error_r);
	if (ret == 0)
		ret = get_dict(user, event, &set_r->dict, error_r);
	event_unref(&event);
	return ret;
}
