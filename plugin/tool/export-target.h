/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXPORT_TARGET_H
#define EXPORT_TARGET_H

#include "export.h"

#include "hash.h"

/* What the files of the target share. */

/* A message is synced together with those that follow it: one by one it takes a
   disk many times as long. */
#define EXPORT_PENDING_COUNT 64

/* A message in tmp/, whole. */
struct export_pending {
	int fd;
	/* Where it will be, e.g. "cur/…". */
	char *place;
};

struct export_target {
	const char *path;
	int marker_fd;
	/* Of the folder now, -1 if there is none. */
	int folder_fd;
	char *folder;
	/* In folders that an earlier run left: the name without the flags, and
	   the path below the folder. */
	pool_t pool;
	HASH_TABLE(char *, char *) present;
	/* The idx'th is tmp/mail-seal.export.IDX; one more may be written. */
	struct export_pending pending[EXPORT_PENDING_COUNT];
	unsigned int pending_count;
};

/* Say what failed with a file of the folder, and why (errno). */
enum tool_exit
export_target_fail(const struct export_target *target, const char *file,
		   const char *what);
/* Where a message will be below the folder. */
const char *export_target_place(const struct export_message *message);
/* Remove what a killed run left in tmp/. */
void export_target_clean(struct export_target *target);
/* Give up messages that have no name yet. */
void export_target_discard_pending(struct export_target *target);
/* Forget the folder. */
void export_target_leave(struct export_target *target);

#endif
