/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_INDEX_TRACES_H
#define PLUGIN_INDEX_TRACES_H

#include "module-context.h"
#include "mail-storage-private.h"

/* Keep SORT's ranks and THREAD's checksums of sealed mail off the disk. */
void traces_mailbox_allocated(struct mailbox *box);

#endif
