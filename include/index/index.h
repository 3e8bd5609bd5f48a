/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

/* What Dovecot's index files hold of sealed mail: nothing in clear text, and no
   trace of it. These are called as Dovecot's hooks of the same names, before those
   of the mail layer, so as to come above it. */

struct mail;
struct mailbox;

/* When the module is loaded. */
void seal_index_init(void);
void seal_index_deinit(void);
void seal_index_mailbox_allocated(struct mailbox *box);
/* To be registered apart from that. */
void seal_index_traces_mailbox_allocated(struct mailbox *box);
void seal_index_mail_allocated(struct mail *mail);

#endif
