/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INDEX_SORT_H
#define INDEX_SORT_H

#include "mail-storage.h"

/* Dovecot stores the rank that each message has by its subject, sender and so
   on, in extensions of dovecot.index whose names begin with "sort-": whoever
   reads them knows which messages have the same subject, and much of what it
   is. They are kept in sealed files instead; without any it sorts by the headers,
   to the same result. */

struct mail_index_transaction;

/* Before a search in a transaction: put in the ranks by the first key of program,
   which may be NULL, of the sealed file. Nothing if the session has no key. */
void seal_sort_recall(struct mailbox_transaction_context *t,
		      const enum mail_sort_type *program);
/* Before it is committed: write those that core has added into the files. */
void seal_sort_remember(struct mailbox_transaction_context *t);
/* Free what the transaction has of them, before it ends in whatever way. */
void seal_sort_forget(struct mailbox_transaction_context *t);

/* Before a transaction is committed: take out what it would store of ranks. */
void seal_sort_drop_ranks(struct mail_index_transaction *t);

/* Ranks that earlier sessions have stored are cleared in two steps, around the
   synchronisation of a mailbox, which rewrites dovecot.index and starts a new
   log. Whatever happens in between, they stay marked as not cleared until
   nothing of them is left, and the next synchronisation begins anew. */

/* Returns 0 if there are none or nothing can be done, or what _end() takes. */
uint32_t seal_sort_clear_begin(struct mailbox *box);
/* What the synchronisation returned doesn't matter. */
void seal_sort_clear_end(struct mailbox *box, uint32_t begun);

#endif
