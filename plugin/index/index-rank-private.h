/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_INDEX_INDEX_RANK_PRIVATE_H
#define PLUGIN_INDEX_INDEX_RANK_PRIVATE_H

/* TRUE if an extension of dovecot.index by this name holds ranks. */
static inline bool seal_index_is_rank(const char *name)
{
	return strncmp(name, "sort-", 5) == 0;
}

#endif
