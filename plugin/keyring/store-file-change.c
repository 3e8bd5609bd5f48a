/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "write-full.h"
#include "store-file-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Replacing and destroying keyrings in files, under the lock. From the moment
   at which there is a previous keyring, PATH or PATH.bak is a whole keyring,
   whenever the process is killed or the power fails. */

static const char *
beside(const struct keyring_store *store, const char *suffix)
{
	const struct file_keyring_store *fstore =
		container_of(store, const struct file_keyring_store, store);

	return t_strconcat(fstore->real_path, suffix, NULL);
}

static const char *real_path(const struct keyring_store *store)
{
	return beside(store, "");
}

/* Returns 1, or 0 if there was none. */
static int unlink_if_exists(const char *path, const char **error_r)
{
	if (unlink(path) == 0)
		return 1;
	return errno == ENOENT ? 0 : store_file_error("unlink", path, error_r);
}

/* Move a broken keyring out of the way: a person may still find something in
   it. */
static int keep_damaged(struct keyring_store *store, const char **error_r)
{
	const char *path = real_path(store);

	if (rename(path, beside(store, STORE_FILE_DAMAGED)) == 0 ||
	    errno == ENOENT)
		return 0;
	return store_file_error("rename", path, error_r);
}

static int make_previous(struct keyring_store *store, const char **error_r)
{
	const char *path = real_path(store);
	const char *previous = beside(store, STORE_FILE_PREVIOUS);

	/* What a killed change left: the keyring proper is whole. */
	if (unlink_if_exists(previous, error_r) < 0)
		return -1;
	if (link(path, previous) < 0)
		return store_file_error("link", previous, error_r);
	return store_file_sync_dir(path, error_r);
}

static int put_in_place(struct keyring_store *store, const char *temp_path,
			bool old_is_previous, const char **error_r)
{
	const char *path = real_path(store);

	if ((old_is_previous ? keep_damaged(store, error_r) :
	     make_previous(store, error_r)) < 0)
		return -1;
	if (rename(temp_path, path) < 0)
		return store_file_error("rename", temp_path, error_r);
	return store_file_sync_dir(path, error_r);
}

int store_file_replace(struct keyring_store *store,
		       const buffer_t *old ATTR_UNUSED, bool old_is_previous,
		       const string_t *text, const char **error_r)
{
	const char *temp_path, *owned = old_is_previous ?
		beside(store, STORE_FILE_PREVIOUS) : real_path(store);
	struct stat st;

	if (stat(owned, &st) < 0)
		return store_file_error("stat", owned, error_r);
	if (store_file_write_temp(real_path(store), text, &st, &temp_path,
				  error_r) < 0)
		return -1;
	if (put_in_place(store, temp_path, old_is_previous, error_r) < 0) {
		/* unless it is in its place already */
		(void)unlink(temp_path);
		return -1;
	}
	store_file_clean_temps(real_path(store));
	return 1;
}

int store_file_commit(struct keyring_store *store, const char **error_r)
{
	if (unlink_if_exists(beside(store, STORE_FILE_PREVIOUS), error_r) < 0)
		return -1;
	return store_file_sync_dir(real_path(store), error_r);
}

/* TRUE if the file is this text. */
static bool file_is(const char *path, const buffer_t *text)
{
	buffer_t *found = buffer_create_dynamic(default_pool, 4096);
	const char *error;
	bool equal;

	equal = store_file_read(path, found, &error) > 0 &&
		found->used == text->used &&
		memcmp(found->data, text->data, text->used) == 0;
	buffer_free(&found);
	return equal;
}

int store_file_rollback(struct keyring_store *store, const buffer_t *old,
			const string_t *text, const char **error_r)
{
	const char *path = real_path(store);
	const char *previous = beside(store, STORE_FILE_PREVIOUS);

	/* It had not come to that. */
	if (file_is(path, old)) {
		if (unlink_if_exists(previous, error_r) < 0)
			return -1;
		return store_file_sync_dir(path, error_r);
	}
	if (!file_is(previous, old)) {
		*error_r = t_strdup_printf("%s is not the previous keyring",
					   previous);
		return -1;
	}
	if (text == NULL && keep_damaged(store, error_r) < 0)
		return -1;
	if (rename(previous, path) < 0)
		return store_file_error("rename", previous, error_r);
	return store_file_sync_dir(path, error_r);
}

static int overwrite_fd(int fd, const char *path, const char **error_r)
{
	static const char zeros[4096];
	struct stat st;
	off_t left;

	if (fstat(fd, &st) < 0)
		return store_file_error("fstat", path, error_r);
	if (!S_ISREG(st.st_mode)) {
		*error_r = t_strdup_printf("%s is not a regular file", path);
		return -1;
	}
	for (left = st.st_size; left > 0; left -= sizeof(zeros)) {
		if (write_full(fd, zeros, I_MIN(left, (off_t)sizeof(zeros))) < 0)
			return store_file_error("write", path, error_r);
	}
	if (fsync(fd) < 0)
		return store_file_error("fsync", path, error_r);
	return 0;
}

/* Overwrite and remove. Returns 1, or 0 if there is none. */
static int shred(const char *path, const char **error_r)
{
	int fd, ret;

	fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
		  O_CLOEXEC);
	if (fd < 0) {
		return errno == ENOENT ? 0 :
			store_file_error("open", path, error_r);
	}
	ret = overwrite_fd(fd, path, error_r);
	i_close_fd(&fd);
	if (ret < 0)
		return -1;
	return unlink_if_exists(path, error_r) < 0 ? -1 : 1;
}

struct shred_temps {
	unsigned int count;
	const char *error;
};

static void shred_temp(const char *temp_path, void *context)
{
	struct shred_temps *temps = context;
	int ret = shred(temp_path, &temps->error);

	if (ret > 0)
		temps->count++;
}

/* Everything beside the keyring. Returns how many there were. */
static int shred_others(struct keyring_store *store, const char **error_r)
{
	static const char *const suffixes[] = {
		STORE_FILE_PREVIOUS, STORE_FILE_DAMAGED
	};
	struct shred_temps temps = { 0, NULL };
	int ret, count = 0;

	for (unsigned int i = 0; i < N_ELEMENTS(suffixes); i++) {
		ret = shred(beside(store, suffixes[i]), error_r);
		if (ret < 0)
			return -1;
		count += ret;
	}
	store_file_foreach_temp(real_path(store), 0, shred_temp, &temps);
	if (temps.error != NULL) {
		*error_r = temps.error;
		return -1;
	}
	return count + temps.count;
}

int store_file_destroy(struct keyring_store *store, const char **error_r)
{
	const struct file_keyring_store *fstore =
		container_of(store, struct file_keyring_store, store);
	int others, ret;

	/* The previous keyring first: once the keyring itself is gone, it
	   would be taken. */
	others = shred_others(store, error_r);
	if (others < 0 || store_file_sync_dir(real_path(store), error_r) < 0)
		return -1;
	ret = shred(real_path(store), error_r);
	/* the link that led to it */
	if (ret >= 0 && strcmp(fstore->path, fstore->real_path) != 0 &&
	    (unlink_if_exists(fstore->path, error_r) < 0 ||
	     store_file_sync_dir(fstore->path, error_r) < 0))
		return -1;
	if (ret < 0 || store_file_sync_dir(real_path(store), error_r) < 0)
		return -1;
	return ret + others > 0 ? 1 : 0;
}
