/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "export.h"

#include <dirent.h>
#include <sys/stat.h>

/* A Maildir: folders are .A.B in the root (Maildir++), or A/B (Dovecot's
   layout=fs). They are kept as they are. */

/* Files of Dovecot's that mean the same in the copy: names of keywords, UIDs,
   what is subscribed to. */
static const char *const control_files[] = {
	"dovecot-keywords", "dovecot-uidlist", "subscriptions",
};

/* The folders from the root to this one: a symbolic link may lead back. */
struct ancestor {
	const struct ancestor *parent;
	dev_t dev;
	ino_t ino;
};

static const char *path_of(struct export *export, const char *folder)
{
	return *folder == '\0' ? export->source :
		t_strdup_printf("%s/%s", export->source, folder);
}

static enum tool_exit
export_name(struct export *export, int dir_fd, const char *dir,
	    const char *name, bool is_new)
{
	struct export_message message = {
		.name = t_strdup_printf("%s/%s", dir, name),
		.file = name,
		.is_new = is_new,
	};

	return export_file(export, dir_fd, name, &message);
}

/* Open a folder that may be missing. Returns NULL if it can't be read, which
   has been counted if it is there. */
static DIR *open_dir(struct export *export, const char *path)
{
	DIR *dir = opendir(path);

	if (dir == NULL && errno != ENOENT)
		export_fail(export, path, "can't read the folder: %m");
	return dir;
}

/* cur/ or new/ */
static enum tool_exit
export_messages(struct export *export, const char *path, bool is_new)
{
	enum tool_exit ret = TOOL_DONE;
	struct dirent *entry;
	DIR *dir;

	dir = open_dir(export, path);
	if (dir == NULL)
		return TOOL_DONE;
	while (ret == TOOL_DONE && (entry = readdir(dir)) != NULL) {
		if (*entry->d_name == '.')
			continue;
		T_BEGIN {
			ret = export_name(export, dirfd(dir), path,
					  entry->d_name, is_new);
		} T_END;
	}
	(void)closedir(dir);
	return ret;
}

static enum tool_exit
copy_control_files(struct export *export, const char *path)
{
	enum tool_exit ret = TOOL_DONE;

	for (unsigned int i = 0;
	     i < N_ELEMENTS(control_files) && ret == TOOL_DONE; i++) {
		ret = export_control_file(export,
			t_strdup_printf("%s/%s", path, control_files[i]),
			control_files[i]);
	}
	return ret;
}

static enum tool_exit
export_folder(struct export *export, const char *folder)
{
	const char *path = path_of(export, folder);
	enum tool_exit ret = TOOL_DONE;

	export->counts.folders++;
	if (export->target != NULL)
		ret = export_target_begin(export->target, folder);
	if (ret == TOOL_DONE) {
		ret = export_messages(export, t_strconcat(path, "/new", NULL),
				      TRUE);
	}
	if (ret == TOOL_DONE) {
		ret = export_messages(export, t_strconcat(path, "/cur", NULL),
				      FALSE);
	}
	if (ret == TOOL_DONE)
		ret = copy_control_files(export, path);
	return ret;
}

static bool is_own(const char *name)
{
	static const char *const names[] = { ".", "..", "cur", "new", "tmp" };

	for (unsigned int i = 0; i < N_ELEMENTS(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return TRUE;
	}
	return FALSE;
}

static bool exists(const char *path)
{
	struct stat st;

	/* If it can't be read, that is told later. */
	return stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static bool is_folder(struct export *export, const char *folder)
{
	const char *path = path_of(export, folder);

	return exists(t_strconcat(path, "/cur", NULL)) ||
		exists(t_strconcat(path, "/new", NULL));
}

static bool is_ancestor(const struct ancestor *ancestor, const struct stat *st)
{
	for (; ancestor != NULL; ancestor = ancestor->parent) {
		if (ancestor->dev == st->st_dev && ancestor->ino == st->st_ino)
			return TRUE;
	}
	return FALSE;
}

static enum tool_exit
export_below(struct export *export, const char *folder,
	     const struct ancestor *parent);

/* An entry of a folder, which may be a folder below it. */
static enum tool_exit
export_entry(struct export *export, const char *folder,
	     const struct ancestor *parent)
{
	struct ancestor ancestor = { .parent = parent };
	enum tool_exit ret = TOOL_DONE;
	struct stat st;

	if (stat(path_of(export, folder), &st) < 0 || !S_ISDIR(st.st_mode) ||
	    is_ancestor(parent, &st))
		return TOOL_DONE;
	ancestor.dev = st.st_dev;
	ancestor.ino = st.st_ino;
	if (is_folder(export, folder))
		ret = export_folder(export, folder);
	return ret != TOOL_DONE ? ret :
		export_below(export, folder, &ancestor);
}

static enum tool_exit
export_below(struct export *export, const char *folder,
	     const struct ancestor *parent)
{
	enum tool_exit ret = TOOL_DONE;
	struct dirent *entry;
	DIR *dir;

	dir = open_dir(export, path_of(export, folder));
	if (dir == NULL)
		return TOOL_DONE;
	while (ret == TOOL_DONE && (entry = readdir(dir)) != NULL) {
		/* Only the root has folders whose name begins with a dot. */
		if (is_own(entry->d_name) ||
		    (*entry->d_name == '.' && *folder != '\0'))
			continue;
		T_BEGIN {
			ret = export_entry(export, *folder == '\0' ?
				entry->d_name :
				t_strdup_printf("%s/%s", folder,
						entry->d_name), parent);
		} T_END;
	}
	(void)closedir(dir);
	return ret;
}

enum tool_exit export_maildir(struct export *export)
{
	struct ancestor root = { .parent = NULL };
	enum tool_exit ret;
	struct stat st;

	if (stat(export->source, &st) < 0)
		return tool_fail(TOOL_IO, export->source, "can't read it: %m");
	root.dev = st.st_dev;
	root.ino = st.st_ino;
	ret = export_folder(export, "");
	return ret != TOOL_DONE ? ret : export_below(export, "", &root);
}
