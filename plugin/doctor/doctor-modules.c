/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE /* memmem() */
#include "lib.h"
#include "str.h"
#include "doctor-private.h"

#include <ctype.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

/* The modules: are they all there, once, for this Dovecot, and root's alone? */

#define CHECK "modules"
/* Ours have some hundred kilobytes. */
#define MODULE_MAX_SIZE (64 * 1024 * 1024)

static const char *const modules[] = {
	"lib10_mail_seal_plugin.so",
	"lib11_imap_mail_seal_plugin.so",
	"lib11_pop3_mail_seal_plugin.so",
	"doveadm/lib10_doveadm_mail_seal_plugin.so",
#if DOVECOT_PREREQ(2, 4, 0)
	"settings/libmail_seal_settings.so",
#endif
};

/* Programs of Dovecot's that hold its ABI version. */
static const char *const programs[] = { "config", "auth", "pop3" };

static const char *get_module_dir(struct doctor *doctor)
{
	const char *dir = doctor->module_dir;

	if (dir == NULL && doctor->conf != NULL)
		dir = doctor_conf_get(doctor->conf, NULL, "mail_plugin_dir");
	return dir == NULL || *dir == '\0' ? MAIL_SEAL_MODULEDIR : dir;
}

/* "2.3.ABIv19(2.3.19.1)" or "2.4.ABIv1": what Dovecot compares ends before a
   parenthesis. */
static const char *abi_at(const char *text, const char *mark)
{
	const char *start = mark, *end = mark + strlen(".ABIv");

	while (start > text && (i_isdigit(start[-1]) || start[-1] == '.'))
		start--;
	while (i_isdigit(*end))
		end++;
	return t_strdup_until(start, end);
}

/* Returns NULL if the file has none or can't be read. */
static const char *find_abi(pool_t pool, const char *path)
{
	const char *abi = NULL, *text, *mark;
	size_t size;

	T_BEGIN {
		text = doctor_read_file(path, MODULE_MAX_SIZE, &size);
		mark = text == NULL ? NULL :
			memmem(text, size, ".ABIv", strlen(".ABIv"));
		if (mark != NULL)
			abi = p_strdup(pool, abi_at(text, mark));
	} T_END;
	return abi;
}

/* The ABI of the Dovecot that is installed, NULL if it can't be told. */
static const char *find_dovecot_abi(struct doctor *doctor)
{
	const char *abi = NULL, *dir = "";
	unsigned int i;

	if (doctor->conf != NULL)
		dir = doctor_conf_get(doctor->conf, NULL, "libexec_dir");
	if (*dir == '\0')
		dir = DOVECOT_LIBEXECDIR;
	for (i = 0; i < N_ELEMENTS(programs) && abi == NULL; i++) {
		abi = find_abi(doctor->pool, t_strdup_printf("%s/%s", dir,
							     programs[i]));
	}
	return abi;
}

static void say_not_roots(struct doctor *doctor, const char *path)
{
	doctor_say(doctor, DOCTOR_ERROR, CHECK, "%s can be written by others "
		   "than root, who could run what they like as any mail user: "
		   "expected owner root and no write permission for group and "
		   "others. As root:", path);
	doctor_paste(doctor, "chown root:root %s", path);
	doctor_paste(doctor, "chmod go-w %s", path);
}

/* Returns FALSE if something was found. */
static bool check_owner(struct doctor *doctor, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 ||
	    (st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0))
		return TRUE;
	say_not_roots(doctor, path);
	return FALSE;
}

static bool
check_module(struct doctor *doctor, const char *path, const char *dovecot_abi)
{
	const char *abi;

	if (access(path, R_OK) < 0) {
		doctor_say(doctor, errno == EACCES ? DOCTOR_NOTE :
			   DOCTOR_ERROR, CHECK, "%s: %m. Expected the module "
			   "there: install mail-seal for this Dovecot, or say "
			   "where the modules are by -m", path);
		return FALSE;
	}
	if (!check_owner(doctor, path))
		return FALSE;
	abi = find_abi(doctor->pool, path);
	if (abi != NULL && dovecot_abi != NULL &&
	    strcmp(abi, dovecot_abi) == 0)
		return TRUE;
	if (dovecot_abi == NULL)
		return TRUE;
	doctor_say(doctor, DOCTOR_ERROR, CHECK, "%s was built for %s, and "
		   "Dovecot is %s and will refuse it: build or install "
		   "mail-seal for this version", path,
		   abi == NULL ? "no version of Dovecot" : abi, dovecot_abi);
	return FALSE;
}

static bool is_known(const char *name)
{
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(modules); i++) {
		if (strcmp(modules[i], name) == 0)
			return TRUE;
	}
	return FALSE;
}

/* lib20_mail_seal_plugin.so, say, which is loaded as well. */
static bool is_copy(const char *name)
{
	size_t size = strlen(name), digits;

	if (!doctor_begins(name, "lib") || size < 3 ||
	    strcmp(name + size - 3, ".so") != 0 || is_known(name))
		return FALSE;
	digits = strspn(name + 3, "0123456789");
	name += 3 + digits;
	return doctor_begins(name, "_mail_seal_plugin") ||
		doctor_begins(name, "_imap_mail_seal_plugin") ||
		doctor_begins(name, "_pop3_mail_seal_plugin");
}

static bool check_copies(struct doctor *doctor, const char *dir)
{
	DIR *handle = opendir(dir);
	const struct dirent *entry;
	bool ok = TRUE;

	while (handle != NULL && (entry = readdir(handle)) != NULL) {
		if (!is_copy(entry->d_name))
			continue;
		doctor_say(doctor, DOCTOR_ERROR, CHECK, "%s/%s is a second "
			   "copy of a module, and Dovecot loads one of them: "
			   "remove it. As root:", dir, entry->d_name);
		doctor_paste(doctor, "rm %s/%s", dir, entry->d_name);
		ok = FALSE;
	}
	if (handle != NULL)
		(void)closedir(handle);
	return ok;
}

void doctor_check_modules(struct doctor *doctor)
{
	const char *dir = get_module_dir(doctor);
	const char *abi = find_dovecot_abi(doctor);
	bool ok = check_owner(doctor, dir);
	unsigned int i;

	ok = check_copies(doctor, dir) && ok;
	for (i = 0; i < N_ELEMENTS(modules); i++) {
		if (!check_module(doctor, t_strdup_printf("%s/%s", dir,
							  modules[i]), abi))
			ok = FALSE;
	}
	if (abi == NULL) {
		doctor_say(doctor, DOCTOR_NOTE, CHECK, "the ABI of the Dovecot "
			   "that is installed can't be told: that the modules "
			   "fit is not checked");
	} else if (ok) {
		doctor_say(doctor, DOCTOR_OK, CHECK, "%zu modules in %s, for "
			   "Dovecot's ABI %s", N_ELEMENTS(modules), dir, abi);
	}
}
