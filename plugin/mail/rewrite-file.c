/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* renameat2() */
#ifndef _GNU_SOURCE
#  define _GNU_SOURCE
#endif
#include "lib.h"
#include "array.h"
#include "istream.h"
#include "ostream.h"
#include "maildir-storage.h"
#include "sdbox-storage.h"
#include "sdbox-file.h"
#include "rewrite-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/file.h>

/* Messages that are a file each: maildir and sdbox. The new file is written,
   synced and opened once; then it and the old one exchange their names in one
   step, which fails if the old one was renamed or removed meanwhile. So nothing
   that other sessions do can double or lose a message. A session that reads the
   old file keeps it open. */

/* Old forms that wait to be removed, until new ones are known to be durable. */
#define OLD_MAX_COUNT 64
#define OLD_MAX_BYTES (64 * 1024 * 1024)

/* While another process rewrites the same message. */
#define LOCK_TRIES 250
#define LOCK_WAIT_USECS (20 * 1000)

#define SDBOX_PREFIX DBOX_TEMP_FILE_PREFIX REWRITE_TEMP_PREFIX

struct rewrite_file {
	struct rewrite_context *ctx;
	uint32_t uid;
	/* sdbox: its own view of the file, else NULL. */
	struct dbox_file *dbox;

	/* Where the old form was found last. */
	char *path;
	int fd;
	struct stat st;
	/* The message in it. */
	struct istream *input;
	uoff_t size;

	struct rewrite_temp temp;
	uoff_t new_size;
	const char *error;
	/* The error of a callback of maildir_file_do(), which has a data stack
	   frame of its own. */
	char *path_error;
};

/* Returns 1 if done, 0 if there is nothing of that name, -1 if failed. */
typedef int rewrite_path_func(struct rewrite_file *file, const char *path);

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

/* Call func with the message's path; again if it was renamed meanwhile. */
static int with_path(struct rewrite_file *file, rewrite_path_func *func)
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

static int fail(struct rewrite_file *file, const char *function,
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

static bool is_same(const struct stat *a, const struct stat *b)
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
		return errno == ENOENT ? 0 : fail(file, "open", path);
	if (fstat(file->fd, &file->st) < 0)
		return fail(file, "fstat", path);
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
		return errno == ENOENT ? 0 : fail(file, "lstat", path);
	if (!is_same(&st, &file->st))
		return 0;
	i_free(file->path);
	file->path = i_strdup(path);
	return 1;
}

static const char *dir_of(const char *path)
{
	return t_strdup_until(path, strrchr(path, '/'));
}

static const char *temp_dir(struct rewrite_file *file)
{
	if (file->ctx->format == STORED_MAIL_SDBOX)
		return dir_of(file->path);
	return t_strconcat(mailbox_get_path(file->ctx->box), "/tmp", NULL);
}

static const char *temp_prefix(struct rewrite_context *ctx)
{
	return ctx->format == STORED_MAIL_SDBOX ? SDBOX_PREFIX :
		REWRITE_TEMP_PREFIX;
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
	if (fstat(dbox->fd, &st) < 0 || !is_same(&st, &file->st)) {
		file->error = "it was changed meanwhile";
		return -1;
	}
	file->input = i_stream_create_limit(dbox->input,
					    dbox->cur_physical_size);
	file->size = dbox->cur_physical_size;
	return 0;
}

/* Returns REWRITE_WANTED or why not. */
static enum rewrite_result open_old(struct rewrite_file *file)
{
	struct rewrite_context *ctx = file->ctx;
	int ret;

	if (ctx->format == STORED_MAIL_SDBOX) {
		file->dbox = sdbox_file_init(SDBOX_MAILBOX(ctx->box),
					     file->uid);
	}
	ret = with_path(file, open_path);
	if (ret == 0)
		return REWRITE_GONE;
	if (ret > 0) {
		ret = ctx->format == STORED_MAIL_SDBOX ? open_sdbox(file) :
			open_maildir(file);
	}
	return ret < 0 ? REWRITE_FAILED : REWRITE_WANTED;
}

/* The owner, the mode, and the time, which is the received date of maildir. */
static int keep_attributes(struct rewrite_file *file)
{
	const struct stat *old = &file->st;
	const struct timespec times[2] = { old->st_atim, old->st_mtim };
	int fd = file->temp.fd;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(file, "fstat", file->temp.path);
	if ((st.st_uid != old->st_uid || st.st_gid != old->st_gid) &&
	    fchown(fd, old->st_uid, old->st_gid) < 0)
		return fail(file, "fchown", file->temp.path);
	if (fchmod(fd, old->st_mode & 07777) < 0)
		return fail(file, "fchmod", file->temp.path);
	if (futimens(fd, times) < 0)
		return fail(file, "futimens", file->temp.path);
	if (fsync(fd) < 0)
		return fail(file, "fsync", file->temp.path);
	return 0;
}

/* What stands in the file before the message: the line of the file as it is,
   and a header. */
static int send_before(struct rewrite_file *file, struct ostream *output,
		       uoff_t size)
{
	struct istream *line;
	enum ostream_send_istream_result res;

	if (file->dbox == NULL)
		return 0;
	i_stream_seek(file->dbox->input, 0);
	line = i_stream_create_limit(file->dbox->input,
				     file->dbox->file_header_size);
	res = o_stream_send_istream(output, line);
	i_stream_unref(&line);
	if (res != OSTREAM_SEND_ISTREAM_RESULT_FINISHED) {
		file->error = "the beginning of the file can't be copied";
		return -1;
	}
	rewrite_dbox_send_header(output, size);
	return 0;
}

static enum rewrite_result
write_form(struct rewrite_file *file, struct rewrite_form *form,
	   struct ostream *output, uoff_t *offset_r)
{
	enum rewrite_result result;

	if (send_before(file, output, form->size) < 0)
		return REWRITE_FAILED;
	*offset_r = output->offset;
	result = rewrite_form_send(form, output, &file->error);
	if (result != REWRITE_DONE)
		return result;
	if (file->dbox != NULL &&
	    rewrite_dbox_send_metadata(file->dbox, output, form->size,
				       &file->error) < 0)
		return REWRITE_DAMAGED;
	if (o_stream_finish(output) < 0) {
		file->error = t_strdup_printf("write(%s) failed: %s",
			file->temp.path, o_stream_get_error(output));
		return REWRITE_FAILED;
	}
	return REWRITE_DONE;
}

static enum rewrite_result
write_new(struct rewrite_file *file, struct rewrite_form *form)
{
	struct ostream *output;
	enum rewrite_result result;
	uoff_t offset;

	output = o_stream_create_fd_file(file->temp.fd, 0, FALSE);
	o_stream_set_name(output, file->temp.path);
	o_stream_set_finish_via_child(output, FALSE);
	o_stream_cork(output);
	result = write_form(file, form, output, &offset);
	if (result != REWRITE_DONE)
		o_stream_abort(output);
	o_stream_unref(&output);
	if (result == REWRITE_DONE &&
	    (keep_attributes(file) < 0 ||
	     rewrite_form_check(form, file->temp.fd, offset, &file->error) < 0))
		result = REWRITE_FAILED;
	file->new_size = form->size;
	return result;
}

/* The filesystem can't exchange names. Under the lock that Dovecot takes for
   changing flags and for expunging, the old name can't go away; what others do
   is seen by the old file's links. */
static int replace_locked(struct rewrite_file *file, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : fail(file, "lstat", path);
	if (!is_same(&st, &file->st)) {
		file->error = "it was changed meanwhile";
		return -1;
	}
	if (rename(file->temp.path, path) < 0)
		return fail(file, "rename", file->temp.path);
	if (fstat(file->fd, &st) < 0 || st.st_nlink < file->st.st_nlink)
		return 1;
	/* It was renamed just then, and is there twice. */
	if (link(path, file->temp.path) < 0 || unlink(path) < 0)
		return fail(file, "unlink", path);
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
		return fail(file, "rename", path);
	if (lstat(file->temp.path, &st) < 0)
		return fail(file, "lstat", file->temp.path);
	return 0;
}

/* Now the temporary name is that of the old form: of the one that was read? */
static bool exchanged_right(struct rewrite_file *file, struct stat *st_r)
{
	return lstat(file->temp.path, st_r) == 0 && is_same(st_r, &file->st);
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

/* Put the new form in the place of the old one. */
static enum rewrite_result replace_old(struct rewrite_file *file, bool linked)
{
	struct stat st;
	int ret = with_path(file, exchange_path);

	if (ret <= 0)
		return ret == 0 ? REWRITE_GONE : REWRITE_FAILED;
	add_unique(file->ctx, dir_of(file->path));
	if (file->temp.path == NULL)
		return REWRITE_DONE;
	if (!exchanged_right(file, &st)) {
		/* Someone has put another file there: give it back. */
		if (with_path(file, exchange_path) < 0)
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

static enum rewrite_result rewrite_alone(struct rewrite_file *file)
{
	struct rewrite_context *ctx = file->ctx;
	struct rewrite_form form;
	enum rewrite_result result;

	result = rewrite_form_init(ctx, &form, file->input, file->size,
				   &file->error);
	if (result != REWRITE_WANTED)
		return result;
	if (rewrite_temp_create(ctx, temp_dir(file), temp_prefix(ctx),
				&file->temp, &file->error) < 0)
		result = REWRITE_FAILED;
	else
		result = write_new(file, &form);
	rewrite_form_deinit(&form);
	return result != REWRITE_DONE ? result : replace_old(file, FALSE);
}

static enum rewrite_result rewrite_opened(struct rewrite_file *file)
{
	if (file->st.st_nlink > 1 &&
	    rewrite_links_use(file->ctx, &file->st, temp_dir(file),
			      temp_prefix(file->ctx), &file->temp)) {
		file->new_size = file->size;
		return replace_old(file, TRUE);
	}
	return rewrite_alone(file);
}

static void file_deinit(struct rewrite_file *file)
{
	rewrite_temp_discard(&file->temp);
	i_close_fd(&file->temp.fd);
	i_stream_unref(&file->input);
	if (file->dbox != NULL)
		dbox_file_unref(&file->dbox);
	i_close_fd(&file->fd);
	i_free(file->path_error);
	i_free(file->path);
}

static void rewrite_uid(struct rewrite_context *ctx, uint32_t uid)
{
	struct rewrite_file file = {
		.ctx = ctx, .uid = uid, .fd = -1, .temp = { .fd = -1 },
	};
	enum rewrite_result result;

	result = open_old(&file);
	if (result == REWRITE_WANTED)
		result = rewrite_opened(&file);
	rewrite_count(ctx, uid, result, file.new_size, file.error);
	file_deinit(&file);
}

/* Remove old forms, once the new ones are sure to stay. This is the place where
   the blocks of plaintext would be overwritten: not while others have the file
   open. */
static void remove_old(struct rewrite_context *ctx)
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

static void
collect_uid(struct rewrite_context *ctx ATTR_UNUSED, struct mail *mail,
	    void *context)
{
	ARRAY_TYPE(uint32_t) *uids = context;
	time_t date;

	array_push_back(uids, &mail->uid);
	/* Is put into the cache with this: it is the time at which the inode
	   was changed last. */
	(void)mail_get_save_date(mail, &date);
}

static void rewrite_batch(struct rewrite_context *ctx, void *context)
{
	ARRAY_TYPE(uint32_t) *uids = context;
	const uint32_t *uid;

	array_foreach(uids, uid) {
		if (ctx->stopped || ctx->fatal != NULL)
			break;
		T_BEGIN {
			rewrite_uid(ctx, *uid);
		} T_END;
		if (array_count(&ctx->old_paths) >= OLD_MAX_COUNT ||
		    ctx->old_bytes >= OLD_MAX_BYTES)
			remove_old(ctx);
	}
	array_clear(uids);
	remove_old(ctx);
}

static void cleanup(struct rewrite_context *ctx)
{
	const char *path = mailbox_get_path(ctx->box), *alt;

	if (ctx->format == STORED_MAIL_MAILDIR) {
		rewrite_temp_cleanup(t_strconcat(path, "/tmp", NULL),
				     REWRITE_TEMP_PREFIX);
		return;
	}
	rewrite_temp_cleanup(path, SDBOX_PREFIX);
	if (mailbox_get_path_to(ctx->box, MAILBOX_LIST_PATH_TYPE_ALT_MAILBOX,
				&alt) > 0)
		rewrite_temp_cleanup(alt, SDBOX_PREFIX);
}

void rewrite_files(struct rewrite_context *ctx)
{
	ARRAY_TYPE(uint32_t) uids;

	T_BEGIN {
		cleanup(ctx);
	} T_END;
	i_array_init(&ctx->old_paths, OLD_MAX_COUNT);
	i_array_init(&ctx->dirs, 4);
	i_array_init(&uids, 128);
	rewrite_walk(ctx, TRUE, collect_uid, rewrite_batch, &uids);
	array_free(&uids);
	array_free(&ctx->old_paths);
	array_free(&ctx->dirs);
}
