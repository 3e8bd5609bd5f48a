/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "hash.h"
#include "istream.h"
#include "mkdir-parents.h"
#include "write-full.h"
#include "export.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Says what was exported there, and is locked while an export goes on. */
#define MARKER "mail-seal.export"
#define MARKER_TEXT "mail-seal export 1\nsource: "
#define TEMP_FILE "tmp/mail-seal.export"

struct export_target {
	const char *path;
	int marker_fd;
	/* Of the folder now, -1 if there is none. */
	int folder_fd;
	char *folder;
	/* In folders that an earlier run left: the name without the flags, and
	   the path below the folder. */
	pool_t pool;
	HASH_TABLE(char *, char *) present;
};

static enum tool_exit
fail(const struct export_target *target, const char *file, const char *what)
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
		return fail(target, MARKER, "can't write");
	return TOOL_DONE;
}

static enum tool_exit
check_marker(struct export_target *target, const char *text)
{
	size_t size = strlen(text);
	char *found = t_malloc0(size + 2);
	ssize_t ret = pread(target->marker_fd, found, size + 1, 0);

	if (ret < 0)
		return fail(target, MARKER, "can't read");
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
		return fail(target, MARKER, "can't open");
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

static void end_folder(struct export_target *target)
{
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
	end_folder(target);
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
		return fail(target, name, "can't read");
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
		return fail(target, "", "can't make the folder");
	target->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->folder_fd == -1)
		return fail(target, "", "can't open the folder");
	for (unsigned int i = 0; i < N_ELEMENTS(names); i++) {
		if (mkdirat(target->folder_fd, names[i], 0700) == 0)
			continue;
		if (errno != EEXIST)
			return fail(target, names[i], "can't make it");
		ret = i == 2 ? TOOL_DONE : look_into(target, names[i]);
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

static int sync_dir(int dir_fd, const char *name)
{
	int fd, ret;

	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	ret = fsync(fd);
	i_close_fd(&fd);
	return ret;
}

enum tool_exit export_target_end(struct export_target *target)
{
	enum tool_exit ret = TOOL_DONE;

	if (target->folder_fd == -1)
		return TOOL_DONE;
	if (sync_dir(target->folder_fd, "cur") < 0 ||
	    sync_dir(target->folder_fd, "new") < 0 ||
	    sync_dir(target->folder_fd, "..") < 0 ||
	    fsync(target->folder_fd) < 0)
		ret = fail(target, "", "can't sync the folder");
	end_folder(target);
	return ret;
}

static const char *place_of(const struct export_message *message)
{
	return t_strdup_printf("%s/%s", message->is_new ? "new" : "cur",
			       message->file);
}

enum tool_exit
export_target_find(struct export_target *target,
		   const struct export_message *message, bool *found_r)
{
	const char *place = place_of(message), *found = NULL;

	if (hash_table_is_created(target->present)) {
		found = hash_table_lookup(target->present,
			t_strcut(message->file, EXPORT_FLAGS_SEPARATOR));
	}
	*found_r = found != NULL;
	if (found == NULL || strcmp(found, place) == 0)
		return TOOL_DONE;
	if (renameat(target->folder_fd, found, target->folder_fd, place) < 0)
		return fail(target, found, "can't rename it to its new flags");
	return TOOL_DONE;
}

enum tool_exit export_target_create(struct export_target *target, int *fd_r)
{
	*fd_r = openat(target->folder_fd, TEMP_FILE, O_WRONLY | O_CREAT |
		       O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd_r == -1)
		return fail(target, TEMP_FILE, "can't create it");
	return TOOL_DONE;
}

/* Returns 0, or -1 with errno set. */
static int finish_temp(struct export_target *target, int fd, const char *place)
{
	int ret = fsync(fd);

	/* Some file systems say only now that the disk is full. */
	if (close(fd) < 0)
		ret = -1;
	if (ret == 0) {
		ret = renameat(target->folder_fd, TEMP_FILE,
			       target->folder_fd, place);
	}
	if (ret < 0) {
		int saved_errno = errno;

		(void)unlinkat(target->folder_fd, TEMP_FILE, 0);
		errno = saved_errno;
	}
	return ret;
}

enum tool_exit
export_target_commit(struct export_target *target, int fd,
		     const struct export_message *message)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT }, { .tv_sec = message->date }
	};
	const char *place = place_of(message);

	/* Not worth failing for. */
	(void)futimens(fd, times);
	if (finish_temp(target, fd, place) < 0)
		return fail(target, place, "can't write it");
	return TOOL_DONE;
}

void export_target_discard(struct export_target *target, int fd)
{
	(void)unlinkat(target->folder_fd, TEMP_FILE, 0);
	i_close_fd(&fd);
}

enum tool_exit
export_target_write(struct export_target *target, const char *name,
		    const void *data, size_t size)
{
	enum tool_exit ret;
	int fd;

	ret = export_target_create(target, &fd);
	if (ret != TOOL_DONE)
		return ret;
	if (write_full(fd, data, size) < 0) {
		ret = fail(target, name, "can't write it");
		export_target_discard(target, fd);
		return ret;
	}
	return finish_temp(target, fd, name) < 0 ?
		fail(target, name, "can't write it") : TOOL_DONE;
}
