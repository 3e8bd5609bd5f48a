/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_STORE_FILE_PRIVATE_H
#define KEYRING_STORE_FILE_PRIVATE_H

#include "keyring/store-private.h"

/* What the files of the file store share. All error_r name the function and the
   path. */

#define STORE_FILE_TEMP ".tmp."
#define STORE_FILE_LOCK ".lock"
#define STORE_FILE_PREVIOUS ".bak"
#define STORE_FILE_DAMAGED ".damaged"

struct file_keyring_store {
	struct keyring_store store;
	/* As configured, and where it leads to if it is a symbolic link. */
	char *path;
	/* While it is locked: the file itself, and the lock. */
	char *real_path;
	int lock_fd;
};

struct stat;

/* Set error_r from errno and return -1. */
int store_file_error(const char *function, const char *path,
		     const char **error_r);
/* The same where path was to be made. */
int store_file_create_error(const char *function, const char *path,
			    const char **error_r);
/* Where the file is that other ones lie beside: path itself, unless it is a
   symbolic link. Returns 0, or -1 and error_r. */
int store_file_real_path(const char *path, const char **real_path_r,
			 const char **error_r) ATTR_WARN_UNUSED_RESULT;
const char *store_file_dir(const char *path);
int store_file_sync_dir(const char *path, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* Append the content. Returns 1; 0 if there is no such file; -1 and error_r. */
int store_file_read(const char *path, buffer_t *dest, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Write a new file beside path and sync it. If owner isn't NULL the new file
   gets the same owner. Returns 0 and its path, or -1 and error_r, and there is
   no file. */
int store_file_write_temp(const char *path, const string_t *text,
			  const struct stat *owner, const char **temp_path_r,
			  const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Call func with the path of every temporary file of path that was last written
   more than age seconds ago. */
void store_file_foreach_temp(const char *path, unsigned int age,
			     void (*func)(const char *temp_path,
					  void *context), void *context);
/* Remove what killed processes left behind. */
void store_file_clean_temps(const char *path);

/* The vfuncs of store-file-lock.c and store-file-change.c. */
int store_file_lock(struct keyring_store *store, bool wait,
		    const char **error_r);
void store_file_unlock(struct keyring_store *store);
int store_file_replace(struct keyring_store *store, const buffer_t *old,
		       bool old_is_previous, const string_t *text,
		       const char **error_r);
int store_file_commit(struct keyring_store *store, const char **error_r);
int store_file_rollback(struct keyring_store *store, const buffer_t *old,
			const string_t *text, const char **error_r);
int store_file_destroy(struct keyring_store *store, const char **error_r);

#endif
