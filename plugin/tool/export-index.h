/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXPORT_INDEX_H
#define EXPORT_INDEX_H

/* One of Dovecot's indexes (dovecot.index and its log), for reading. Dovecot's
   own library reads it, and may repair or rewrite what it reads: so it gets a
   copy, in a folder that is removed again. */

struct export_index;

struct export_index_record {
	uint32_t uid;
	/* The letters of a Maildir's flags, in their order. From the data
	   stack. */
	const char *flags;
};

/* Returns 1; 0 if there is no index; -1 and error_r if it can't be read. */
int export_index_open(const char *dir, const char *prefix,
		      struct export_index **index_r, const char **error_r);
void export_index_close(struct export_index **index);

/* Records are counted from 1 on. */
uint32_t export_index_count(const struct export_index *index);
void export_index_get(const struct export_index *index, uint32_t seq,
		      struct export_index_record *record_r);
bool export_index_find(const struct export_index *index, uint32_t uid,
		       uint32_t *seq_r);
/* UIDs below it have been given to messages; those of them that have no record
   are of deleted ones. 0 if that can't be told, as the index was repaired. */
uint32_t export_index_next_uid(const struct export_index *index);
/* 0 if it isn't known. */
uint32_t export_index_uidvalidity(const struct export_index *index);
/* Returns size bytes that an extension of the index holds for a record, or
   NULL. */
const void *export_index_extension(const struct export_index *index,
				   uint32_t seq, const char *name, size_t size);
/* Text of the file dovecot-keywords, which says what the letters from a to z
   mean. "" if there are none. */
const char *export_index_keywords(const struct export_index *index);
/* How many keywords there are beyond these letters. */
unsigned int export_index_lost_keywords(const struct export_index *index);

#endif
