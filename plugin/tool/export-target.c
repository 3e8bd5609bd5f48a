/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "hash.h"
#include "mkdir-parents.h"
#include "write-full.h"
#include "export-target.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Says what was exported there, and is locked while an export goes on. */
#define MARKER "mail-seal.export"
#define MARKER_TEXT "mail-seal export 1\nsource: "

enum tool_exit
export_target_fail(const struct export_target *target, const char *file,
		   const char *what)
{
	return tool_fail(TOOL_IO, target->path, "%s%s%s: %s: %m",
		target->folder == NULL ? "" : target->folder,
		target->folder == NULL || *target->folder == '\0' ? "" : "/",
		file, what);
}

/* Returns TRUE if there is nothing in it but "." and "..". */
static bool is_empty(const char *path)
{
	struct dirent *entry;
	unsigned int count = 0;
	DIR *dir = opendir(path);

	if (dir == NULL)
		return FALSE;
	while ((entry = readdir(dir)) != NULL)
		count++;
	(void)closedir(dir);
	return count <= 2;
}

static enum tool_exit
write_marker(struct export_target *target, const char *text)
{
	if (write_full(target->marker_fd, text, strlen(text)) < 0 ||
	    fsync(target->marker_fd) < 0)
		return export_target_fail(target, MARKER, "can't write");
	return TOOL_DONE;
}

static enum tool_exit
check_marker(struct export_target *target, const char *text)
{
	size_t size = strlen(text);
	char *found = t_malloc0(size + 2);
	ssize_t ret = pread(target->marker_fd, found, size + 1, 0);

	if (ret < 0)
		return export_target_fail(target, MARKER, "can't read");
	/* It was killed before it wrote the marker, or anything else. */
	if (ret == 0)
		return write_marker(target, text);
	if (strcmp(found, text) != 0) {
		return tool_fail(TOOL_USAGE, target->path, "it holds the "
			"export of another folder, as %s there tells: name "
			"another place", MARKER);
	}
	return TOOL_DONE;
}

static enum tool_exit
open_marker(struct export_target *target, const char *source)
{
	const char *text = t_strdup_printf(MARKER_TEXT"%s\n", source);
	const char *path = t_strdup_printf("%s/"MARKER, target->path);
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;

	if (is_empty(target->path))
		flags |= O_CREAT;
	target->marker_fd = open(path, flags, 0600);
	if (target->marker_fd == -1 && errno == ENOENT) {
		return tool_fail(TOOL_USAGE, target->path, "it isn't empty, "
				 "and no export was begun there: name another "
				 "place");
	}
	if (target->marker_fd == -1)
		return export_target_fail(target, MARKER, "can't open");
	if (flock(target->marker_fd, LOCK_EX | LOCK_NB) < 0) {
		return tool_fail(TOOL_IO, target->path,
				 "another export is writing there");
	}
	return check_marker(target, text);
}

enum tool_exit
export_target_open(const char *path, const char *source,
		   struct export_target **target_r)
{
	struct export_target *target;
	enum tool_exit ret;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return tool_fail(TOOL_IO, path, "can't make it: %m");
	target = i_new(struct export_target, 1);
	target->path = path;
	target->marker_fd = target->folder_fd = -1;
	target->pool = pool_alloconly_create("export names", 4096);
	ret = open_marker(target, source);
	if (ret == TOOL_DONE)
		*target_r = target;
	else
		export_target_close(&target);
	return ret;
}

void export_target_leave(struct export_target *target)
{
	export_target_discard_pending(target);
	if (hash_table_is_created(target->present))
		hash_table_destroy(&target->present);
	p_clear(target->pool);
	i_close_fd(&target->folder_fd);
	i_free(target->folder);
}

void export_target_close(struct export_target **_target)
{
	struct export_target *target = *_target;

	*_target = NULL;
	export_target_leave(target);
	pool_unref(&target->pool);
	i_close_fd(&target->marker_fd);
	i_free(target);
}

static void
remember(struct export_target *target, const char *dir, const char *name)
{
	const char *base = t_strcut(name, EXPORT_FLAGS_SEPARATOR);

	if (!hash_table_is_created(target->present)) {
		hash_table_create(&target->present, target->pool, 0,
				  str_hash, strcmp);
	}
	if (hash_table_lookup(target->present, base) == NULL) {
		hash_table_insert(target->present,
				  p_strdup(target->pool, base),
				  p_strconcat(target->pool, dir, "/", name,
					      NULL));
	}
}

/* See what an earlier run has written. */
static enum tool_exit
look_into(struct export_target *target, const char *name)
{
	struct dirent *entry;
	DIR *dir;
	int fd;

	fd = openat(target->folder_fd, name,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd == -1 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		i_close_fd(&fd);
		return export_target_fail(target, name, "can't read");
	}
	while ((entry = readdir(dir)) != NULL) T_BEGIN {
		if (*entry->d_name != '.')
			remember(target, name, entry->d_name);
	} T_END;
	(void)closedir(dir);
	return TOOL_DONE;
}

static enum tool_exit
make_folder(struct export_target *target, const char *path)
{
	static const char *const names[] = { "cur", "new", "tmp" };
	enum tool_exit ret;

	if (mkdir_parents(path, 0700) < 0 && errno != EEXIST)
		return export_target_fail(target, "", "can't make the folder");
	target->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->folder_fd == -1)
		return export_target_fail(target, "", "can't open the folder");
	for (unsigned int i = 0; i < N_ELEMENTS(names); i++) {
		if (mkdirat(target->folder_fd, names[i], 0700) == 0)
			continue;
		if (errno != EEXIST)
			return export_target_fail(target, names[i],
						  "can't make it");
		if (strcmp(names[i], "tmp") == 0) {
			export_target_clean(target);
			continue;
		}
		ret = look_into(target, names[i]);
		if (ret != TOOL_DONE)
			return ret;
	}
	return TOOL_DONE;
}

enum tool_exit
export_target_begin(struct export_target *target, const char *folder)
{
	const char *path = *folder == '\0' ? target->path :
		t_strdup_printf("%s/%s", target->path, folder);
	enum tool_exit ret;

	ret = export_target_end(target);
	if (ret != TOOL_DONE)
		return ret;
	target->folder = i_strdup(folder);
	ret = make_folder(target, path);
	/* By this other programs know a folder of Maildir++. */
	if (ret == TOOL_DONE && *folder == '.')
		ret = export_target_write(target, "maildirfolder", "", 0);
	return ret;
}

enum tool_exit
export_target_find(struct export_target *target,
		   const struct export_message *message, bool *found_r)
{
	const char *place = export_target_place(message), *found = NULL;

	if (hash_table_is_created(target->present)) {
		found = hash_table_lookup(target->present,
			t_strcut(message->file, EXPORT_FLAGS_SEPARATOR));
	}
	*found_r = found != NULL;
	if (found == NULL || strcmp(found, place) == 0)
		return TOOL_DONE;
	if (renameat(target->folder_fd, found, target->folder_fd, place) < 0)
		return export_target_fail(target, found,
					  "can't rename it to its new flags");
	return TOOL_DONE;
}
