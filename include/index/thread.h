/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INDEX_THREAD_H
#define INDEX_THREAD_H

/* Dovecot's thread index holds checksums of Message-IDs and who answers whom,
   in a file of its own beside dovecot.index. Here it's kept in memory, for as
   long as the mailbox lives, and nothing of it is read from a file. */

struct mailbox;

/* Before a mailbox is opened, each time: its thread index will be in memory. */
void seal_thread_keep_in_memory(struct mailbox *box);
/* The mailbox was opened: remove the file that an earlier session left. */
void seal_thread_remove_file(struct mailbox *box);

/* All mailboxes are freed, and no more will be opened. */
void seal_thread_deinit(void);

#endif
