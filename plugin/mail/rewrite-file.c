/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "istream.h"
#include "ostream.h"
#include "sdbox-storage.h"
#include "sdbox-file.h"
#include "rewrite-file-private.h"

#include <unistd.h>

/* Messages that are a file each: maildir and sdbox. The new file is written,
   synced and opened once; then it and the old one exchange their names in one
   step, which fails if the old one was renamed or removed meanwhile. So nothing
   that other sessions do can double or lose a message. A session that reads the
   old file keeps it open. */

/* Old forms that wait to be removed, until new ones are known to be durable. */
#define OLD_MAX_COUNT 64
#define OLD_MAX_BYTES (64 * 1024 * 1024)

#define SDBOX_PREFIX DBOX_TEMP_FILE_PREFIX REWRITE_TEMP_PREFIX

static const char *temp_dir(struct rewrite_file *file)
{
	if (file->ctx->format == STORED_MAIL_SDBOX)
		return rewrite_dir_of(file->path);
	return t_strconcat(mailbox_get_path(file->ctx->box), "/tmp", NULL);
}

static const char *temp_prefix(struct rewrite_context *ctx)
{
	return ctx->format == STORED_MAIL_SDBOX ? SDBOX_PREFIX :
		REWRITE_TEMP_PREFIX;
}

/* The owner, the mode, and the time, which is the received date of maildir. */
static int keep_attributes(struct rewrite_file *file)
{
	const struct stat *old = &file->st;
	const struct timespec times[2] = { old->st_atim, old->st_mtim };
	int fd = file->temp.fd;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return rewrite_file_fail(file, "fstat", file->temp.path);
	if ((st.st_uid != old->st_uid || st.st_gid != old->st_gid) &&
	    fchown(fd, old->st_uid, old->st_gid) < 0)
		return rewrite_file_fail(file, "fchown", file->temp.path);
	if (fchmod(fd, old->st_mode & 07777) < 0)
		return rewrite_file_fail(file, "fchmod", file->temp.path);
	if (futimens(fd, times) < 0)
		return rewrite_file_fail(file, "futimens", file->temp.path);
	if (fsync(fd) < 0)
		return rewrite_file_fail(file, "fsync", file->temp.path);
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
	return result != REWRITE_DONE ? result : rewrite_file_replace(file, FALSE);
}

static enum rewrite_result rewrite_opened(struct rewrite_file *file)
{
	if (file->st.st_nlink > 1 &&
	    rewrite_links_use(file->ctx, &file->st, temp_dir(file),
			      temp_prefix(file->ctx), &file->temp)) {
		file->new_size = file->size;
		return rewrite_file_replace(file, TRUE);
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

	result = rewrite_file_open(&file);
	if (result == REWRITE_WANTED)
		result = rewrite_opened(&file);
	rewrite_count(ctx, uid, result, file.new_size, file.error);
	file_deinit(&file);
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
		if (ctx->fatal != NULL ||
		    (ctx->stopped && uid != array_front(uids))) {
			ctx->last_uid = uid[-1];
			break;
		}
		T_BEGIN {
			rewrite_uid(ctx, *uid);
		} T_END;
		if (array_count(&ctx->old_paths) >= OLD_MAX_COUNT ||
		    ctx->old_bytes >= OLD_MAX_BYTES)
			rewrite_remove_old(ctx);
	}
	array_clear(uids);
	rewrite_remove_old(ctx);
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

	if (ctx->last_uid == 0) T_BEGIN {
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
