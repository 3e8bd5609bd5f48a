/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "store-file-private.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Changes are kept apart by flock() on a file beside the keyring, which the
   kernel releases when its holder dies. The file is removed by its holder, so
   whoever gets the lock looks whether it is still that file. */

#define LOCK_WAIT_USECS (10 * 1000)

static time_t now_secs(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		i_fatal("clock_gettime() failed: %m");
	return ts.tv_sec;
}

/* Returns 1 if it is still the file that was opened, 0 if not. */
static int lock_is_current(int fd, const char *lock_path, const char **error_r)
{
	struct stat st1, st2;

	if (fstat(fd, &st1) < 0)
		return store_file_error("fstat", lock_path, error_r);
	if (lstat(lock_path, &st2) < 0) {
		return errno == ENOENT || errno == ESTALE ? 0 :
			store_file_error("lstat", lock_path, error_r);
	}
	return st1.st_ino == st2.st_ino && st1.st_dev == st2.st_dev ? 1 : 0;
}

/* Returns 1 if locked, 0 if another one has it. */
static int lock_try_fd(int fd, const char *lock_path, const char **error_r)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return lock_is_current(fd, lock_path, error_r);
	if (errno == EWOULDBLOCK || errno == EINTR)
		return 0;
	return store_file_error("flock", lock_path, error_r);
}

/* Root's lock file must not be in the way of the keyring's owner if root is
   killed. It must be one, though: who may write to the directory could have
   linked another file of root's there. */
static void lock_chown(int fd, const char *path)
{
	struct stat lock, st;

	if (geteuid() == 0 && fstat(fd, &lock) == 0 &&
	    S_ISREG(lock.st_mode) && lock.st_size == 0 && lock.st_nlink == 1 &&
	    stat(path, &st) == 0 && st.st_uid != 0 &&
	    fchown(fd, st.st_uid, st.st_gid) < 0) {
		/* then it will say so */
	}
}

/* What lock_try() returns beside a file and -1. */
#define LOCK_HELD -2
#define LOCK_NO_DIR -3

/* Returns the locked file; LOCK_HELD if another one has it; LOCK_NO_DIR if there
   is no place for it; -1 and error_r. */
static int lock_try(const char *path, const char *lock_path,
		    const char **error_r)
{
	int fd, ret;

	fd = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		return errno == ENOENT ? LOCK_NO_DIR :
			store_file_create_error("open", lock_path, error_r);
	}
	lock_chown(fd, path);
	ret = lock_try_fd(fd, lock_path, error_r);
	if (ret > 0)
		return fd;
	i_close_fd(&fd);
	return ret < 0 ? -1 : LOCK_HELD;
}

static int lock_wait(const char *path, bool wait, const char **error_r)
{
	const char *lock_path = t_strconcat(path, STORE_FILE_LOCK, NULL);
	time_t deadline = now_secs() + KEYRING_STORE_TIMEOUT_SECS;
	int fd;

	while ((fd = lock_try(path, lock_path, error_r)) == LOCK_HELD && wait) {
		if (now_secs() > deadline) {
			*error_r = t_strdup_printf("another change holds the "
				"lock %s for more than %d seconds", lock_path,
				KEYRING_STORE_TIMEOUT_SECS);
			return -1;
		}
		usleep(LOCK_WAIT_USECS);
	}
	return fd;
}

int store_file_lock(struct keyring_store *store, bool wait,
		    const char **error_r)
{
	struct file_keyring_store *fstore =
		container_of(store, struct file_keyring_store, store);
	const char *path;
	int fd;

	i_assert(fstore->lock_fd == -1);
	if (store_file_real_path(fstore->path, &path, error_r) < 0)
		return -1;
	fd = lock_wait(path, wait, error_r);
	if (fd < 0)
		return fd == -1 ? -1 : 0;
	fstore->lock_fd = fd;
	fstore->real_path = i_strdup(path);
	return 1;
}

void store_file_unlock(struct keyring_store *store)
{
	struct file_keyring_store *fstore =
		container_of(store, struct file_keyring_store, store);

	(void)unlink(t_strconcat(fstore->real_path, STORE_FILE_LOCK, NULL));
	i_close_fd(&fstore->lock_fd);
	i_free(fstore->real_path);
}
