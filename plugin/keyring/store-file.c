/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "eacces-error.h"
#include "fd-util.h"
#include "fdatasync-path.h"
#include "hex-binary.h"
#include "path-util.h"
#include "write-full.h"
#include "crypto/secret.h"
#include "keyring/store-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEMP_SUFFIX ".tmp."
/* Random bytes in the name of a temporary file, written in hex. */
#define TEMP_RANDOM_SIZE 8
/* Seconds after which whoever wrote a temporary file must have died. */
#define TEMP_STALE_SECS (60 * 60)

struct file_keyring_store {
	struct keyring_store store;
	char *path, *dir;
};

static int file_error(const char *function, const char *path,
		      const char **error_r)
{
	if (errno == EACCES)
		*error_r = eacces_error_get(function, path);
	else
		*error_r = t_strdup_printf("%s(%s) failed: %m", function, path);
	return -1;
}

/* The same where path was to be made. */
static int create_error(const char *function, const char *path,
			const char **error_r)
{
	if (errno != EACCES)
		return file_error(function, path, error_r);
	*error_r = eacces_error_get_creating(function, path);
	return -1;
}

/* open() found nothing. A link that leads nowhere is no proof that there is no
   keyring: what it leads to may be on a disk that isn't mounted now. */
static int file_missing(const char *path, const char **error_r)
{
	const char *dest, *error;
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return file_error("lstat", path, error_r);
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
		return file_error("fstat", path, error_r);
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
			return file_error("read", path, error_r);
		buffer_append(dest, data, ret);
	}
	return 1;
}

static int
file_read(struct keyring_store *store, buffer_t *dest, const char **error_r)
{
	struct file_keyring_store *fstore =
		container_of(store, struct file_keyring_store, store);
	int fd, ret;

	/* O_NONBLOCK for a FIFO in its place; a regular file doesn't care. */
	fd = open(fstore->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		return errno == ENOENT ? file_missing(fstore->path, error_r) :
			file_error("open", fstore->path, error_r);
	}
	ret = file_read_fd(fd, fstore->path, dest, error_r);
	i_close_fd(&fd);
	return ret;
}

static const char *path_parent(const char *path)
{
	const char *p = strrchr(path, '/');

	if (p == NULL)
		return ".";
	return p == path ? "/" : t_strdup_until(path, p);
}

static int dir_sync(const char *dir, const char **error_r)
{
	if (fdatasync_path(dir) < 0)
		return file_error("fdatasync", dir, error_r);
	return 0;
}

/* Create what is missing of dir. Each new directory is itself an entry that a
   crash must not lose. */
static int dir_create(const char *dir, const char **error_r)
{
	const char *parent = path_parent(dir);
	int ret = mkdir(dir, 0700);

	if (ret < 0 && errno == ENOENT) {
		if (dir_create(parent, error_r) < 0)
			return -1;
		ret = mkdir(dir, 0700);
	}
	if (ret == 0)
		return dir_sync(parent, error_r);
	/* Also if another process was faster, or it isn't a directory: opening
	   the file will tell. */
	if (errno == EEXIST)
		return 0;
	return create_error("mkdir", dir, error_r);
}

static int temp_open(const struct file_keyring_store *fstore,
		     const char **temp_path_r)
{
	uint8_t random[TEMP_RANDOM_SIZE];

	/* Not random_fill(): it gives forked processes the same bytes. */
	secret_random(random, sizeof(random));
	*temp_path_r = t_strconcat(fstore->path, TEMP_SUFFIX,
				   binary_to_hex(random, sizeof(random)), NULL);
	return open(*temp_path_r, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
}

static int temp_create(const struct file_keyring_store *fstore,
		       const char **temp_path_r, const char **error_r)
{
	int fd = temp_open(fstore, temp_path_r);

	if (fd < 0 && errno == ENOENT) {
		if (dir_create(fstore->dir, error_r) < 0)
			return -1;
		fd = temp_open(fstore, temp_path_r);
	}
	return fd >= 0 ? fd : create_error("open", *temp_path_r, error_r);
}

/* Closes fd. */
static int temp_write(int fd, const char *temp_path, const string_t *text,
		      const char **error_r)
{
	int ret = 0;

	if (write_full(fd, str_data(text), str_len(text)) < 0)
		ret = file_error("write", temp_path, error_r);
	else if (fsync(fd) < 0)
		ret = file_error("fsync", temp_path, error_r);
	if (close(fd) < 0 && ret == 0)
		ret = file_error("close", temp_path, error_r);
	return ret;
}

/* Only link() gives a name to a whole file and never takes one from another. */
static int temp_link(const char *temp_path, const char *path,
		     const char **error_r)
{
	struct stat st;

	if (link(temp_path, path) == 0)
		return 1;
	if (errno != EEXIST)
		return file_error("link", path, error_r);
	/* NFS may have linked it and lost the answer. */
	if (stat(temp_path, &st) < 0)
		return file_error("stat", temp_path, error_r);
	return st.st_nlink > 1 ? 1 : 0;
}

/* Remove what killed processes left behind. That it can't be removed harms
   nobody. */
static void temps_clean(const struct file_keyring_store *fstore)
{
	const char *base = strrchr(fstore->path, '/');
	const char *prefix = t_strconcat(base == NULL ? fstore->path : base + 1,
					 TEMP_SUFFIX, NULL);
	DIR *dir = opendir(fstore->dir);
	const struct dirent *d;
	struct stat st;

	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL) {
		if (strncmp(d->d_name, prefix, strlen(prefix)) == 0 &&
		    fstatat(dirfd(dir), d->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) &&
		    st.st_mtime < time(NULL) - TEMP_STALE_SECS)
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	}
	(void)closedir(dir);
}

static int
file_create(struct keyring_store *store, const string_t *text,
	    const char **error_r)
{
	struct file_keyring_store *fstore =
		container_of(store, struct file_keyring_store, store);
	const char *temp_path;
	int fd, ret;

	fd = temp_create(fstore, &temp_path, error_r);
	if (fd < 0)
		return -1;
	ret = temp_write(fd, temp_path, text, error_r);
	if (ret == 0)
		ret = temp_link(temp_path, fstore->path, error_r);
	i_unlink(temp_path);
	/* Another's keyring is synced too: our caller will use it. */
	if (ret >= 0 && dir_sync(fstore->dir, error_r) < 0)
		return -1;
	if (ret > 0)
		temps_clean(fstore);
	return ret;
}

static void file_deinit(struct keyring_store *store)
{
	struct file_keyring_store *fstore =
		container_of(store, struct file_keyring_store, store);

	i_free(fstore->path);
	i_free(fstore->dir);
	i_free(fstore);
}

static const struct keyring_store_vfuncs file_keyring_store_vfuncs = {
	.deinit = file_deinit,
	.read = file_read,
	.create = file_create,
};

struct keyring_store *keyring_store_file_init(const char *path)
{
	struct file_keyring_store *fstore =
		i_new(struct file_keyring_store, 1);

	fstore->path = i_strdup(path);
	fstore->dir = i_strdup(path_parent(path));
	fstore->store.v = &file_keyring_store_vfuncs;
	fstore->store.name = i_strconcat("keyring file ", path, NULL);
	return &fstore->store;
}
