/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "eacces-error.h"
#include "fd-util.h"
#include "fdatasync-path.h"
#include "path-util.h"
#include "store-file-private.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Keyrings in files: reading, creating, and what is common. */

int store_file_error(const char *function, const char *path,
		     const char **error_r)
{
	if (errno == EACCES)
		*error_r = eacces_error_get(function, path);
	else
		*error_r = t_strdup_printf("%s(%s) failed: %m", function, path);
	return -1;
}

int store_file_create_error(const char *function, const char *path,
			    const char **error_r)
{
	if (errno != EACCES)
		return store_file_error(function, path, error_r);
	*error_r = eacces_error_get_creating(function, path);
	return -1;
}

/* open() or stat() found nothing. Returns 0 if there is nothing, -1 and error_r
   if there is a link that leads nowhere: that is no proof that there is no
   keyring, as what it leads to may be on a disk that isn't mounted now. */
static int file_missing(const char *path, const char **error_r)
{
	const char *dest, *error;
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return store_file_error("lstat", path, error_r);
	}
	/* Not a link: it was created just now, as the next load will see. */
	if (!S_ISLNK(st.st_mode))
		return 0;
	if (t_readlink(path, &dest, &error) < 0)
		*error_r = error;
	else {
		*error_r = t_strdup_printf(
			"is a symbolic link to %s, which does not exist", dest);
	}
	return -1;
}

static int
file_read_fd(int fd, const char *path, buffer_t *dest, const char **error_r)
{
	uint8_t data[8192];
	struct stat st;
	ssize_t ret;

	if (fstat(fd, &st) < 0)
		return store_file_error("fstat", path, error_r);
	if (!S_ISREG(st.st_mode)) {
		*error_r = S_ISDIR(st.st_mode) ?
			"is a directory, expected a file" :
			"is not a regular file";
		return -1;
	}
	if (st.st_size > KEYRING_MAX_SIZE) {
		*error_r = t_strdup_printf(
			"has %"PRIuUOFF_T" bytes, at most %d are read",
			(uoff_t)st.st_size, KEYRING_MAX_SIZE);
		return -1;
	}
	/* It may have grown since. */
	while (dest->used <= KEYRING_MAX_SIZE &&
	       (ret = read(fd, data, sizeof(data))) != 0) {
		if (ret < 0)
			return store_file_error("read", path, error_r);
		buffer_append(dest, data, ret);
	}
	return 1;
}

int store_file_read(const char *path, buffer_t *dest, const char **error_r)
{
	int fd, ret;

	/* O_NONBLOCK for a FIFO in its place; a regular file doesn't care. */
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		return errno == ENOENT ? file_missing(path, error_r) :
			store_file_error("open", path, error_r);
	}
	ret = file_read_fd(fd, path, dest, error_r);
	i_close_fd(&fd);
	return ret;
}

static struct file_keyring_store *file_store(struct keyring_store *store)
{
	return container_of(store, struct file_keyring_store, store);
}

static int
file_read(struct keyring_store *store, buffer_t *dest, const char **error_r)
{
	return store_file_read(file_store(store)->path, dest, error_r);
}

/* Each change is a new file. */
static int
file_stamp(struct keyring_store *store, struct keyring_stamp *stamp_r,
	   const char **error_r)
{
	const char *path = file_store(store)->path;
	struct stat st;

	if (stat(path, &st) < 0) {
		return errno == ENOENT ? file_missing(path, error_r) :
			store_file_error("stat", path, error_r);
	}
	stamp_r->data[0] = st.st_dev;
	stamp_r->data[1] = st.st_ino;
	stamp_r->data[2] = st.st_size;
	stamp_r->data[3] = st.st_mtim.tv_sec;
	stamp_r->data[4] = st.st_ctim.tv_sec;
	stamp_r->data[5] = (uint64_t)st.st_mtim.tv_nsec << 32 |
		st.st_ctim.tv_nsec;
	return 1;
}

int store_file_real_path(const char *path, const char **real_path_r,
			 const char **error_r)
{
	struct stat st;

	*real_path_r = path;
	if (lstat(path, &st) < 0) {
		return errno == ENOENT ? 0 :
			store_file_error("lstat", path, error_r);
	}
	if (!S_ISLNK(st.st_mode))
		return 0;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return file_missing(path, error_r);
	return t_realpath(path, real_path_r, error_r);
}

static int
file_read_previous(struct keyring_store *store, buffer_t *dest,
		   const char **error_r)
{
	const char *path;

	if (store_file_real_path(file_store(store)->path, &path, error_r) < 0)
		return -1;
	return store_file_read(t_strconcat(path, STORE_FILE_PREVIOUS, NULL),
			       dest, error_r);
}

const char *store_file_dir(const char *path)
{
	const char *p = strrchr(path, '/');

	if (p == NULL)
		return ".";
	return p == path ? "/" : t_strdup_until(path, p);
}

int store_file_sync_dir(const char *path, const char **error_r)
{
	const char *dir = store_file_dir(path);

	if (fdatasync_path(dir) < 0)
		return store_file_error("fdatasync", dir, error_r);
	return 0;
}

/* Only link() gives a name to a whole file and never takes one from another. */
static int temp_link(const char *temp_path, const char *path,
		     const char **error_r)
{
	struct stat st;

	if (link(temp_path, path) == 0)
		return 1;
	if (errno != EEXIST)
		return store_file_error("link", path, error_r);
	/* NFS may have linked it and lost the answer. */
	if (stat(temp_path, &st) < 0)
		return store_file_error("stat", temp_path, error_r);
	return st.st_nlink > 1 ? 1 : 0;
}

/* Where a previous keyring lies there was one: loading finds it. */
static int has_previous(const char *path, const char **error_r)
{
	const char *previous = t_strconcat(path, STORE_FILE_PREVIOUS, NULL);
	struct stat st;

	if (lstat(previous, &st) == 0)
		return 1;
	if (errno == ENOENT || errno == ENAMETOOLONG)
		return 0;
	return store_file_error("lstat", previous, error_r);
}

static int
file_create(struct keyring_store *store, const string_t *text,
	    const char **error_r)
{
	const char *temp_path, *path = file_store(store)->path;
	int ret;

	if (store_file_write_temp(path, text, NULL, &temp_path, error_r) < 0)
		return -1;
	ret = has_previous(path, error_r);
	if (ret == 0)
		ret = temp_link(temp_path, path, error_r);
	else if (ret > 0)
		ret = 0;
	/* later changes remove it if this can't */
	(void)unlink(temp_path);
	/* Another's keyring is synced too: our caller will use it. */
	if (ret >= 0 && store_file_sync_dir(path, error_r) < 0)
		return -1;
	if (ret > 0)
		store_file_clean_temps(path);
	return ret;
}

static void file_deinit(struct keyring_store *store)
{
	struct file_keyring_store *fstore = file_store(store);

	i_assert(fstore->lock_fd == -1);
	i_free(fstore->path);
	i_free(fstore);
}

static const struct keyring_store_vfuncs file_keyring_store_vfuncs = {
	.deinit = file_deinit,
	.read = file_read,
	.read_previous = file_read_previous,
	.stamp = file_stamp,
	.create = file_create,
	.lock = store_file_lock,
	.unlock = store_file_unlock,
	.replace = store_file_replace,
	.commit = store_file_commit,
	.rollback = store_file_rollback,
	.destroy = store_file_destroy,
};

struct keyring_store *keyring_store_file_init(const char *path)
{
	struct file_keyring_store *fstore =
		i_new(struct file_keyring_store, 1);

	fstore->path = i_strdup(path);
	fstore->lock_fd = -1;
	fstore->store.v = &file_keyring_store_vfuncs;
	fstore->store.name = i_strconcat("keyring file ", path, NULL);
	return &fstore->store;
}
