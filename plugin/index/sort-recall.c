/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail-index-private.h"
#include "mail-index-transaction-private.h"
#include "mail-search.h"
#include "cache-private.h"
#include "rank-file.h"
#include "index/sort.h"

/* Before core sorts, the ranks of the mailbox's sealed file are put into its index
   transaction, where core finds them as if they stood in the index. What it adds
   is taken from there into the file, before the transaction is committed without
   any ranks. */

struct recalled_ranks {
	uint32_t ext_id;
	bool in_use;
	/* By UID. */
	ARRAY_TYPE(cache_rank) ranks;
};

struct sort_transaction {
	union mailbox_transaction_module_context module_ctx;
	struct recalled_ranks keys[RANK_KEYS_COUNT];
};

#define SORT_TRANSACTION_CONTEXT(obj) \
	MODULE_CONTEXT(obj, sort_transaction_module)
static MODULE_CONTEXT_DEFINE_INIT(sort_transaction_module,
				  &mail_storage_module_register);

/* As rank_key_name() numbers them. */
static const enum mail_sort_type key_types[RANK_KEYS_COUNT] = {
	MAIL_SORT_CC, MAIL_SORT_FROM, MAIL_SORT_SUBJECT, MAIL_SORT_TO,
	MAIL_SORT_DISPLAYFROM, MAIL_SORT_DISPLAYTO
};

/* Returns the key that core sorts by with ranks, or -1. */
static int first_key(const enum mail_sort_type *program)
{
	unsigned int i;

	if (program == NULL)
		return -1;
	for (i = 0; i < RANK_KEYS_COUNT; i++) {
		if ((program[0] & MAIL_SORT_MASK) == key_types[i])
			return i;
	}
	return -1;
}

static struct sort_transaction *
get_transaction(struct mailbox_transaction_context *t)
{
	struct sort_transaction *st = SORT_TRANSACTION_CONTEXT(t);

	if (st == NULL) {
		st = i_new(struct sort_transaction, 1);
		MODULE_CONTEXT_SET(t, sort_transaction_module, st);
	}
	return st;
}

/* TRUE if core has ranked messages in this transaction. */
static bool has_changed(const struct mail_index_transaction *t, uint32_t ext_id)
{
	const struct mail_transaction_ext_reset *resets;
	unsigned int count;

	if (!array_is_created(&t->ext_resets))
		return FALSE;
	resets = array_get(&t->ext_resets, &count);
	return ext_id < count && resets[ext_id].new_reset_id != 0;
}

/* Returns 0 if it has none. */
static uint32_t
get_rank(struct mail_index_transaction *t, uint32_t ext_id, uint32_t seq)
{
	const ARRAY_TYPE(seq_array) *updates;
	const uint32_t *update;
	unsigned int idx;

	if (!array_is_created(&t->ext_rec_updates) ||
	    ext_id >= array_count(&t->ext_rec_updates))
		return 0;
	updates = array_idx(&t->ext_rec_updates, ext_id);
	if (!array_is_created(updates) ||
	    !mail_index_seq_array_lookup(updates, seq, &idx))
		return 0;
	/* The sequence stands before it. */
	update = array_idx(updates, idx);
	return update[1];
}

/* Core demands that no message without a rank comes before one with a rank. */
static void
update_ranks(struct mailbox_transaction_context *t, struct recalled_ranks *key)
{
	uint32_t messages = mail_index_view_get_messages_count(t->view);
	ARRAY_TYPE(cache_rank) ranks;
	const struct cache_rank *old;
	struct cache_rank rank;
	unsigned int i = 0, count;
	uint32_t seq;

	old = array_get(&key->ranks, &count);
	i_array_init(&ranks, messages);
	for (seq = 1; seq <= messages; seq++) {
		mail_index_lookup_uid(t->view, seq, &rank.uid);
		while (i < count && old[i].uid < rank.uid)
			i++;
		rank.rank = get_rank(t->itrans, key->ext_id, seq);
		if (rank.rank == 0 && i < count && old[i].uid == rank.uid)
			rank.rank = old[i].rank;
		if (rank.rank == 0)
			break;
		array_push_back(&ranks, &rank);
	}
	array_free(&key->ranks);
	key->ranks = ranks;
}

static void
recall_ranks(struct mailbox_transaction_context *t,
	     const struct recalled_ranks *key)
{
	uint32_t messages = mail_index_view_get_messages_count(t->view);
	const struct cache_rank *ranks;
	uint32_t seq, uid, rank;
	unsigned int i = 0, count;
	bool missing = FALSE;

	ranks = array_get(&key->ranks, &count);
	for (seq = 1; seq <= messages; seq++) {
		mail_index_lookup_uid(t->view, seq, &uid);
		while (i < count && ranks[i].uid < uid)
			i++;
		missing = missing || i == count || ranks[i].uid != uid;
		/* There may be others that are yet to be cleared. */
		rank = missing ? 0 : ranks[i].rank;
		mail_index_update_ext(t->itrans, seq, key->ext_id, &rank,
				      NULL);
	}
}

void seal_sort_recall(struct mailbox_transaction_context *t,
		      const enum mail_sort_type *program)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(t->box);
	struct recalled_ranks *key;
	int idx = first_key(program);

	if (idx < 0 || cbox == NULL || !cache_box_activate_now(t->box, cbox) ||
	    mail_index_is_in_memory(t->box->index))
		return;
	key = &get_transaction(t)->keys[idx];
	if (key->in_use) {
		update_ranks(t, key);
	} else {
		key->in_use = TRUE;
		key->ext_id = mail_index_ext_register(t->box->index,
			rank_key_name(idx), 0, sizeof(uint32_t),
			sizeof(uint32_t));
		i_array_init(&key->ranks, 128);
		rank_file_read(t->box, cbox, idx, &key->ranks);
	}
	recall_ranks(t, key);
}

void seal_sort_remember(struct mailbox_transaction_context *t)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(t->box);
	struct sort_transaction *st = SORT_TRANSACTION_CONTEXT(t);
	struct recalled_ranks *key;
	unsigned int i;

	if (st == NULL || cbox == NULL || t->box->index->readonly ||
	    !cache_box_activate(t->box, cbox))
		return;
	for (i = 0; i < RANK_KEYS_COUNT; i++) {
		key = &st->keys[i];
		if (!key->in_use || !has_changed(t->itrans, key->ext_id))
			continue;
		update_ranks(t, key);
		rank_file_write(t->box, cbox, i, &key->ranks);
	}
}

void seal_sort_forget(struct mailbox_transaction_context *t)
{
	struct sort_transaction *st = SORT_TRANSACTION_CONTEXT(t);
	unsigned int i;

	if (st == NULL)
		return;
	for (i = 0; i < RANK_KEYS_COUNT; i++) {
		if (st->keys[i].in_use)
			array_free(&st->keys[i].ranks);
	}
	MODULE_CONTEXT_UNSET(t, sort_transaction_module);
	i_free(st);
}
