/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* for sync_file_range() */
#define _GNU_SOURCE
#include "lib.h"
#include "write-full.h"
#include "export-target.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files are written in tmp/, synced, and renamed to their places when they are
   whole. */

#define CONTROL_IDX EXPORT_PENDING_COUNT

static const char *temp_name(unsigned int idx)
{
	return t_strdup_printf("tmp/mail-seal.export.%u", idx);
}

const char *export_target_place(const struct export_message *message)
{
	return t_strdup_printf("%s/%s", message->is_new ? "new" : "cur",
			       message->file);
}

void export_target_clean(struct export_target *target)
{
	for (unsigned int i = 0; i <= CONTROL_IDX; i++) T_BEGIN {
		(void)unlinkat(target->folder_fd, temp_name(i), 0);
	} T_END;
}

static enum tool_exit
create(struct export_target *target, unsigned int idx, int *fd_r)
{
	const char *name = temp_name(idx);

	*fd_r = openat(target->folder_fd, name, O_WRONLY | O_CREAT |
		       O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *fd_r != -1 ? TOOL_DONE :
		export_target_fail(target, name, "can't create it");
}

static void discard(struct export_target *target, unsigned int idx, int fd)
{
	(void)unlinkat(target->folder_fd, temp_name(idx), 0);
	i_close_fd(&fd);
}

/* Sync, close and rename. */
static enum tool_exit
finish(struct export_target *target, unsigned int idx, int fd,
       const char *place)
{
	const char *name = temp_name(idx);
	int ret = fsync(fd);

	/* Some file systems say only now that the disk is full. */
	if (close(fd) < 0)
		ret = -1;
	if (ret == 0) {
		ret = renameat(target->folder_fd, name, target->folder_fd,
			       place);
	}
	if (ret == 0)
		return TOOL_DONE;
	(void)export_target_fail(target, place, "can't write it");
	(void)unlinkat(target->folder_fd, name, 0);
	return TOOL_IO;
}

static enum tool_exit finish_pending(struct export_target *target)
{
	enum tool_exit ret = TOOL_DONE;
	unsigned int i;

	/* With all blocks on the disk, the first fsync() is the only one that
	   has to wait for the journal. */
	for (i = 0; i < target->pending_count; i++) {
		(void)sync_file_range(target->pending[i].fd, 0, 0,
				      SYNC_FILE_RANGE_WAIT_BEFORE |
				      SYNC_FILE_RANGE_WRITE |
				      SYNC_FILE_RANGE_WAIT_AFTER);
	}
	for (i = 0; i < target->pending_count; i++) T_BEGIN {
		struct export_pending *pending = &target->pending[i];

		if (ret == TOOL_DONE)
			ret = finish(target, i, pending->fd, pending->place);
		else
			discard(target, i, pending->fd);
		i_free(pending->place);
	} T_END;
	target->pending_count = 0;
	return ret;
}

void export_target_discard_pending(struct export_target *target)
{
	for (unsigned int i = 0; i < target->pending_count; i++) T_BEGIN {
		discard(target, i, target->pending[i].fd);
		i_free(target->pending[i].place);
	} T_END;
	target->pending_count = 0;
}

enum tool_exit export_target_create(struct export_target *target, int *fd_r)
{
	return create(target, target->pending_count, fd_r);
}

enum tool_exit
export_target_commit(struct export_target *target, int fd,
		     const struct export_message *message)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT }, { .tv_sec = message->date }
	};
	struct export_pending *pending =
		&target->pending[target->pending_count++];

	/* Neither is worth failing for. */
	(void)futimens(fd, times);
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	pending->fd = fd;
	pending->place = i_strdup(export_target_place(message));
	return target->pending_count < EXPORT_PENDING_COUNT ? TOOL_DONE :
		finish_pending(target);
}

void export_target_discard(struct export_target *target, int fd)
{
	discard(target, target->pending_count, fd);
}

enum tool_exit
export_target_write(struct export_target *target, const char *name,
		    const void *data, size_t size)
{
	enum tool_exit ret;
	int fd;

	ret = create(target, CONTROL_IDX, &fd);
	if (ret != TOOL_DONE)
		return ret;
	if (write_full(fd, data, size) < 0) {
		ret = export_target_fail(target, name, "can't write it");
		discard(target, CONTROL_IDX, fd);
		return ret;
	}
	return finish(target, CONTROL_IDX, fd, name);
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
	enum tool_exit ret;

	if (target->folder_fd == -1)
		return TOOL_DONE;
	ret = finish_pending(target);
	if (ret == TOOL_DONE &&
	    (sync_dir(target->folder_fd, "cur") < 0 ||
	     sync_dir(target->folder_fd, "new") < 0 ||
	     sync_dir(target->folder_fd, "..") < 0 ||
	     fsync(target->folder_fd) < 0)) {
		ret = export_target_fail(target, "",
					 "can't sync the folder");
	}
	export_target_leave(target);
	return ret;
}
