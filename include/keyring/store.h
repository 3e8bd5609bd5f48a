/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_STORE_H
#define KEYRING_STORE_H

#include "keyring/keyring.h"

struct event;

/* Where keyrings are kept. One store is one user's keyring. Every
   implementation makes durable what it has acknowledged, shows either the old
   or the new text and nothing in between, never creates over an existing
   keyring, and never lets one change undo another that was made at the same
   time. Error texts begin with the store's name and never hold a secret. No
   function waits for longer than KEYRING_STORE_TIMEOUT_SECS, and another such
   time for what was begun when it is over. Needs crypto_init(). */

#define KEYRING_STORE_TIMEOUT_SECS 30

struct keyring_store;

/* A file: written beside its place, synced, renamed or linked there, the
   directory synced, mode 0600, the owner kept. Missing directories are created
   with mode 0700. A path that is a symbolic link is followed, and an error if it
   leads nowhere: what it should lead to may come back. Only a name or directory
   that doesn't exist counts as "none"; where another file stands in the place of
   a directory it is an error, as no keyring could be created there either.

   Beside PATH there may be
   - PATH.lock while it is changed; a process that was killed leaves it, which
     hinders nobody, as what counts is a lock on it;
   - PATH.bak, the previous keyring, from the moment before a new one takes its
     place until the new one was read back and verified. If a killed change left
     it, the next change or keyring_store_settle() removes it. If PATH is
     missing, or isn't a whole keyring (nor one of a later version), and PATH.bak
     is one, it is loaded from there, as keyring_store_notice() then tells, and
     the next change or keyring_store_settle() puts it back into its place;
   - PATH.damaged, a keyring that was broken and had to make room then, for a
     person to look at;
   - PATH.tmp.HEX, which nothing reads; those older than an hour are removed by
     later changes. */
struct keyring_store *keyring_store_file_init(const char *path);

/* Dovecot's dict API, for clusters. The keyring is the value of the key
   priv/mail-seal/keyring of the user. How changes at the same time are kept
   apart depends on what the database offers, and is told in store-dict.c:
   works with Redis, and with SQL databases that have the trigger which the
   manual gives. Other drivers are refused. */
struct keyring_dict_settings {
	/* Dovecot 2.3: the URI, e.g. "proxy::mail_seal" or
	   "redis:host=127.0.0.1". On 2.4 the settings dict_* apply that event
	   leads to, by its settings filter name. */
	const char *uri;
	struct event *event;
	const char *username;
	/* NULL if not known. */
	const char *home;
	/* 2.3: where the dict proxy's socket is. */
	const char *base_dir;
};
/* Returns 0, or -1 and error_r if the settings are wrong. Doesn't connect. The
   caller has registered the dict drivers, as Dovecot's processes have. */
int keyring_store_dict_init(const struct keyring_dict_settings *set,
			    struct keyring_store **store_r,
			    const char **error_r) ATTR_WARN_UNUSED_RESULT;

/* Free and set *store to NULL. */
void keyring_store_deinit(struct keyring_store **store);

/* Where this keyring is, for messages: "keyring file /home/u/…". */
const char *keyring_store_name(const struct keyring_store *store);
/* Something about the last call that the administrator should know although it
   succeeded: a warning for the log, which begins with the store's name. NULL if
   there is nothing. */
const char *keyring_store_notice(const struct keyring_store *store);

/* Returns 1 and the keyring, which the caller frees; 0 if there is none; -1 and
   error_r if it can't be read or parsed, which must never be taken for "none".
   Never blocks on a file that is a FIFO, nor reads more than
   KEYRING_MAX_SIZE. */
int keyring_store_load(struct keyring_store *store, struct keyring **keyring_r,
		       const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* What is other after each change of a stored keyring; zeroed if there is
   none. */
struct keyring_stamp {
	uint64_t data[6];
};
/* For a file this costs one stat(), for a dict as much as loading. Returns 1; 0
   if there is none; -1 and error_r. */
int keyring_store_stamp(struct keyring_store *store,
			struct keyring_stamp *stamp_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* The stamp of what keyring_store_load() found last, for nothing. */
const struct keyring_stamp *
keyring_store_loaded_stamp(const struct keyring_store *store);
/* Store a new keyring and read it back. Returns 1 if stored; 0 if there is one already, which is
   left as it is and is durable, too: load it; -1 and error_r. After -1 the
   keyring may yet be there: whole, if it was only the last sync that failed, or
   not, if it could not be read back. */
int keyring_store_create(struct keyring_store *store,
			 const struct keyring *keyring, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

struct keyring_update {
	/* Make the new keyring from the one that is stored now. Returns 1 and
	   the new one; 0 if there is nothing to change; -1 and error_r, which
	   is handed on without the store's name. May be
	   called again with a newer keyring if another process was faster: what
	   an earlier call made is then void. */
	int (*change)(const struct keyring *keyring,
		      struct keyring **new_keyring_r, void *context,
		      const char **error_r);
	/* Check the keyring as it was read back: that it opens. Only after this
	   is the previous version given up; if it fails, the previous version
	   is put back. Returns 0, or -1 and error_r. NULL: that it is the same
	   text is enough. */
	int (*verify)(const struct keyring *keyring, void *context,
		      const char **error_r);
	void *context;
};
/* Change the stored keyring. Returns 1 if the new one is stored; 0 if change()
   returned 0; -1 and error_r, also if there is no keyring. In the first two
   cases, if keyring_r isn't NULL, it gets the keyring that is stored now, which
   the caller frees. After -1 it is the old keyring that is stored, unless the
   error says that this isn't certain; then it is one of both, whole. */
int keyring_store_update(struct keyring_store *store,
			 const struct keyring_update *update,
			 struct keyring **keyring_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* The keyring that was loaded from this store has been opened: if a killed
   change has left a previous version, finish what it began. Cheap if there is
   nothing to do. Returns 0, or -1 and error_r, which harms nobody. */
int keyring_store_settle(struct keyring_store *store,
			 const struct keyring *keyring, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Destroy the keyring and whatever is kept beside it, so that no slot of it can
   be opened any more: files are overwritten and then removed. What lies in
   snapshots, journals and backups, or is kept by the disk itself, is out of
   reach. Works for damaged keyrings, too. Returns 1; 0 if there was none; -1 and
   error_r: it may then be destroyed already; try again. */
int keyring_store_destroy(struct keyring_store *store, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
