/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_INDEX_CACHE_MEMO_H
#define PLUGIN_INDEX_CACHE_MEMO_H

#include "index-mail.h"

/* What THREAD asks again and again of the same messages, in between of others: so
   that their records needn't be opened each time. It lives as long as the mailbox
   is open and there is a key. */

struct cache_memo;

enum cache_memo_header {
	CACHE_MEMO_MESSAGE_ID,
	CACHE_MEMO_IN_REPLY_TO,
	CACHE_MEMO_REFERENCES,
	CACHE_MEMO_HEADER_COUNT
};

struct cache_memo_entry {
	struct {
		bool known;
		/* Of the first such header; NULL if there is none. */
		const char *value;
	} headers[CACHE_MEMO_HEADER_COUNT];
	bool sent_date_known, received_date_known;
	struct mail_sent_date sent_date;
	time_t received_date;
};

struct cache_memo *cache_memo_init(void);
/* memo may be NULL, and is set to that. All is wiped. */
void cache_memo_deinit(struct cache_memo **memo);

/* FALSE if headers of this name aren't kept. */
bool cache_memo_header(const char *name, enum cache_memo_header *header_r);

/* NULL if nothing is known, or if memo is NULL. */
const struct cache_memo_entry *
cache_memo_find(const struct cache_memo *memo, uint32_t uid);
/* The value is copied. Nothing is added when there is too much already. */
void cache_memo_add_header(struct cache_memo *memo, uint32_t uid,
			   enum cache_memo_header header, const char *value);
void cache_memo_add_sent_date(struct cache_memo *memo, uint32_t uid,
			      const struct mail_sent_date *date);
void cache_memo_add_received_date(struct cache_memo *memo, uint32_t uid,
				  time_t date);

#endif
