/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_STORE_DICT_PRIVATE_H
#define KEYRING_STORE_DICT_PRIVATE_H

#include "dict.h"
#include "keyring/store-private.h"

/* Keyrings in Dovecot's dicts. The API has no "set if unchanged", and what it
   promises differs: increasing what isn't there does nothing in SQL, but makes
   it in Redis; SQL can refuse a change, Redis can't. So there are two methods, for SQL (store-dict-revision.c) and for Redis
   (store-dict-chain.c). Which one a dict needs is tried out before the first
   keyring of a user is stored, as the dict may be behind a proxy: the key
   REVISION is decreased by 1, which gives a negative number in Redis alone.

   Replies are not relied on where it matters: what the dict holds is read back.
   Transactions are committed asynchronously and waited for, since a synchronous
   one calls back twice in the Redis driver of Dovecot 2.3. */

#define STORE_DICT_KEYRING "priv/mail-seal/keyring"
#define STORE_DICT_REVISION "priv/mail-seal/revision"

struct dict_keyring_store {
	struct keyring_store store;
	struct dict *dict;
	char *username, *home;
	/* When the call began. After a while no operation is begun. */
	uint64_t begun_usecs;
	/* A change has failed, but may be carried out yet. */
	bool uncertain;
};

/* Returns 1 and the value, from the data stack; 0 if there is none; -1 and
   error_r. */
int store_dict_get(struct dict_keyring_store *dstore, const char *key,
		   const char **value_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* The same with a number, which must be one. */
int store_dict_get_number(struct dict_keyring_store *dstore, const char *key,
			  int64_t *number_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* Returns NULL and error_r if it is too late to begin. */
struct dict_transaction_context *
store_dict_begin(struct dict_keyring_store *dstore, const char **error_r);
/* Returns 0; -1 and error_r if it failed, or may have. */
int store_dict_commit(struct dict_keyring_store *dstore,
		      struct dict_transaction_context **trans,
		      const char **error_r) ATTR_WARN_UNUSED_RESULT;

/* SQL: a row of each user with a revision that counts up. A trigger lets it be
   updated to no revision but the next. Functions return as those of struct
   keyring_store_vfuncs. */
int store_dict_revision_create(struct dict_keyring_store *dstore,
			       const char *text, const char **error_r);
int store_dict_revision_replace(struct dict_keyring_store *dstore,
				const char *old, const char *text,
				const char **error_r);
int store_dict_revision_destroy(struct dict_keyring_store *dstore,
				const char **error_r);

/* Redis: a chain of versions. What is stored under STORE_DICT_KEYRING is the
   text and a comment that names its ticket. */

/* Returns 1 if value has that comment. */
bool store_dict_chain_is(const char *value);
/* The latest text, given what is stored. Returns 1; 0 if there is none any more;
   -1 and error_r. */
int store_dict_chain_read(struct dict_keyring_store *dstore, const char *value,
			  const char **text_r, const char **error_r);
int store_dict_chain_create(struct dict_keyring_store *dstore,
			    const char *text, const char **error_r);
int store_dict_chain_replace(struct dict_keyring_store *dstore,
			     const char *old, const char *text,
			     const char **error_r);
int store_dict_chain_destroy(struct dict_keyring_store *dstore,
			     const char **error_r);

#endif
