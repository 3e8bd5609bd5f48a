/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_STORE_H
#define KEYRING_STORE_H

#include "keyring/keyring.h"

/* Where keyrings are kept. One store is one user's keyring. Every
   implementation makes durable what it has acknowledged, shows either the old
   or the new text and nothing in between, and never creates over an existing
   keyring. Error texts begin with the store's name and never hold a secret.
   Needs crypto_init(). */

struct keyring_store;

/* A file: written beside its place, synced, linked there, the directory synced,
   mode 0600. Missing directories are created with mode 0700. A path that is a
   symbolic link is followed, and an error if it leads nowhere: what it should
   lead to may come back. Only a name or directory that doesn't exist counts as
   "none"; where another file stands in the place of a directory it is an error,
   as no keyring could be created there either. A process that is killed while
   it creates may leave a file PATH.tmp.HEX behind. Nothing reads these; later
   creations remove those older than an hour. */
struct keyring_store *keyring_store_file_init(const char *path);
void keyring_store_deinit(struct keyring_store **store);

/* Where this keyring is, for messages: "keyring file /home/u/…". */
const char *keyring_store_name(const struct keyring_store *store);

/* Returns 1 and the keyring, which the caller frees; 0 if there is none; -1 and
   error_r if it can't be read or parsed, which must never be taken for "none".
   Never blocks on a file that is a FIFO, nor reads more than
   KEYRING_MAX_SIZE. */
int keyring_store_load(struct keyring_store *store, struct keyring **keyring_r,
		       const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Store a new keyring. Returns 1 if stored; 0 if there is one already, which is
   left as it is and is durable, too: load it; -1 and error_r. After -1 the
   keyring may yet be there, whole, if it was only the last sync that failed. */
int keyring_store_create(struct keyring_store *store,
			 const struct keyring *keyring, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
