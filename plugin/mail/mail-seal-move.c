/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "str.h"
#include "keyring/store.h"
#include "mail-seal-private.h"

#include <stdio.h>

/* A site that begins to keep keyrings in a dict has users whose keyrings are in
   files. Were they not looked at, the next login would make another keyring,
   which doesn't open the mail that is there. So each is moved by whoever comes
   across it first, be it a delivery. The file stays under another name, as the
   administrator may have reason to go back. */

#define SUFFIX ".moved"

static bool same_keyring(const struct keyring *keyring1,
			 const struct keyring *keyring2)
{
	string_t *text1 = t_str_new(4096), *text2 = t_str_new(4096);

	keyring_write(keyring1, text1);
	keyring_write(keyring2, text2);
	return str_equals(text1, text2);
}

/* There is one in the dict. Returns 1 if it is the same one, 0 if not, -1 and
   error_r. */
static int
is_in_dict(struct keyring_store *dict, const struct keyring *keyring,
	   const char **error_r)
{
	struct keyring *found;
	int ret;

	ret = keyring_store_load(dict, &found, error_r);
	if (ret > 0) {
		ret = same_keyring(found, keyring) ? 1 : 0;
		keyring_free(&found);
	}
	return ret;
}

static void log_moved(struct mail_user *user, struct keyring_store *dict)
{
	const struct mail_seal_key_event_fields fields = {
		.action = "move",
		.keyring = keyring_store_name(dict),
	};

	mail_seal_user_key_event(user, MAIL_SEAL_EVENT_KEYRING_CHANGED,
				 &fields);
}

static void
set_aside(struct mail_user *user, struct keyring_store *dict, const char *path)
{
	const char *moved_path = t_strconcat(path, SUFFIX, NULL);

	/* another process may have been faster */
	if (rename(path, moved_path) < 0) {
		if (errno != ENOENT) {
			e_error(user->event, "mail_seal: rename(%s, %s) "
				"failed: %m", path, moved_path);
		}
		return;
	}
	e_info(user->event, "mail_seal: Moved keyring file %s to %s, and "
	       "renamed it to %s", path, keyring_store_name(dict), moved_path);
	log_moved(user, dict);
}

static int
move_keyring(struct mail_user *user, struct keyring_store *dict,
	     const char *path, const struct keyring *keyring,
	     const char **error_r)
{
	int ret;

	ret = keyring_store_create(dict, keyring, error_r);
	if (ret == 0)
		ret = is_in_dict(dict, keyring, error_r);
	if (ret < 0)
		return -1;
	if (ret > 0)
		set_aside(user, dict, path);
	else {
		e_warning(user->event, "mail_seal: keyring file %s is not "
			  "used: %s is another one", path,
			  keyring_store_name(dict));
	}
	return 0;
}

int mail_seal_move_keyring(struct mail_user *user, struct keyring_store *dict,
			   const char *path, const char **error_r)
{
	struct keyring_store *file = keyring_store_file_init(path);
	struct keyring *keyring;
	int ret;

	ret = keyring_store_load(file, &keyring, error_r);
	keyring_store_deinit(&file);
	if (ret > 0) {
		ret = move_keyring(user, dict, path, keyring, error_r);
		keyring_free(&keyring);
	}
	return ret < 0 ? -1 : 0;
}
