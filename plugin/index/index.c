/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "index/index.h"
#include "index/thread.h"
#include "mail/mail-seal-memory.h"
#include "cache-private.h"
#include "traces.h"

void seal_index_init(void)
{
	mail_seal_memory_set(&cache_mail_memory);
}

void seal_index_deinit(void)
{
	seal_thread_deinit();
}

void seal_index_traces_mailbox_allocated(struct mailbox *box)
{
	traces_mailbox_allocated(box);
}

void seal_index_mailbox_allocated(struct mailbox *box)
{
	cache_mailbox_allocated(box);
}

void seal_index_mail_allocated(struct mail *mail)
{
	cache_mail_allocated(mail);
}
