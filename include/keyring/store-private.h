/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_STORE_PRIVATE_H
#define KEYRING_STORE_PRIVATE_H

#include "keyring/store.h"

/* What an implementation of a store provides: it moves texts, which it doesn't
   look into. A new one is one file, and its init function in store.h. All
   error_r are prefixed with the store's name by the caller. */

struct keyring_store_vfuncs {
	/* Free what is the implementation's own. The name is freed after. */
	void (*deinit)(struct keyring_store *store);
	/* Append the text to dest, or the first KEYRING_MAX_SIZE + 1 bytes of
	   it if it is larger. Returns 1; 0 if there is none; -1 and error_r. */
	int (*read)(struct keyring_store *store, buffer_t *dest,
		    const char **error_r);
	/* Likewise the previous text, if a change left one. NULL: never. */
	int (*read_previous)(struct keyring_store *store, buffer_t *dest,
			     const char **error_r);
	/* As keyring_store_stamp(). NULL: it is made of the text. */
	int (*stamp)(struct keyring_store *store,
		     struct keyring_stamp *stamp_r, const char **error_r);
	/* Store a first text, as keyring_store_create() demands. Returns 1; 0
	   if there is one already; -1 and error_r. */
	int (*create)(struct keyring_store *store, const string_t *text,
		      const char **error_r);

	/* Keep other changes out until unlock(), or fail after a while; if wait
	   is FALSE, at once. NULL: replace() alone tells who was faster.
	   Returns 1; 0 if there can't be a keyring, or if another change goes
	   on and wait is FALSE; -1 and error_r. */
	int (*lock)(struct keyring_store *store, bool wait,
		    const char **error_r);
	void (*unlock)(struct keyring_store *store);
	/* Put text in the place of old, which is kept as the previous text, or
	   is that already. Returns 1; 0 if another change was faster, so that
	   old isn't what is stored; -1 and error_r: rollback() follows. */
	int (*replace)(struct keyring_store *store, const buffer_t *old,
		       bool old_is_previous, const string_t *text,
		       const char **error_r);
	/* The stored text has been verified: forget the previous one. NULL if
	   there is none. Returns 0, or -1 and error_r. */
	int (*commit)(struct keyring_store *store, const char **error_r);
	/* Put the previous text, which is old, back. text is what replace() was
	   given, or NULL if something broken is in its place. Returns 0, or -1
	   and error_r. */
	int (*rollback)(struct keyring_store *store, const buffer_t *old,
			const string_t *text, const char **error_r);

	/* As keyring_store_destroy(). Within lock() and unlock(). */
	int (*destroy)(struct keyring_store *store, const char **error_r);
};

/* Embedded as the first member in the implementation's own struct. */
struct keyring_store {
	const struct keyring_store_vfuncs *v;
	/* e.g. "keyring file /home/u/…" */
	char *name;
	char *notice;
	/* Of what was loaded last. */
	struct keyring_stamp stamp;
};

#endif
