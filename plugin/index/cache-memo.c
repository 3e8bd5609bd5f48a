/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "hash.h"
#include "cache-private.h"
#include "cache-memo.h"

/* As long as this, a mailbox's headers are kept. */
#define MEMO_MAX_SIZE (16 * 1024 * 1024)

struct cache_memo {
	pool_t pool;
	HASH_TABLE(void *, struct cache_memo_entry *) entries;
};

struct cache_memo *cache_memo_init(void)
{
	struct cache_memo *memo = i_new(struct cache_memo, 1);

	/* Wiped when it's destroyed. */
	memo->pool = pool_alloconly_create_clean("mail_seal memo", 32 * 1024);
	hash_table_create_direct(&memo->entries, default_pool, 0);
	return memo;
}

void cache_memo_deinit(struct cache_memo **_memo)
{
	struct cache_memo *memo = *_memo;

	*_memo = NULL;
	if (memo == NULL)
		return;
	hash_table_destroy(&memo->entries);
	pool_unref(&memo->pool);
	i_free(memo);
}

const struct cache_memo_entry *
cache_memo_find(const struct cache_memo *memo, uint32_t uid)
{
	return memo == NULL ? NULL :
		hash_table_lookup(memo->entries, POINTER_CAST(uid));
}

bool cache_memo_header(const char *name, enum cache_memo_header *header_r)
{
	static const char *const names[CACHE_MEMO_HEADER_COUNT] = {
		"Message-ID", "In-Reply-To", "References"
	};
	unsigned int i;

	for (i = 0; i < CACHE_MEMO_HEADER_COUNT; i++) {
		if (strcasecmp(names[i], name) == 0) {
			*header_r = i;
			return TRUE;
		}
	}
	return FALSE;
}

static struct cache_memo_entry *
get_entry(struct cache_memo *memo, uint32_t uid)
{
	struct cache_memo_entry *entry =
		hash_table_lookup(memo->entries, POINTER_CAST(uid));

	if (entry == NULL &&
	    pool_alloconly_get_total_used_size(memo->pool) < MEMO_MAX_SIZE) {
		entry = p_new(memo->pool, struct cache_memo_entry, 1);
		hash_table_insert(memo->entries, POINTER_CAST(uid), entry);
	}
	return entry;
}

void cache_memo_add_header(struct cache_memo *memo, uint32_t uid,
			   enum cache_memo_header header, const char *value)
{
	struct cache_memo_entry *entry = get_entry(memo, uid);

	if (entry != NULL && !entry->headers[header].known) {
		entry->headers[header].known = TRUE;
		entry->headers[header].value = p_strdup(memo->pool, value);
	}
}

void cache_memo_add_sent_date(struct cache_memo *memo, uint32_t uid,
			      const struct mail_sent_date *date)
{
	struct cache_memo_entry *entry = get_entry(memo, uid);

	if (entry != NULL) {
		entry->sent_date_known = TRUE;
		entry->sent_date = *date;
	}
}

void cache_memo_add_received_date(struct cache_memo *memo, uint32_t uid,
				  time_t date)
{
	struct cache_memo_entry *entry = get_entry(memo, uid);

	if (entry != NULL) {
		entry->received_date_known = TRUE;
		entry->received_date = date;
	}
}
