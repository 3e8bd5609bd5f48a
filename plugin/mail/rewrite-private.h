/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_REWRITE_PRIVATE_H
#define PLUGIN_MAIL_REWRITE_PRIVATE_H

#include "seq-range-array.h"
#include "mail/rewrite.h"
#include "mail-seal-private.h"
#include "stored-mail.h"

#include <sys/stat.h>

/* How messages are rewritten in place: a walk through the mailbox (rewrite.c)
   finds those that have to be; a message's new form (rewrite-form.c) is written
   to a temporary file (rewrite-temp.c), which takes the old one's place
   (rewrite-file.c; links: rewrite-links.c), or is moved to another file of the
   same storage (rewrite-mdbox.c). */

/* What came of one message. */
enum rewrite_result {
	/* It has to be rewritten, and can be as far as its header tells. */
	REWRITE_WANTED,
	REWRITE_DONE,
	REWRITE_ALREADY,
	REWRITE_OTHER,
	REWRITE_FOREIGN,
	REWRITE_DAMAGED,
	REWRITE_GONE,
	REWRITE_FAILED
};

struct rewrite_temp {
	/* NULL: there is none. */
	char *path;
	int fd;
};

struct rewrite_context {
	struct mailbox *box;
	enum stored_mail_format format;
	enum mail_seal_rewrite_mode mode;
	struct mail_seal_user *suser;
	/* The identities; none for SEAL in a session that is locked. */
	const struct age_identity *const *list;
	unsigned int list_count;

	struct mail_seal_rewrite_counts *counts;
	mail_seal_rewrite_progress_t *progress;
	void *progress_context;

	/* The last message that was looked at. */
	uint32_t last_uid;
	/* Why nothing more can be done here; NULL if it can. */
	char *fatal;
	bool stopped;
	/* The walk came to the last message. */
	bool at_end;
	/* It is one of several steps: what a batch of messages wants is done at
	   once, and each step does something. */
	bool step;

	/* Old forms that are to be removed, and the folders in which new ones
	   have taken their places, which must be durable before. */
	ARRAY(char *) old_paths, dirs;
	uint64_t old_bytes;
};

/* rewrite.c */
/* Count and log. size is that of the new form, error why it failed. */
void rewrite_count(struct rewrite_context *ctx, uint32_t uid,
		   enum rewrite_result result, uoff_t size, const char *error);
/* Look at each message of the mailbox after ctx->last_uid, by the header alone.
   wanted is called for those that are, in a transaction; batch, if not NULL, at
   times, after the transaction. With count, others are counted. */
typedef void rewrite_wanted_t(struct rewrite_context *ctx, struct mail *mail,
			      void *context);
typedef void rewrite_batch_t(struct rewrite_context *ctx, void *context);
void rewrite_walk(struct rewrite_context *ctx, bool count,
		  rewrite_wanted_t *wanted, rewrite_batch_t *batch,
		  void *context);

/* rewrite-form.c: one message on its way from the old to the new form. */
struct rewrite_form {
	struct rewrite_context *ctx;
	/* What is opened; NULL if the message is plain. */
	struct istream *sealed;
	/* What the new form is made of: below compression, above the seal. */
	struct istream *input;
	uoff_t plain_size;
	/* Header of the new form; NULL if it is plain. */
	buffer_t *header;
	uint8_t file_key[AGE_FILE_KEY_SIZE];
	/* Bytes of the new form. */
	uoff_t size;
	bool already;
};

/* Look at the header alone. Returns REWRITE_WANTED or why not, and error_r. */
enum rewrite_result
rewrite_examine(struct rewrite_context *ctx, struct istream *stored,
		uoff_t size, const char **error_r);
/* Prepare the new form of a message. Unless REWRITE_WANTED is returned, there
   is nothing to deinit. Uses the data stack. */
enum rewrite_result
rewrite_form_init(struct rewrite_context *ctx, struct rewrite_form *form,
		  struct istream *stored, uoff_t size, const char **error_r);
/* Authenticate all of the old form now, instead of while it is read. */
enum rewrite_result
rewrite_form_verify(struct rewrite_form *form, const char **error_r);
/* Write the new form. output isn't finished. */
enum rewrite_result
rewrite_form_send(struct rewrite_form *form, struct ostream *output,
		  const char **error_r);
/* Open what was written, as later readers will; of a plain one the size alone
   is known to be right. Returns 0, or -1 and error_r. */
int rewrite_form_check(struct rewrite_form *form, int fd, uoff_t offset,
		       const char **error_r);
void rewrite_form_deinit(struct rewrite_form *form);

/* rewrite-temp.c: temporary files of ours. They are locked while their process
   lives, so that those of a killed one can be told from them. */
#define REWRITE_TEMP_PREFIX "mail-seal-rewrite."
/* Returns 0, or -1 and error_r; sets ctx->fatal where no file can be made. */
int rewrite_temp_create(struct rewrite_context *ctx, const char *dir,
			const char *prefix, struct rewrite_temp *temp_r,
			const char **error_r);
/* A name that nobody uses. */
char *rewrite_temp_name(const char *dir, const char *prefix);
/* Close, and remove the file if there is one. */
void rewrite_temp_discard(struct rewrite_temp *temp);
/* Remove what a killed process left in a folder. */
void rewrite_temp_cleanup(const char *dir, const char *prefix);
int rewrite_sync_dir(const char *dir, const char **error_r);

/* rewrite-links.c: files that were rewritten and have further names, by their
   old inode, for as long as the user lives. */
struct rewrite_links;
void rewrite_links_deinit(struct rewrite_links **links);
/* The old form is kept at old_path, so that its inode isn't used again. */
void rewrite_links_add(struct rewrite_context *ctx, const struct stat *old,
		       const char *old_path, const char *new_path);
/* If this inode was rewritten, make temp a link of the new form. Returns TRUE
   if so. */
bool rewrite_links_use(struct rewrite_context *ctx, const struct stat *old,
		       const char *dir, const char *prefix,
		       struct rewrite_temp *temp_r);
/* Drop it if all its names were rewritten. */
void rewrite_links_release(struct rewrite_context *ctx, const struct stat *old);

/* rewrite-file.c, -open.c, -replace.c: maildir and sdbox. */
void rewrite_files(struct rewrite_context *ctx);

/* rewrite-dbox.c: what dbox puts around a message. */
struct dbox_file;
void rewrite_dbox_send_header(struct ostream *output, uoff_t size);
/* The current message's metadata; new_size is that of its new form. Returns 0,
   or -1 and error_r. */
int rewrite_dbox_send_metadata(struct dbox_file *file, struct ostream *output,
			       uoff_t new_size, const char **error_r);

/* rewrite-mdbox.c */
void rewrite_mdbox(struct rewrite_context *ctx);

#endif
