/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "hex-binary.h"
#include "randgen.h"
#include "rewrite-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/file.h>

/* Tries that it takes if others clean up just now. */
#define CREATE_TRIES 10

char *rewrite_temp_name(const char *dir, const char *prefix)
{
	unsigned char id[8];

	random_fill(id, sizeof(id));
	return i_strdup_printf("%s/%s%s", dir, prefix,
			       binary_to_hex(id, sizeof(id)));
}

/* A store that can't be written to now won't be for the next message. */
static bool is_fatal(int error)
{
	return error == EROFS || error == EACCES || error == EPERM;
}

/* Lock it. Returns FALSE if a cleanup was faster and has removed it. */
static bool lock_temp(int fd)
{
	struct stat st;

	/* Where there are no locks, there is no cleanup either. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return FALSE;
	return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

int rewrite_temp_create(struct rewrite_context *ctx, const char *dir,
			const char *prefix, struct rewrite_temp *temp_r,
			const char **error_r)
{
	unsigned int i;

	for (i = 0; i < CREATE_TRIES; i++) {
		temp_r->path = rewrite_temp_name(dir, prefix);
		temp_r->fd = open(temp_r->path, O_RDWR | O_CREAT | O_EXCL |
				  O_CLOEXEC, 0600);
		if (temp_r->fd == -1) {
			*error_r = t_strdup_printf("open(%s) failed: %m",
						   temp_r->path);
			if (is_fatal(errno) && ctx->fatal == NULL)
				ctx->fatal = i_strdup(*error_r);
			i_free(temp_r->path);
			return -1;
		}
		if (lock_temp(temp_r->fd))
			return 0;
		rewrite_temp_discard(temp_r);
	}
	*error_r = t_strdup_printf("temporary files in %s are removed by "
				   "another process", dir);
	return -1;
}

void rewrite_temp_discard(struct rewrite_temp *temp)
{
	if (temp->path == NULL)
		return;
	i_unlink_if_exists(temp->path);
	i_close_fd(&temp->fd);
	i_free(temp->path);
}

static void cleanup_file(const char *path)
{
	struct stat st, locked_st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd == -1)
		return;
	/* Locked by the process that writes it, or one that links to it. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &locked_st) == 0 &&
	    lstat(path, &st) == 0 && st.st_ino == locked_st.st_ino &&
	    st.st_dev == locked_st.st_dev)
		i_unlink_if_exists(path);
	i_close_fd(&fd);
}

void rewrite_temp_cleanup(const char *dir, const char *prefix)
{
	struct dirent *d;
	DIR *dirp = opendir(dir);

	if (dirp == NULL)
		return;
	while ((d = readdir(dirp)) != NULL) {
		if (strncmp(d->d_name, prefix, strlen(prefix)) != 0)
			continue;
		T_BEGIN {
			cleanup_file(t_strconcat(dir, "/", d->d_name, NULL));
		} T_END;
	}
	(void)closedir(dirp);
}

int rewrite_sync_dir(const char *dir, const char **error_r)
{
	int ret = 0, fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Then nothing is left that could be lost. */
	if (fd == -1 && errno == ENOENT)
		return 0;
	/* Some network filesystems can't: EINVAL. */
	if (fd == -1 || (fsync(fd) < 0 && errno != EINVAL)) {
		*error_r = t_strdup_printf("fsync(%s) failed: %m", dir);
		ret = -1;
	}
	i_close_fd(&fd);
	return ret;
}
