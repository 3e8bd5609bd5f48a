/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "istream.h"
#include "maildir-storage.h"
#include "sdbox-storage.h"
#include "sdbox-file.h"
#include "rewrite-file-private.h"

#include <fcntl.h>
#include <unistd.h>
#include <sys/file.h>

/* While another process rewrites the same message. */
#define LOCK_TRIES 250
#define LOCK_WAIT_USECS (20 * 1000)

struct maildir_context {
	struct rewrite_file *file;
	rewrite_path_func *func;
};

static int
maildir_path(struct maildir_mailbox *mbox ATTR_UNUSED, const char *path,
	     struct maildir_context *ctx)
{
	struct rewrite_file *file = ctx->file;
	int ret = ctx->func(file, path);

	if (ret < 0) {
		i_free(file->path_error);
		file->path_error = i_strdup(file->error);
	}
	return ret;
}

int rewrite_file_with_path(struct rewrite_file *file, rewrite_path_func *func)
{
	struct mailbox *box = file->ctx->box;
	struct maildir_context ctx = { .file = file, .func = func };
	int ret;

	file->error = NULL;
	if (file->ctx->format == STORED_MAIL_MAILDIR) {
		ret = maildir_file_do(MAILDIR_MAILBOX(box), file->uid,
				      maildir_path, &ctx);
		file->error = file->path_error;
	} else {
		ret = func(file, file->dbox->primary_path);
		if (ret == 0 && file->dbox->alt_path != NULL)
			ret = func(file, file->dbox->alt_path);
	}
	if (ret < 0 && file->error == NULL)
		file->error = mailbox_get_last_internal_error(box, NULL);
	return ret;
}

int rewrite_file_fail(struct rewrite_file *file, const char *function,
		      const char *path)
{
	file->error = t_strdup_printf("%s(%s) failed: %m", function, path);
	return -1;
}

/* Wait for another process that rewrites it. Where there are no locks (NFS has
   none on files opened for reading) the exchange is what counts. */
static bool lock_old(int fd)
{
	unsigned int i;

	for (i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			return TRUE;
		usleep(LOCK_WAIT_USECS);
	}
	return FALSE;
}

bool rewrite_file_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
		a->st_size == b->st_size && a->st_mtime == b->st_mtime;
}

static int open_path(struct rewrite_file *file, const char *path)
{
	struct stat st;

	i_close_fd(&file->fd);
	file->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file->fd == -1)
		return errno == ENOENT ? 0 : rewrite_file_fail(file, "open", path);
	if (fstat(file->fd, &file->st) < 0)
		return rewrite_file_fail(file, "fstat", path);
	if (!S_ISREG(file->st.st_mode)) {
		file->error = t_strdup_printf("%s is not a file", path);
		return -1;
	}
	if (!lock_old(file->fd)) {
		file->error = t_strdup_printf("%s is locked by another process",
					      path);
		return -1;
	}
	/* By then it may be another file, or elsewhere. */
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : rewrite_file_fail(file, "lstat", path);
	if (!rewrite_file_is_same(&st, &file->st))
		return 0;
	i_free(file->path);
	file->path = i_strdup(path);
	return 1;
}

static int open_maildir(struct rewrite_file *file)
{
	file->input = i_stream_create_fd(file->fd, IO_BLOCK_SIZE);
	i_stream_set_name(file->input, file->path);
	file->size = file->st.st_size;
	return 0;
}

/* Dovecot's own view of the file, over the file that we have locked. */
static int open_sdbox(struct rewrite_file *file)
{
	struct dbox_file *dbox = file->dbox;
	struct stat st;
	bool deleted;

	if (dbox_file_open(dbox, &deleted) <= 0 || deleted ||
	    dbox_file_seek(dbox, 0) <= 0) {
		file->error = mailbox_get_last_internal_error(file->ctx->box,
							      NULL);
		return -1;
	}
	if (fstat(dbox->fd, &st) < 0 || !rewrite_file_is_same(&st, &file->st)) {
		file->error = "it was changed meanwhile";
		return -1;
	}
	file->input = i_stream_create_limit(dbox->input,
					    dbox->cur_physical_size);
	file->size = dbox->cur_physical_size;
	return 0;
}

enum rewrite_result rewrite_file_open(struct rewrite_file *file)
{
	struct rewrite_context *ctx = file->ctx;
	int ret;

	if (ctx->format == STORED_MAIL_SDBOX) {
		file->dbox = sdbox_file_init(SDBOX_MAILBOX(ctx->box),
					     file->uid);
	}
	ret = rewrite_file_with_path(file, open_path);
	if (ret == 0)
		return REWRITE_GONE;
	if (ret > 0) {
		ret = ctx->format == STORED_MAIL_SDBOX ? open_sdbox(file) :
			open_maildir(file);
	}
	return ret < 0 ? REWRITE_FAILED : REWRITE_WANTED;
}
