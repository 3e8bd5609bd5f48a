/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INDEX_SORT_H
#define INDEX_SORT_H

/* Dovecot stores the rank that each message has by its subject, sender and so
   on, in extensions of dovecot.index whose names begin with "sort-": whoever
   reads them knows which messages have the same subject, and much of what it
   is. Without them it sorts by the headers each time, to the same result. */

struct mail_index_transaction;

/* Before a transaction is committed: take out what it would store of ranks. */
void seal_sort_drop_ranks(struct mail_index_transaction *t);

#endif
