/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_STORE_PRIVATE_H
#define KEYRING_STORE_PRIVATE_H

#include "keyring/store.h"

/* What an implementation of a store provides: it moves texts, which it doesn't
   look into. A new one is one file, and its init function in store.h. */

struct keyring_store_vfuncs {
	/* Free what is the implementation's own. The name is freed after. */
	void (*deinit)(struct keyring_store *store);
	/* Append the text to dest, or the first KEYRING_MAX_SIZE + 1 bytes of
	   it if it is larger. Returns 1; 0 if there is none; -1 and error_r,
	   which the caller prefixes with the name. */
	int (*read)(struct keyring_store *store, buffer_t *dest,
		    const char **error_r);
	/* Store a first text, as keyring_store_create() demands. Returns 1; 0
	   if there is one already; -1 and error_r, prefixed likewise. */
	int (*create)(struct keyring_store *store, const string_t *text,
		      const char **error_r);
};

/* Embedded as the first member in the implementation's own struct. */
struct keyring_store {
	const struct keyring_store_vfuncs *v;
	/* e.g. "keyring file /home/u/…" */
	char *name;
};

#endif
