/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXPORT_H
#define EXPORT_H

#include "tool.h"

/* mail-seal export: a whole store into a plain Maildir. One file for each
   storage format walks through the source and hands every message on, with the
   folder and the name that it is to have; from there on all are treated alike.
   Nothing is ever opened for writing below the source. Sizes are bytes.

   What is wrong with one message or folder is told, counted, and passed over;
   what is wrong with the output ends the export. Functions that return an exit
   code mean the latter: TOOL_DONE is to go on. */

struct age_identities;
struct istream;
struct export_target;
struct progress;
struct stat;

struct export_counts {
	/* Written, or in a dry run looked at. */
	unsigned int messages;
	/* As they are stored in the source. */
	uint64_t bytes;
	/* There from an earlier run; told to be wrong; deleted by their user
	   and not yet removed by Dovecot. */
	unsigned int present, failed, deleted;
	unsigned int folders;
};

struct export {
	/* Without a slash at the end. */
	const char *source;
	const struct age_identities *identities;
	/* NULL: a dry run, or only counting. */
	struct export_target *target;
	/* NULL if it isn't shown: then total is how much there is. */
	struct progress *progress;
	struct export_counts counts, total;
	/* Don't read the messages: find out how much there is. */
	bool counting;
};

struct export_message {
	/* For the person: the path, and the place in it. */
	const char *name;
	/* What it is called in the folder, with its flags. */
	const char *file;
	/* In new/ rather than cur/. */
	bool is_new;
	time_t date;
	/* What is wrong around the message, which only matters if no seal
	   vouches for it; or NULL. */
	const char *frame_error;
};

/* export-store.c: look what the source is, and walk through it. */
enum tool_exit export_store(struct export *export);
/* One for each format. */
enum tool_exit export_maildir(struct export *export);
enum tool_exit export_sdbox(struct export *export);
enum tool_exit export_mdbox(struct export *export);

/* Say what is wrong with a message or folder, and count it. */
void export_fail(struct export *export, const char *name, const char *fmt, ...)
	ATTR_FORMAT(3, 4);
/* Say something that isn't counted as a failure. */
void export_note(struct export *export, const char *name, const char *fmt, ...)
	ATTR_FORMAT(3, 4);
/* TRUE if a signal asked to end. */
bool export_is_interrupted(void);

/* export-message.c: stored is the content as the storage keeps it, and can be
   sought. stored_size is what it takes in the source. */
enum tool_exit
export_message(struct export *export, const struct export_message *message,
	       struct istream *stored, uint64_t stored_size);
/* A message that is a file. dir_fd and path are for openat(). */
enum tool_exit
export_file(struct export *export, int dir_fd, const char *path,
	    struct export_message *message);
/* Copy a file that stands beside the messages, if there is one. */
enum tool_exit
export_control_file(struct export *export, const char *path, const char *name);
/* Open a file that must be a regular one. Returns 0, or -1 having counted the
   failure. */
int export_open(struct export *export, int dir_fd, const char *path,
		const char *name, struct istream **input_r, struct stat *st_r);

/* export-target.c: the Maildir that is written. Every message is written in
   tmp/, synced, and renamed to its place when it is whole. */

#define EXPORT_FLAGS_SEPARATOR ':'

/* Make the folder, or take up an export of this source that was begun there.
   source is its real path. */
enum tool_exit
export_target_open(const char *path, const char *source,
		   struct export_target **target_r);
void export_target_close(struct export_target **target);
/* Begin a folder, "" being INBOX, and end the one before. */
enum tool_exit
export_target_begin(struct export_target *target, const char *folder);
/* Have on disk what was written to the folder. */
enum tool_exit export_target_end(struct export_target *target);
/* Whether an earlier run has written the message. It gets the flags of now. */
enum tool_exit
export_target_find(struct export_target *target,
		   const struct export_message *message, bool *found_r);
/* Begin a message. fd_r is to be written to. */
enum tool_exit export_target_create(struct export_target *target, int *fd_r);
enum tool_exit
export_target_commit(struct export_target *target, int fd,
		     const struct export_message *message);
void export_target_discard(struct export_target *target, int fd);
/* A small file of the folder beside the messages, as dovecot-keywords. */
enum tool_exit
export_target_write(struct export_target *target, const char *name,
		    const void *data, size_t size);

#endif
