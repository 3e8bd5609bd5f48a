/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail-index-private.h"
#include "mail-transaction-log-private.h"
#include "mail-storage-private.h"
#include "index-rank-private.h"
#include "index/sort.h"

#include <unistd.h>

/* An extension can't be removed from an index, so it stays, with nothing but
   zeroes in it. Each time ranks are stored its reset ID grows: the one that it
   had when all were cleared stands in its header. */

#define REASON "mail_seal: Clearing the ranks of messages"

static bool is_cleared(struct mail_index_map *map,
		       const struct mail_index_ext *ext)
{
	return ext->reset_id != 0 && ext->hdr_size >= sizeof(ext->reset_id) &&
		memcmp(MAIL_INDEX_MAP_HDR_OFFSET(map, ext->hdr_offset),
		       &ext->reset_id, sizeof(ext->reset_id)) == 0;
}

static bool has_zeroes_only(struct mail_index_map *map,
			    const struct mail_index_ext *ext)
{
	const unsigned char *rank;
	uint32_t seq;
	unsigned int i;

	for (seq = 1; seq <= map->rec_map->records_count; seq++) {
		rank = CONST_PTR_OFFSET(MAIL_INDEX_REC_AT_SEQ(map, seq),
					ext->record_offset);
		for (i = 0; i < ext->record_size; i++) {
			if (rank[i] != 0)
				return FALSE;
		}
	}
	return TRUE;
}

typedef void change_ext_t(struct mail_index_transaction *t, uint32_t ext_id,
			  struct mail_index_map *map,
			  const struct mail_index_ext *ext);

static void clear_ext(struct mail_index_transaction *t, uint32_t ext_id,
		      struct mail_index_map *map,
		      const struct mail_index_ext *ext)
{
	const uint32_t none = 0;

	mail_index_ext_reset_inc(t, ext_id, ext->reset_id, TRUE);
	/* A Maildir whose folders haven't changed is synchronised for changes
	   of messages alone. */
	if (map->rec_map->records_count > 0)
		mail_index_update_ext(t, 1, ext_id, &none, NULL);
}

/* Another process may have stored new ones meanwhile, or yet do so: then the
   reset ID is another one. */
static void mark_ext(struct mail_index_transaction *t, uint32_t ext_id,
		     struct mail_index_map *map,
		     const struct mail_index_ext *ext)
{
	if (has_zeroes_only(map, ext)) {
		mail_index_update_header_ext(t, ext_id, 0, &ext->reset_id,
					     sizeof(ext->reset_id));
	}
}

/* Returns how many extensions hold ranks, after a call for each of them. */
static unsigned int
each_uncleared(struct mail_index *index, struct mail_index_transaction *t,
	       change_ext_t *change)
{
	struct mail_index_map *map = index->map;
	const struct mail_index_ext *ext;
	unsigned int count = 0;
	uint32_t ext_id;

	if (!array_is_created(&map->extensions))
		return 0;
	array_foreach(&map->extensions, ext) {
		if (!seal_index_is_rank(ext->name) || is_cleared(map, ext))
			continue;
		count++;
		if (change == NULL)
			continue;
		ext_id = mail_index_ext_register(index, ext->name, 0,
						 sizeof(uint32_t),
						 sizeof(uint32_t));
		change(t, ext_id, map, ext);
	}
	return count;
}

static int change_uncleared(struct mail_index *index, change_ext_t *change)
{
	struct mail_index_view *view = mail_index_view_open(index);
	struct mail_index_transaction *t;
	int ret;

	/* Not an external one: nothing would have to be synchronised. */
	t = mail_index_transaction_begin(view, 0);
	(void)each_uncleared(index, t, change);
	ret = mail_index_transaction_commit(&t);
	mail_index_view_close(&view);
	return ret;
}

static void set_reason(char **reason)
{
	if (*reason == NULL)
		*reason = i_strdup(REASON);
}

uint32_t seal_sort_clear_begin(struct mailbox *box)
{
	struct mail_index *index = box->index;

	if (mail_index_is_in_memory(index) || index->readonly ||
	    each_uncleared(index, NULL, NULL) == 0)
		return 0;
	if (change_uncleared(index, clear_ext) < 0)
		return 0;
	/* The log that has them is replaced, and dovecot.index. */
	set_reason(&index->need_recreate);
	set_reason(&index->log->head->need_rotate);
	return index->log->head->hdr.file_seq;
}

/* Core keeps the log before the last, and dbox the index before the last; it may
   have been killed while it made that one. */
static int remove_old_files(struct mailbox *box)
{
	static const char *const suffixes[] = {
		MAIL_TRANSACTION_LOG_SUFFIX ".2", ".backup", ".backup.tmp"
	};
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(suffixes); i++) {
		if (i_unlink_if_exists(t_strconcat(box->index->filepath,
						   suffixes[i], NULL)) < 0)
			return -1;
	}
	return 0;
}

/* Under the lock nobody else is between a new log and the new index, and would
   need the old log. Returns TRUE if no file is left that has ranks. */
static bool replaced_all_files(struct mailbox *box, uint32_t begun)
{
	struct mail_index *index = box->index;
	uint32_t seq;
	uoff_t offset;
	bool replaced;

	if (mail_transaction_log_sync_lock(index->log, REASON, &seq,
					   &offset) < 0)
		return FALSE;
	replaced = seq > begun && index->main_index_hdr_log_file_seq == seq &&
		remove_old_files(box) == 0;
	mail_transaction_log_sync_unlock(index->log, REASON);
	return replaced;
}

void seal_sort_clear_end(struct mailbox *box, uint32_t begun)
{
	struct mail_index *index = box->index;

	if (begun == 0 || mail_index_is_in_memory(index) ||
	    index->main_index_hdr_log_file_seq <= begun)
		return;
	if (replaced_all_files(box, begun))
		(void)change_uncleared(index, mark_ext);
}
