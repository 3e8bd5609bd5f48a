/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXPORT_DBOX_H
#define EXPORT_DBOX_H

#include "tool/dbox.h"
#include "export.h"
#include "export-index.h"

/* What sdbox and mdbox have in common: the tree of mailboxes with their
   indexes, and messages in files of that format. */

struct export_dbox_mailbox {
	/* The folder of its index. */
	const char *path;
	/* NULL if there is none that can be read, which was said. */
	struct export_index *index;
	/* Lines of dovecot-uidlist, by which the messages keep their UIDs. */
	string_t *uids;
};

/* Called for each mailbox, after its folder was begun. */
typedef enum tool_exit
export_dbox_mailbox_t(struct export *export,
		      struct export_dbox_mailbox *mailbox, void *context);
enum tool_exit
export_dbox_mailboxes(struct export *export, export_dbox_mailbox_t *callback,
		      void *context);

/* Begin the folder of a mailbox, whose name is as in the file system. */
enum tool_exit export_dbox_begin(struct export *export, const char *mailbox);

/* Open a file, or the one of the alternative storage if there is none: path is
   below the source. Returns 0, or -1 having counted the failure. */
int export_dbox_open(struct export *export, const char *path,
		     struct dbox_file *file_r);
void export_dbox_close(struct dbox_file *file);

/* Hand on what was found at an offset. The two numbers make its name unique in
   its folder. */
struct export_dbox_place {
	const char *path;
	uoff_t offset;
	unsigned int number[2];
	const char *flags;
	/* To which a line with the first number as its UID is appended; or
	   NULL. */
	string_t *uids;
};
enum tool_exit
export_dbox_message(struct export *export, struct dbox_file *file,
		    const struct dbox_message *message,
		    const struct export_dbox_place *place);
/* Read about it first, and count it as a failure if that fails. */
enum tool_exit
export_dbox_place(struct export *export, struct dbox_file *file,
		  const struct export_dbox_place *place);

#endif
