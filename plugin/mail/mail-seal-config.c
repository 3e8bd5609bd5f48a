/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "master-service.h"
#include "mail-namespace.h"
#include "mail-seal-private.h"

#if DOVECOT_PREREQ(2, 4, 0)
#  include "settings.h"
#endif

#include <linux/magic.h>
#include <sys/vfs.h>

/* What the settings of Dovecot itself must be, so that nothing of a message
   comes onto a disk beside its sealed file. */

#define stringify_1(name) #name
#define stringify(name) stringify_1(name)

#if DOVECOT_PREREQ(2, 4, 0)
#  define ATTACHMENT_SETTING mail_ext_attachment_path
/* The * must stand alone, and the default stays until it's told to go. Spelt so
   that it needs no braces, as a log line is one line. */
#  define NO_CACHE_LINES \
	"\"mail_never_cache_fields/imap.envelope = no\" and " \
	"\"mail_never_cache_fields/* = yes\""
#else
#  define ATTACHMENT_SETTING mail_attachment_dir
#  define NO_CACHE_LINES "\"mail_never_cache_fields = *\""
#endif

/* As index-storage.c asks before it lets no field into the cache, in whatever
   process. set_r is for the log. */
static bool is_caching_off(const struct mail_storage_settings *set,
			   const char **set_r)
{
#if DOVECOT_PREREQ(2, 4, 0)
	const char *const *fields =
		settings_boollist_get(&set->mail_never_cache_fields);

	*set_r = t_strarray_join(fields, " ");
	return str_array_find(fields, "*");
#else
	*set_r = set->mail_never_cache_fields;
	return strcmp(*set_r, "*") == 0;
#endif
}

const char *mail_seal_config_unfit(struct mail_namespace *ns)
{
	const char *fields;

	if (strcmp(ns->storage->name, "mbox") == 0) {
		return "mbox keeps all messages in one text file and cannot "
			"hold sealed ones: use maildir, sdbox or mdbox";
	}
	if (ns->storage->set->ATTACHMENT_SETTING[0] != '\0') {
		return stringify(ATTACHMENT_SETTING) " stores attachments "
			"outside their messages, where they are not sealed: "
			"remove the setting";
	}
	if (!is_caching_off(ns->storage->set, &fields)) {
		return t_strdup_printf("mail_never_cache_fields is '%s' "
			"instead of '*', and subjects and addresses would go "
			"into the index cache in clear text: set "
			NO_CACHE_LINES, fields);
	}
	return NULL;
}

#if DOVECOT_PREREQ(2, 4, 0)
static bool is_caching_off_for(struct event *event)
{
	const struct mail_storage_settings *set;
	const char *fields, *error;
	bool off;

	if (settings_get(event, &mail_storage_setting_parser_info,
			 SETTINGS_GET_FLAG_NO_CHECK |
			 SETTINGS_GET_FLAG_NO_EXPAND, &set, &error) < 0)
		return FALSE;
	T_BEGIN {
		off = is_caching_off(set, &fields);
	} T_END;
	settings_free(set);
	return off;
}

void mail_seal_config_mend(struct mail_user *user)
{
	struct settings_instance *instance =
		settings_instance_find(user->event);
	struct event *global = master_service_get_event(master_service);

	if (instance != NULL && !is_caching_off_for(user->event) &&
	    is_caching_off_for(global)) {
		settings_override(instance, "mail_never_cache_fields", "*",
				  SETTINGS_OVERRIDE_TYPE_CODE);
	}
}
#else
void mail_seal_config_mend(struct mail_user *user ATTR_UNUSED)
{
}
#endif

/* TRUE also for a folder that isn't there: nothing can be written to it. */
static bool is_in_memory(const char *folder)
{
	struct statfs fs;

	return statfs(folder, &fs) < 0 || fs.f_type == TMPFS_MAGIC ||
		fs.f_type == RAMFS_MAGIC;
}

void mail_seal_config_warn(struct mail_user *user)
{
	static bool warned = FALSE;
	const char *folder = user->set->mail_temp_dir;

	/* The log of doveadm's commands is the terminal. */
	if (warned || is_in_memory(folder) ||
	    strcmp(master_service_get_name(master_service), "doveadm") == 0)
		return;
	warned = TRUE;
	e_warning(user->event, "mail_seal: mail_temp_dir = %s is on a disk, "
		  "and Dovecot writes large messages there in clear text while "
		  "it handles them: set it to a folder on a tmpfs, for "
		  "instance mail_temp_dir = /dev/shm", folder);
}
