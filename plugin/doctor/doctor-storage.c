/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "doctor-private.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Where messages, and what Dovecot makes of them, are stored. */

static const char *const good_drivers[] = {
	"maildir", "sdbox", "mdbox", "virtual", "fail", NULL
};

#if DOVECOT_PREREQ(2, 4, 0)
#  define PASTE_DRIVER "mail_driver = maildir\nmail_path = ~/Maildir"
#  define PASTE_OWN "  mail_driver = maildir\n  mail_path = ~/Maildir"
#  define DRIVER_SETTING "mail_driver"
#  define DRIVER_SETTING_FOR_ALL "mail_driver"

static const char *driver_in(const char *driver)
{
	return strcmp(driver, "auto") == 0 ? "" : driver;
}
#else
#  define PASTE_DRIVER "mail_location = maildir:~/Maildir"
#  define PASTE_OWN "  location = maildir:~/Maildir"
#  define DRIVER_SETTING "location"
#  define DRIVER_SETTING_FOR_ALL "mail_location"

/* Of "maildir:~/Maildir". */
static const char *driver_in(const char *location)
{
	size_t size = strspn(location, "abcdefghijklmnopqrstuvwxyz0123456789");

	return location[size] != ':' ? "" : t_strndup(location, size);
}
#endif

/* Of a namespace, or for all; "" if Dovecot guesses. */
static const char *
driver_of(struct doctor *doctor, const struct doctor_section *namespace)
{
	const char *value = doctor_section_str(namespace, DRIVER_SETTING);

	if (*value == '\0') {
		value = doctor_conf_get(doctor->conf, NULL,
					DRIVER_SETTING_FOR_ALL);
	}
	return driver_in(value);
}

static void
paste_driver(struct doctor *doctor, const struct doctor_setting *namespace)
{
	if (namespace == NULL ||
	    *doctor_section_str(namespace->section, DRIVER_SETTING) == '\0')
		doctor_paste(doctor, PASTE_DRIVER);
	else {
		doctor_paste(doctor, "namespace %s {\n"PASTE_OWN"\n}",
			     namespace->value);
	}
}

/* Returns FALSE if something was found. namespace may be NULL. */
static bool
check_driver(struct doctor *doctor, const struct doctor_setting *namespace)
{
	const char *name = namespace == NULL ? "inbox" : namespace->value;
	const char *driver = driver_of(doctor, namespace == NULL ? NULL :
				       namespace->section);

	if (str_array_find(good_drivers, driver))
		return TRUE;
	if (*driver == '\0') {
		doctor_say(doctor, DOCTOR_WARNING, "storage",
			   "namespace %s names no storage format, and Dovecot "
			   "guesses, which may be mbox. Expected maildir, "
			   "sdbox or mdbox, for instance", name);
	} else {
		doctor_say(doctor, DOCTOR_ERROR, "storage",
			   "namespace %s is %s, which can't hold sealed mail. "
			   "Expected maildir, sdbox or mdbox (convert with "
			   "doveadm sync), for instance", name, driver);
	}
	paste_driver(doctor, namespace);
	return FALSE;
}

static bool check_namespaces(struct doctor *doctor)
{
	const struct doctor_setting *namespace;
	unsigned int idx = 0, count = 0;
	bool ok = TRUE;

	while ((namespace = doctor_section_next(&doctor->conf->root,
						"namespace", &idx)) != NULL) {
		if (doctor_is_yes(doctor_section_str(namespace->section,
						     "disabled")))
			continue;
		count++;
		if (!check_driver(doctor, namespace))
			ok = FALSE;
	}
	return count == 0 ? check_driver(doctor, NULL) : ok;
}

static bool check_attachments(struct doctor *doctor)
{
	const char *dir = doctor_conf_get(doctor->conf, NULL,
					  DOCTOR_ATTACHMENT_SETTING);

	if (*dir == '\0')
		return TRUE;
	doctor_say(doctor, DOCTOR_ERROR, "storage",
		   DOCTOR_ATTACHMENT_SETTING" = %s keeps attachments outside "
		   "of the sealed messages, so that mail_seal doesn't start. "
		   "Expected nothing", doctor_shown(dir));
	doctor_paste(doctor, DOCTOR_ATTACHMENT_SETTING" =");
	return FALSE;
}

void doctor_check_storage(struct doctor *doctor)
{
	bool ok = check_namespaces(doctor);

	ok = check_attachments(doctor) && ok;
	if (ok) {
		doctor_say(doctor, DOCTOR_OK, "storage",
			   "formats that hold sealed mail, and no attachments "
			   "beside it");
	}
}

#if DOVECOT_PREREQ(2, 4, 0)
/* The default, imap.envelope, isn't shown by doveconf and has to go. */
static void
paste_never_cache(struct doctor *doctor, const char *const *fields)
{
	string_t *lines = t_str_new(64);

	for (; *fields != NULL; fields++) {
		if (strcmp(*fields, "*") != 0 &&
		    strcmp(*fields, "imap.envelope") != 0)
			str_printfa(lines, "  %s = no\n", *fields);
	}
	doctor_paste(doctor, "mail_never_cache_fields {\n"
		     "  imap.envelope = no\n%s  * = yes\n}", str_c(lines));
}
#else
static void
paste_never_cache(struct doctor *doctor, const char *const *fields ATTR_UNUSED)
{
	doctor_paste(doctor, "mail_never_cache_fields = *");
}
#endif

static bool is_star(const char *const *fields)
{
	return fields[0] != NULL && strcmp(fields[0], "*") == 0 &&
		fields[1] == NULL;
}

/* Returns FALSE if something was found; service may be NULL. */
static bool check_never_cache(struct doctor *doctor, const char *service)
{
	const char *const *fields = doctor_conf_list(
		doctor->conf, service, "mail_never_cache_fields");

	if (is_star(fields))
		return TRUE;
	doctor_say(doctor, DOCTOR_ERROR, "cache",
		   "mail_never_cache_fields is '%s'%s%s: subjects and "
		   "addresses would go into Dovecot's index cache in clear text, and "
		   "mail_seal doesn't start. Expected '*' alone",
		   doctor_shown(t_strarray_join(fields, " ")),
		   service == NULL ? "" : " in protocol ",
		   service == NULL ? "" : service);
	if (service != NULL)
		doctor_paste(doctor, "protocol %s {", service);
	paste_never_cache(doctor, fields);
	if (service != NULL)
		doctor_paste(doctor, "}");
	return FALSE;
}

void doctor_check_cache(struct doctor *doctor)
{
	const char *const *services = doctor_mail_services(doctor);
	bool ok = check_never_cache(doctor, NULL);

	for (; *services != NULL; services++) {
		if (doctor_conf_list_is_own(doctor->conf, *services,
					    "mail_never_cache_fields", "*") &&
		    !check_never_cache(doctor, *services))
			ok = FALSE;
	}
	if (ok) {
		doctor_say(doctor, DOCTOR_OK, "cache",
			   "mail_never_cache_fields is *");
	}
}

static bool is_in_memory(const struct statfs *fs)
{
	return fs->f_type == TMPFS_MAGIC || fs->f_type == RAMFS_MAGIC;
}

static void paste_temp_dir(struct doctor *doctor)
{
	doctor_paste(doctor, "mail_temp_dir = /dev/shm");
}

/* Returns FALSE if something was found. */
static bool check_temp_place(struct doctor *doctor, const char *dir)
{
	struct statfs fs;

	if (statfs(dir, &fs) < 0) {
		doctor_say(doctor, DOCTOR_ERROR, "temp-dir",
			   "mail_temp_dir = %s: %m. Expected a folder on a "
			   "tmpfs, for instance", doctor_shown(dir));
		paste_temp_dir(doctor);
		return FALSE;
	}
	if (is_in_memory(&fs))
		return TRUE;
	doctor_say(doctor, DOCTOR_WARNING, "temp-dir",
		   "mail_temp_dir = %s is on a disk, and Dovecot writes large "
		   "messages there in clear text. Expected a folder on a "
		   "tmpfs, for instance", doctor_shown(dir));
	paste_temp_dir(doctor);
	return FALSE;
}

/* Returns FALSE if something was found. */
static bool check_temp_mode(struct doctor *doctor, const char *dir)
{
	struct stat st;

	if (stat(dir, &st) < 0 || (st.st_mode & 01777) == 01777)
		return TRUE;
	/* A folder of the mail users' own, which can't be told from here. */
	if ((st.st_mode & S_IWOTH) == 0 && st.st_uid != 0)
		return TRUE;
	doctor_say(doctor, DOCTOR_WARNING, "temp-dir",
		   "mail_temp_dir = %s has mode %04o. Expected 1777: that all "
		   "mail users can write there, and none can remove files of "
		   "another. As root:", doctor_shown(dir),
		   (unsigned int)st.st_mode & 07777);
	doctor_paste(doctor, "chmod 1777 %s", dir);
	return FALSE;
}

void doctor_check_temp_dir(struct doctor *doctor)
{
	const char *dir = doctor_conf_get(doctor->conf, NULL, "mail_temp_dir");
	bool ok = check_temp_place(doctor, dir);

	ok = check_temp_mode(doctor, dir) && ok;
	if (ok) {
		doctor_say(doctor, DOCTOR_OK, "temp-dir",
			   "mail_temp_dir = %s is in memory", dir);
	}
	if (doctor_swap_is_clear()) {
		doctor_say(doctor, DOCTOR_NOTE, "temp-dir",
			   "swap is on and not encrypted: what is in memory "
			   "may come onto that disk in clear text");
	}
}
