/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_INDEX_COMPAT_CACHE_H
#define PLUGIN_INDEX_COMPAT_CACHE_H

#include "mail-cache.h"

/* Every field of ours begins with this. */
#define CACHE_FIELD_PREFIX "seal."

/* Dovecot 2.4 wants to be told what to do with names that are too long. */
static inline void
cache_register_fields(struct mail_cache *cache, struct mail_cache_field *fields,
		      unsigned int count)
{
#if DOVECOT_PREREQ(2, 4, 0)
	mail_cache_register_fields(cache, fields, count,
				   MAIL_CACHE_TRUNCATE_NAME_FAIL);
#else
	mail_cache_register_fields(cache, fields, count);
#endif
}

#endif
