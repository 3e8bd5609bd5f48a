/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_REWRITE_FILE_PRIVATE_H
#define PLUGIN_MAIL_REWRITE_FILE_PRIVATE_H

#include "rewrite-private.h"

struct dbox_file;

/* A message that is a file of its own, while it is rewritten. */
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

/* rewrite-file-open.c */
/* Call func with the message's path; again if it was renamed meanwhile. */
int rewrite_file_with_path(struct rewrite_file *file, rewrite_path_func *func);
/* Sets the error to what errno says. Returns -1. */
int rewrite_file_fail(struct rewrite_file *file, const char *function,
		      const char *path);
bool rewrite_file_is_same(const struct stat *a, const struct stat *b);
/* Open and lock the old form. Returns REWRITE_WANTED or why not. */
enum rewrite_result rewrite_file_open(struct rewrite_file *file);

/* rewrite-file-replace.c */
const char *rewrite_dir_of(const char *path);
/* Put the new form in the place of the old one. linked: it is a further name of
   a message that was rewritten before. */
enum rewrite_result
rewrite_file_replace(struct rewrite_file *file, bool linked);
/* Remove old forms, once the new ones are sure to stay. */
void rewrite_remove_old(struct rewrite_context *ctx);

#endif
