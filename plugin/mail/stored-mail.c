/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "istream.h"
#include "mail-storage-private.h"
#include "dbox-mail.h"
#include "dbox-storage.h"
#include "dbox-file.h"
#include "maildir-storage.h"
#include "stored-mail.h"

#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>

int stored_mail_get_format(struct mailbox *box,
			   enum stored_mail_format *format_r,
			   const char **error_r)
{
	static const char *const names[] = { "maildir", "sdbox", "mdbox" };
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(names); i++) {
		if (strcmp(box->storage->name, names[i]) == 0) {
			*format_r = (enum stored_mail_format)i;
			return 0;
		}
	}
	*error_r = t_strdup_printf("its format is %s instead of maildir, "
				   "sdbox or mdbox", box->storage->name);
	return -1;
}

static const char *storage_error(struct mailbox *box)
{
	return mailbox_get_last_internal_error(box, NULL);
}

struct maildir_open_context {
	int fd;
	/* Not of the data stack: maildir_file_do() has a frame of its own. */
	char *error;
};

/* Returns 1 if there is something of that name, 0 if not. */
static int
maildir_open_path(struct maildir_mailbox *mbox ATTR_UNUSED, const char *path,
		  struct maildir_open_context *ctx)
{
	struct stat st;

	ctx->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ctx->fd != -1)
		return 1;
	/* Dovecot would take a symlink to nowhere for a name that keeps
	   changing. */
	if (errno == ENOENT &&
	    (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode)))
		return 0;
	ctx->error = i_strdup_printf("open(%s) failed: %m", path);
	return 1;
}

static int
open_maildir(struct mail *mail, struct istream **input_r, uoff_t *size_r,
	     const char **error_r)
{
	struct maildir_mailbox *mbox = MAILDIR_MAILBOX(mail->box);
	struct maildir_open_context ctx = { .fd = -1, .error = NULL };
	struct stat st;
	int ret;

	ret = maildir_file_do(mbox, mail->uid, maildir_open_path, &ctx);
	if (ret <= 0) {
		*error_r = storage_error(mail->box);
		return ret;
	}
	if (ctx.fd == -1) {
		*error_r = t_strdup(ctx.error);
		i_free(ctx.error);
		return -1;
	}
	if (fstat(ctx.fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		*error_r = "it is not a file";
		i_close_fd(&ctx.fd);
		return -1;
	}
	*input_r = i_stream_create_fd_autoclose(&ctx.fd, IO_BLOCK_SIZE);
	*size_r = st.st_size;
	return 1;
}

static int
open_dbox(struct mail *mail, struct istream **input_r, uoff_t *size_r,
	  const char **error_r)
{
	struct dbox_storage *storage = DBOX_STORAGE(mail->box->storage);
	struct dbox_mail *dmail = DBOX_MAIL(mail);
	struct dbox_file *file;
	uoff_t offset;
	int ret;

	if (storage->v.mail_open(dmail, &offset, &dmail->open_file) < 0) {
		if (mail->expunged)
			return 0;
		*error_r = storage_error(mail->box);
		return -1;
	}
	file = dmail->open_file;
	ret = dbox_file_seek(file, offset);
	if (ret <= 0) {
		*error_r = storage_error(mail->box);
		return -1;
	}
	*input_r = i_stream_create_limit(file->input, file->cur_physical_size);
	*size_r = file->cur_physical_size;
	return 1;
}

int stored_mail_open(struct mail *mail, struct istream **input_r,
		     uoff_t *size_r, const char **error_r)
{
	enum stored_mail_format format;

	if (mail->expunged)
		return 0;
	if (stored_mail_get_format(mail->box, &format, error_r) < 0)
		return -1;
	return format == STORED_MAIL_MAILDIR ?
		open_maildir(mail, input_r, size_r, error_r) :
		open_dbox(mail, input_r, size_r, error_r);
}

int stored_mail_sync(struct mailbox *box, const char **error_r)
{
	if (mailbox_open(box) < 0 || mailbox_sync(box, 0) < 0) {
		*error_r = storage_error(box);
		return -1;
	}
	return 0;
}
