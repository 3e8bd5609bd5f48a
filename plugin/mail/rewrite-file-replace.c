/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* renameat2() */
#ifndef _GNU_SOURCE
#  define _GNU_SOURCE
#endif
#include "lib.h"
#include "array.h"
#include "rewrite-file-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

const char *rewrite_dir_of(const char *path)
{
	return t_strdup_until(path, strrchr(path, '/'));
}

/* The filesystem can't exchange names. Under the lock that Dovecot takes for
   changing flags and for expunging, the old name can't go away; what others do
   is seen by the old file's links. */
static int replace_locked(struct rewrite_file *file, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : rewrite_file_fail(file, "lstat", path);
	if (!rewrite_file_is_same(&st, &file->st)) {
		file->error = "it was changed meanwhile";
		return -1;
	}
	if (rename(file->temp.path, path) < 0)
		return rewrite_file_fail(file, "rename", file->temp.path);
	if (fstat(file->fd, &st) < 0 || st.st_nlink < file->st.st_nlink)
		return 1;
	/* It was renamed just then, and is there twice. */
	if (link(path, file->temp.path) < 0 || unlink(path) < 0)
		return rewrite_file_fail(file, "unlink", path);
	return 0;
}

static int replace_path(struct rewrite_file *file, const char *path)
{
	struct mail_index_sync_ctx *sync_ctx;
	struct mail_index_view *view;
	struct mail_index_transaction *trans;
	int ret;

	if (mail_index_sync_begin(file->ctx->box->index, &sync_ctx, &view,
				  &trans, 0) <= 0) {
		file->error = "cannot lock the mailbox";
		return -1;
	}
	ret = replace_locked(file, path);
	mail_index_sync_rollback(&sync_ctx);
	if (ret > 0) {
		/* There is no name of the old one left to be removed. */
		i_free(file->temp.path);
	}
	return ret;
}

static int exchange_path(struct rewrite_file *file, const char *path)
{
	struct stat st;

	if (renameat2(AT_FDCWD, file->temp.path, AT_FDCWD, path,
		      RENAME_EXCHANGE) == 0) {
		i_free(file->path);
		file->path = i_strdup(path);
		return 1;
	}
	if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) {
		i_free(file->path);
		file->path = i_strdup(path);
		return replace_path(file, path);
	}
	if (errno != ENOENT)
		return rewrite_file_fail(file, "rename", path);
	if (lstat(file->temp.path, &st) < 0)
		return rewrite_file_fail(file, "lstat", file->temp.path);
	return 0;
}

/* Now the temporary name is that of the old form: of the one that was read? */
static bool exchanged_right(struct rewrite_file *file, struct stat *st_r)
{
	return lstat(file->temp.path, st_r) == 0 &&
		rewrite_file_is_same(st_r, &file->st);
}

static void add_unique(struct rewrite_context *ctx, const char *dir)
{
	char *const *old;
	char *copy;

	array_foreach(&ctx->dirs, old) {
		if (strcmp(*old, dir) == 0)
			return;
	}
	copy = i_strdup(dir);
	array_push_back(&ctx->dirs, &copy);
}

static void keep_old(struct rewrite_file *file, const struct stat *st)
{
	struct rewrite_context *ctx = file->ctx;

	if (st->st_nlink > 1) {
		rewrite_links_add(ctx, st, file->temp.path, file->path);
		i_free(file->temp.path);
		return;
	}
	array_push_back(&ctx->old_paths, &file->temp.path);
	ctx->old_bytes += st->st_size;
	file->temp.path = NULL;
}

enum rewrite_result
rewrite_file_replace(struct rewrite_file *file, bool linked)
{
	struct stat st;
	int ret = rewrite_file_with_path(file, exchange_path);

	if (ret <= 0)
		return ret == 0 ? REWRITE_GONE : REWRITE_FAILED;
	add_unique(file->ctx, rewrite_dir_of(file->path));
	if (file->temp.path == NULL)
		return REWRITE_DONE;
	if (!exchanged_right(file, &st)) {
		/* Someone has put another file there: give it back. */
		if (rewrite_file_with_path(file, exchange_path) < 0)
			file->temp.path = NULL;
		file->error = "it was changed meanwhile";
		return REWRITE_FAILED;
	}
	if (!linked) {
		keep_old(file, &st);
	} else {
		i_unlink_if_exists(file->temp.path);
		i_free(file->temp.path);
		rewrite_links_release(file->ctx, &st);
	}
	return REWRITE_DONE;
}

/* This is the place where the blocks of plaintext would be overwritten: not
   while others have the file open. */
void rewrite_remove_old(struct rewrite_context *ctx)
{
	const char *error;
	char **path;
	bool keep = FALSE;

	array_foreach_modifiable(&ctx->dirs, path) {
		if (rewrite_sync_dir(*path, &error) < 0) {
			e_error(ctx->box->event, "mail_seal: %s", error);
			keep = TRUE;
		}
		i_free(*path);
	}
	array_foreach_modifiable(&ctx->old_paths, path) {
		if (!keep)
			i_unlink_if_exists(*path);
		i_free(*path);
	}
	array_clear(&ctx->dirs);
	array_clear(&ctx->old_paths);
	ctx->old_bytes = 0;
}
