/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail-index-private.h"
#include "mail-index-transaction-private.h"
#include "mail-storage-private.h"
#include "index-rank-private.h"
#include "index/sort.h"

/* A list that is empty is written as well, with the name of its extension. */
static void free_updates(struct mail_index_transaction *t, uint32_t ext_id)
{
	ARRAY_TYPE(seq_array) *updates;

	if (!array_is_created(&t->ext_rec_updates) ||
	    ext_id >= array_count(&t->ext_rec_updates))
		return;
	updates = array_idx_modifiable(&t->ext_rec_updates, ext_id);
	if (array_is_created(updates))
		array_free(updates);
}

/* Core takes a list of lists for a change, be they all gone. */
static void free_lists_if_empty(struct mail_index_transaction *t)
{
	const ARRAY_TYPE(seq_array) *updates;

	if (!array_is_created(&t->ext_rec_updates))
		return;
	array_foreach(&t->ext_rec_updates, updates) {
		if (array_is_created(updates))
			return;
	}
	array_free(&t->ext_rec_updates);
}

static void drop_extension(struct mail_index_transaction *t, uint32_t ext_id)
{
	free_updates(t, ext_id);
	if (array_is_created(&t->ext_reset_atomic) &&
	    ext_id < array_count(&t->ext_reset_atomic))
		array_idx_clear(&t->ext_reset_atomic, ext_id);
	/* Drops all else, and sees whether any change is left. */
	mail_index_ext_set_reset_id(t, ext_id, 0);
}

void seal_sort_drop_ranks(struct mail_index_transaction *t)
{
	const struct mail_index_registered_ext *ext;
	unsigned int i, count;

	if (!t->log_ext_updates)
		return;
	ext = array_get(&t->view->index->extensions, &count);
	for (i = 0; i < count; i++) {
		if (seal_index_is_rank(ext[i].name))
			drop_extension(t, i);
	}
	free_lists_if_empty(t);
}
