/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXPORT_MDBOX_H
#define EXPORT_MDBOX_H

#include "export-dbox.h"

struct mdbox {
	struct export *export;
	/* NULL if it can't be read. */
	struct export_index *map;
	/* Which records of the map a mailbox has named, from 1 on. */
	ARRAY(bool) seen;
	/* The file that was read last; 0 if there is none. */
	uint32_t file_id;
	struct dbox_file file;
};

struct mdbox_place {
	uint32_t file_id, offset;
	/* How many mailboxes the message is in. */
	unsigned int refcount;
};

/* Returns 0, or -1 having counted the failure. */
int mdbox_open_file(struct mdbox *mdbox, uint32_t file_id);
void mdbox_close_file(struct mdbox *mdbox);
/* Returns FALSE if the map doesn't know where it is. */
bool mdbox_get_place(struct mdbox *mdbox, uint32_t map_seq,
		     struct mdbox_place *place_r);
/* uid is 0 if it isn't known, uids may then be NULL. */
enum tool_exit
mdbox_export_place(struct mdbox *mdbox, const struct mdbox_place *place,
		   uint32_t uid, const char *flags, string_t *uids);

/* Messages that no mailbox has named although the map counts some, as an index
   couldn't be read; without a map, all messages of all files. They go where
   they were first saved. Those that the map counts in no mailbox are deleted
   ones. */
enum tool_exit mdbox_export_lost(struct mdbox *mdbox);

#endif
