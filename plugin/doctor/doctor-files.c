/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "strnum.h"
#include "doctor-private.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

/* Keyrings: the folder or the dict that they are in, and who gets at it. */

static void paste_keyring(struct doctor *doctor, const char *dir)
{
	doctor_paste_plugin(doctor, "mail_seal_keyring",
			    t_strconcat(dir, "/"DOCTOR_USER_VARIABLE
					".keyring", NULL));
}

/* What stands before the first variable, without a slash at its end: "" for the
   root, NULL if there is nothing. */
static const char *fixed_folder(const char *path)
{
	const char *fixed = t_strcut(path, '%'), *slash = strrchr(fixed, '/');

	if (*path != '/' || slash == NULL)
		return NULL;
	return t_strdup_until(fixed, slash);
}

static void check_folder(struct doctor *doctor, const char *dir)
{
	struct stat st;

	if (stat(dir, &st) < 0) {
		doctor_say(doctor, errno == ENOENT ? DOCTOR_ERROR :
			   DOCTOR_NOTE, "keyring", "mail_seal_keyring: %s: %m. "
			   "Expected a folder that mail users can write to. As "
			   "root, if they are all vmail:", dir);
		if (errno == ENOENT) {
			doctor_paste(doctor, "install -d -o vmail -g vmail "
				     "-m 0700 %s", dir);
		}
		return;
	}
	if ((st.st_mode & (S_IROTH | S_IWOTH)) == 0) {
		doctor_say(doctor, DOCTOR_OK, "keyring",
			   "mail_seal_keyring is in %s, closed to others", dir);
		return;
	}
	doctor_say(doctor, DOCTOR_WARNING, "keyring",
		   "%s, where keyrings are, has mode %04o and is open to "
		   "others, who could try passwords on keyrings that they "
		   "copy. Expected no permission for others. As root:", dir,
		   (unsigned int)st.st_mode & 07777);
	doctor_paste(doctor, "chmod o-rwx %s", dir);
}

void doctor_check_keyring(struct doctor *doctor)
{
	const char *path = doctor_conf_get_plugin(doctor->conf, NULL,
						  "mail_seal_keyring");
	const char *dir = fixed_folder(path);

	if (dir == NULL || *dir == '\0') {
		doctor_say(doctor, DOCTOR_OK, "keyring", "keyrings are in the "
			   "homes of their users");
	} else if (strchr(path, '%') == NULL) {
		doctor_say(doctor, DOCTOR_ERROR, "keyring",
			   "mail_seal_keyring = %s is one file for all users. "
			   "Expected the name of the user in it, for instance",
			   doctor_shown(path));
		paste_keyring(doctor, dir);
	} else {
		check_folder(doctor, dir);
	}
}

#if DOVECOT_PREREQ(2, 4, 0)
/* The name of the dict behind the proxy, NULL if keyrings aren't there. */
static const char *proxied_dict(struct doctor *doctor)
{
	const struct doctor_section *ours =
		doctor_section_find(&doctor->conf->root, "mail_seal", "");
	const struct doctor_section *proxy = ours == NULL ? NULL :
		doctor_section_find(ours, "dict", "proxy");
	const char *name = NULL;

	if (proxy == NULL)
		return NULL;
	name = doctor_section_get(proxy, "proxy_name");
	if (name == NULL)
		name = doctor_section_get(proxy, "dict_proxy_name");
	if (name == NULL)
		name = doctor_section_get(proxy, "name");
	return name == NULL ? "" : name;
}

static bool has_dict(struct doctor *doctor, const char *name)
{
	const struct doctor_section *server =
		doctor_section_find(&doctor->conf->root, "dict_server", "");

	return server != NULL &&
		doctor_section_find(server, "dict", name) != NULL;
}

#  define DICT_PLACE "dict_server { dict %s { } }"

/* Its password, if it has one, is in the configuration itself. */
static const char *
dict_file(struct doctor *doctor ATTR_UNUSED, const char *name ATTR_UNUSED)
{
	return NULL;
}
#else
static const char *proxied_dict(struct doctor *doctor)
{
	const char *uri = doctor_conf_get_plugin(doctor->conf, NULL,
						 "mail_seal_dict");
	const char *name;

	/* "proxy:SOCKET:NAME" */
	uri = doctor_after(uri, "proxy:");
	if (uri == NULL)
		return NULL;
	name = strchr(uri, ':');
	return name == NULL ? uri : name + 1;
}

static const char *dict_uri(struct doctor *doctor, const char *name)
{
	const struct doctor_section *dicts =
		doctor_section_find(&doctor->conf->root, "dict", "");

	return dicts == NULL ? NULL : doctor_section_get(dicts, name);
}

static bool has_dict(struct doctor *doctor, const char *name)
{
	return dict_uri(doctor, name) != NULL;
}

#  define DICT_PLACE "dict { %s = ... }"

/* "pgsql:/etc/dovecot/dict.conf", in which there is a password */
static const char *dict_file(struct doctor *doctor, const char *name)
{
	const char *file = strchr(dict_uri(doctor, name), ':');

	return file == NULL || file[1] != '/' ? NULL : file + 1;
}
#endif

static bool check_dict_file(struct doctor *doctor, const char *path)
{
	struct stat st;

	if (path == NULL)
		return TRUE;
	if (stat(path, &st) < 0) {
		doctor_say(doctor, errno == ENOENT ? DOCTOR_ERROR :
			   DOCTOR_NOTE, "dict", "%s: %m. Expected the file "
			   "that says how to reach the database", path);
		return FALSE;
	}
	if ((st.st_mode & S_IROTH) == 0)
		return TRUE;
	doctor_say(doctor, DOCTOR_WARNING, "dict", "%s has mode %04o: all can "
		   "read the password of the database with the keyrings. "
		   "Expected 0640. As root:", path,
		   (unsigned int)st.st_mode & 07777);
	doctor_paste(doctor, "chmod o-rwx %s", path);
	return FALSE;
}

static const char *listener_get(struct doctor *doctor, const char *name)
{
	const struct doctor_section *section =
		doctor_section_find(&doctor->conf->root, "service", "dict");
	const char *value = NULL;

	if (section != NULL)
		section = doctor_section_find(section, "unix_listener", "dict");
	if (section != NULL)
		value = doctor_section_get(section, name);
	return value == NULL ? "" : value;
}

static bool group_is(const char *name, const char *wanted)
{
	const struct group *group = getgrnam(wanted);
	const struct passwd *user;

	if (*name == '\0' || *wanted == '\0' || *wanted == '$')
		return FALSE;
	if (strcmp(name, wanted) == 0)
		return TRUE;
	if (group == NULL)
		return FALSE;
	user = getpwnam(name);
	return strcmp(dec2str(group->gr_gid), name) == 0 ||
		(user != NULL && user->pw_gid == group->gr_gid) ||
		str_array_find((const char *const *)group->gr_mem, name);
}

/* Whether the processes of mail users can connect to the dict's socket: -1 if
   it can't be told. */
static int is_reachable(struct doctor *doctor)
{
	const char *uid = doctor_conf_get(doctor->conf, NULL, "mail_uid");
	const char *gid = doctor_conf_get(doctor->conf, NULL, "mail_gid");
	const char *group = listener_get(doctor, "group");
	const char *text = listener_get(doctor, "mode");
	unsigned int mode = 0660;

	if (*text != '\0' && str_to_uint_oct(text, &mode) < 0)
		return -1;
	if ((mode & S_IWOTH) != 0)
		return 1;
	if ((mode & S_IWUSR) != 0 && *uid != '\0' &&
	    strcmp(listener_get(doctor, "user"), uid) == 0)
		return 1;
	if ((mode & S_IWGRP) != 0 &&
	    (group_is(gid, group) || group_is(uid, group) ||
	     str_array_find(doctor_conf_list(doctor->conf, NULL,
					     "mail_access_groups"), group)))
		return 1;
	return *uid == '\0' ? -1 : 0;
}

static bool check_listener(struct doctor *doctor)
{
	int reachable = is_reachable(doctor);
	const char *gid = doctor_conf_get(doctor->conf, NULL, "mail_gid");

	if (reachable > 0)
		return TRUE;
	doctor_say(doctor, reachable < 0 ? DOCTOR_NOTE : DOCTOR_ERROR, "dict",
		   "mail users %s connect to the socket of the dict proxy. "
		   "Expected their group, and mode 0660, for instance",
		   reachable < 0 ? "may not be able to" : "can't");
	doctor_paste(doctor, "service dict {\n  unix_listener dict {\n"
		     "    mode = 0660\n    group = %s\n  }\n}",
		     *gid == '\0' ? "vmail" : gid);
	return FALSE;
}

void doctor_check_dict(struct doctor *doctor)
{
	const char *name = proxied_dict(doctor);
	bool ok;

	if (name == NULL)
		return;
	if (!has_dict(doctor, name)) {
		doctor_say(doctor, DOCTOR_ERROR, "dict", "keyrings are to be "
			   "in the dict \"%s\", and there is no "DICT_PLACE
			   ". Expected one, see the README for SQL", name,
			   *name == '\0' ? "NAME" : name);
		return;
	}
	ok = check_dict_file(doctor, dict_file(doctor, name));
	ok = check_listener(doctor) && ok;
	if (ok) {
		doctor_say(doctor, DOCTOR_OK, "dict",
			   "the dict \"%s\" is there, and mail users can "
			   "connect to its proxy", name);
	}
}
