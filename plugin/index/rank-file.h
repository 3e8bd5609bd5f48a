/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_INDEX_RANK_FILE_H
#define PLUGIN_INDEX_RANK_FILE_H

#include "cache/ranks.h"

/* The ranks of a mailbox's messages by one SORT key, in a sealed file beside its
   index: what Dovecot would keep in an extension of dovecot.index. A file that is
   missing or not authentic is as good as none. */

struct mailbox;
struct cache_box;

/* How many SORT keys have ranks: they are numbered from 0. */
#define RANK_KEYS_COUNT 6

/* The name of a SORT key's index extension. */
const char *rank_key_name(unsigned int key);

/* Fill ranks with those of the file; none if there is no file that is of use. cbox
   has a key, as below. */
void rank_file_read(struct mailbox *box, struct cache_box *cbox,
		    unsigned int key, ARRAY_TYPE(cache_rank) *ranks);

/* Replace the file. If that fails, the log says why, and the old one stays. */
void rank_file_write(struct mailbox *box, struct cache_box *cbox,
		     unsigned int key, const ARRAY_TYPE(cache_rank) *ranks);

/* Remove all of them, as the mailbox's key is another one now. */
void rank_files_remove(struct mailbox *box);

#endif
