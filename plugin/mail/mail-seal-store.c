/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#if DOVECOT_PREREQ(2, 4, 0)
#  include "settings.h"
#endif
#include "keyring/store.h"
#include "mail-seal-private.h"

/* Where a user's keyring is kept: in a file, or in a dict if one is set. Every
   process with mail users has registered the drivers of dicts. */

/* NULL if it is below a home that there isn't. */
static const char *file_path(struct mail_user *user, const char *path)
{
	const char *home;

	if (path[0] != '~')
		return path;
	return mail_user_get_home(user, &home) <= 0 ? NULL :
		mail_user_home_expand(user, path);
}

static struct keyring_store *
file_store(struct mail_user *user, const char *setting, const char **error_r)
{
	const char *path = file_path(user, setting);

	if (path != NULL)
		return keyring_store_file_init(path);
	*error_r = t_strdup_printf("the user has no home directory for "
		"mail_seal_keyring = %s: let the userdb return one, or set an "
		"absolute path", setting);
	return NULL;
}

static struct event *dict_event(struct mail_user *user)
{
	struct event *event = event_create(user->event);

#if DOVECOT_PREREQ(2, 4, 0)
	settings_event_add_filter_name(event, MAIL_SEAL_SETTINGS_FILTER);
#endif
	return event;
}

static struct keyring_store *
dict_store(struct mail_user *user, const char *uri, const char **error_r)
{
	struct event *event = dict_event(user);
	const struct keyring_dict_settings set = {
		.uri = uri,
		.event = event,
		.username = user->username,
		.base_dir = user->set->base_dir,
	};
	struct keyring_store *store;
	const char *error;

	if (keyring_store_dict_init(&set, &store, &error) < 0) {
		*error_r = t_strdup_printf("cannot use the dict of "
			MAIL_SEAL_SETTINGS_DICT": %s", error);
		store = NULL;
	}
	event_unref(&event);
	return store;
}

/* The dict, and in it what was in the file. */
static struct keyring_store *
dict_store_filled(struct mail_user *user, struct mail_seal_user *suser,
		  const char **error_r)
{
	const char *path = file_path(user, suser->set.keyring);
	struct keyring_store *store = dict_store(user, suser->set.dict,
						 error_r);

	if (store != NULL && path != NULL &&
	    mail_seal_move_keyring(user, store, path, error_r) < 0)
		keyring_store_deinit(&store);
	return store;
}

struct keyring_store *
mail_seal_keyring_store(struct mail_user *user, struct mail_seal_user *suser,
			const char **error_r)
{
	return suser->set.dict != NULL ?
		dict_store_filled(user, suser, error_r) :
		file_store(user, suser->set.keyring, error_r);
}
