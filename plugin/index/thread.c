/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-index-private.h"
#include "mail-storage-private.h"
#include "index-storage.h"
#include "index-thread-private.h"
#include "index/thread.h"

#include <unistd.h>

/* One for all mailboxes: they take no more from it than that it has no files,
   and leave errors there at most. It outlives them. */
static struct mail_index *memory_index = NULL;

static struct mail_index *get_memory_index(void)
{
	if (memory_index != NULL)
		return memory_index;
	memory_index = mail_index_alloc(NULL, NULL, "mail-seal");
	if (mail_index_open_or_create(memory_index, 0) < 0)
		i_panic("mail_seal: No index in memory");
	return memory_index;
}

void seal_thread_keep_in_memory(struct mailbox *box)
{
	struct mail_index *index = box->index;

	/* Core does this itself when it has opened the mailbox, unless it was
	   done before: the first index is the one that is asked where the
	   threads are kept. */
	box->index = get_memory_index();
	index_thread_mailbox_opened(box);
	box->index = index;
}

void seal_thread_remove_file(struct mailbox *box)
{
	const char *path;

	if (mail_index_is_in_memory(box->index))
		return;
	path = t_strconcat(box->index->filepath, MAIL_THREAD_INDEX_SUFFIX,
			   NULL);
	if (unlink(path) < 0 && errno != ENOENT && errno != EROFS)
		e_warning(box->event, "mail_seal: unlink(%s) failed: %m", path);
}

void seal_thread_deinit(void)
{
	if (memory_index == NULL)
		return;
	mail_index_close(memory_index);
	mail_index_free(&memory_index);
}
