/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "hex-binary.h"
#include "write-full.h"
#include "crypto/secret.h"
#include "store-file-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* New files, written beside the place that they will take. */

/* Random bytes in the name of a temporary file, written in hex. */
#define TEMP_RANDOM_SIZE 8
/* Seconds after which whoever wrote a temporary file must have died. */
#define TEMP_STALE_SECS (60 * 60)

/* Create what is missing of dir. Each new directory is itself an entry that a
   crash must not lose. */
static int dir_create(const char *dir, const char **error_r)
{
	int ret = mkdir(dir, 0700);

	if (ret < 0 && errno == ENOENT) {
		if (dir_create(store_file_dir(dir), error_r) < 0)
			return -1;
		ret = mkdir(dir, 0700);
	}
	if (ret == 0)
		return store_file_sync_dir(dir, error_r);
	/* Also if another process was faster, or it isn't a directory: opening
	   the file will tell. */
	if (errno == EEXIST)
		return 0;
	return store_file_create_error("mkdir", dir, error_r);
}

static int temp_open(const char *path, const char **temp_path_r)
{
	uint8_t random[TEMP_RANDOM_SIZE];

	/* Not random_fill(): it gives forked processes the same bytes. */
	secret_random(random, sizeof(random));
	*temp_path_r = t_strconcat(path, STORE_FILE_TEMP,
				   binary_to_hex(random, sizeof(random)), NULL);
	return open(*temp_path_r, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
}

static int temp_create(const char *path, const char **temp_path_r,
		       const char **error_r)
{
	int fd = temp_open(path, temp_path_r);

	if (fd < 0 && errno == ENOENT) {
		if (dir_create(store_file_dir(path), error_r) < 0)
			return -1;
		fd = temp_open(path, temp_path_r);
	}
	return fd >= 0 ? fd :
		store_file_create_error("open", *temp_path_r, error_r);
}

/* A keyring that changed hands could not be read by its user any more. */
static int temp_chown(int fd, const char *temp_path, const struct stat *owner,
		      const char **error_r)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return store_file_error("fstat", temp_path, error_r);
	if (st.st_uid == owner->st_uid && st.st_gid == owner->st_gid)
		return 0;
	if (fchown(fd, owner->st_uid, owner->st_gid) == 0)
		return 0;
	/* The group has no right to read it anyway. */
	if (st.st_uid == owner->st_uid)
		return 0;
	*error_r = t_strdup_printf("fchown(%s, %s) failed: %m, so that the "
		"owner can't be kept", temp_path, dec2str(owner->st_uid));
	return -1;
}

static int temp_fill(int fd, const char *temp_path, const string_t *text,
		     const struct stat *owner, const char **error_r)
{
	if (owner != NULL && temp_chown(fd, temp_path, owner, error_r) < 0)
		return -1;
	if (write_full(fd, str_data(text), str_len(text)) < 0)
		return store_file_error("write", temp_path, error_r);
	if (fsync(fd) < 0)
		return store_file_error("fsync", temp_path, error_r);
	/* What is read back is to come from the disk. */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

int store_file_write_temp(const char *path, const string_t *text,
			  const struct stat *owner, const char **temp_path_r,
			  const char **error_r)
{
	int fd, ret;

	fd = temp_create(path, temp_path_r, error_r);
	if (fd < 0)
		return -1;
	ret = temp_fill(fd, *temp_path_r, text, owner, error_r);
	if (close(fd) < 0 && ret == 0)
		ret = store_file_error("close", *temp_path_r, error_r);
	if (ret < 0)
		(void)unlink(*temp_path_r);
	return ret;
}

void store_file_foreach_temp(const char *path, unsigned int age,
			     void (*func)(const char *temp_path,
					  void *context), void *context)
{
	const char *base = strrchr(path, '/'), *dir_path = store_file_dir(path);
	const char *prefix = t_strconcat(base == NULL ? path : base + 1,
					 STORE_FILE_TEMP, NULL);
	DIR *dir = opendir(dir_path);
	const struct dirent *d;
	struct stat st;

	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL) {
		if (strncmp(d->d_name, prefix, strlen(prefix)) == 0 &&
		    fstatat(dirfd(dir), d->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) &&
		    /* a file's time can be ahead of time() */
		    (age == 0 || st.st_mtime < time(NULL) - age))
			func(t_strconcat(dir_path, "/", d->d_name, NULL),
			     context);
	}
	(void)closedir(dir);
}

/* That it can't be removed harms nobody. */
static void temp_unlink(const char *temp_path, void *context ATTR_UNUSED)
{
	(void)unlink(temp_path);
}

void store_file_clean_temps(const char *path)
{
	store_file_foreach_temp(path, TEMP_STALE_SECS, temp_unlink, NULL);
}
