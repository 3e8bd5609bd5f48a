/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "crypto/secret.h"
#include "store-dict-private.h"

/* SQL. A user has a row with the keyring, a revision that counts up, and the
   tickets of those who wrote it last. Dovecot writes the row by one statement,
   INSERT … ON CONFLICT … DO UPDATE, which a trigger skips if the row is there
   and its revision isn't the one before. That is no error for the database:
   whoever writes looks for the own ticket afterwards, a random number. (An error
   would be understood as well, but the PostgreSQL driver disconnects at each.)
   A row is never deleted, as a late change would bring it back: where there is
   no keyring the text is empty.

   A database without the trigger would accept late changes and lose slots. So
   before the first keyring of a user is stored, it has to prove that it doesn't
   carry one out. */

#define WRITERS "priv/mail-seal/writers"
/* Tickets that are kept: if more others write before one looks, it can't tell any
   more. */
#define WRITERS_MAX 64

struct row {
	int64_t revision;
	/* NULL if there is no row. */
	const char *text;
	const char *const *writers;
};

/* The row may change between the lookups: the revision is read first, so that it
   is then too old. */
static int read_row(struct dict_keyring_store *dstore, struct row *row_r,
		    const char **error_r)
{
	const char *writers;

	i_zero(row_r);
	if (store_dict_get_number(dstore, STORE_DICT_REVISION,
				  &row_r->revision, error_r) < 0 ||
	    store_dict_get(dstore, STORE_DICT_KEYRING, &row_r->text,
			   error_r) < 0 ||
	    store_dict_get(dstore, WRITERS, &writers, error_r) < 0)
		return -1;
	row_r->writers = t_strsplit_spaces(writers == NULL ? "" : writers, " ");
	return 0;
}

/* Write the row. error_r is NULL if the dict says that it did. */
static void
write_row(struct dict_keyring_store *dstore, const struct row *old,
	  const char *ticket, const char *text, const char **error_r)
{
	struct dict_transaction_context *trans =
		store_dict_begin(dstore, error_r);
	string_t *writers = t_str_new(256);

	if (trans == NULL)
		return;
	str_append(writers, ticket);
	for (unsigned int i = 0; i < WRITERS_MAX - 1 &&
	     old->writers[i] != NULL; i++)
		str_printfa(writers, " %s", old->writers[i]);
	dict_set(trans, STORE_DICT_KEYRING, text);
	dict_set(trans, STORE_DICT_REVISION, dec2str(old->revision + 1));
	dict_set(trans, WRITERS, str_c(writers));
	if (store_dict_commit(dstore, &trans, error_r) == 0)
		*error_r = NULL;
}

/* The row is a later one, and the own ticket isn't among the last. Returns 0 if
   another one wrote what comes after old; -1 and error_r if that was too long
   ago to say. */
static int
not_written(struct dict_keyring_store *dstore, const struct row *old,
	    const struct row *found, const char **error_r)
{
	int64_t revision;
	int ret;

	if (str_array_length(found->writers) < WRITERS_MAX)
		return 0;
	/* what the tickets belong to was not earlier */
	ret = store_dict_get_number(dstore, STORE_DICT_REVISION, &revision,
				    error_r);
	if (ret > 0 && revision - old->revision <= WRITERS_MAX)
		return 0;
	dstore->uncertain = TRUE;
	if (ret >= 0) {
		*error_r = "too many other changes came after this one to "
			"tell whether it was made";
	}
	return -1;
}

/* Write the row that comes after old. Returns 1; 0 if another one wrote it; -1
   and error_r. */
static int
write_next(struct dict_keyring_store *dstore, const struct row *old,
	   const char *text, const char **error_r)
{
	const char *ticket, *write_error;
	struct row found;
	uint64_t random;

	secret_random(&random, sizeof(random));
	ticket = dec2str(random);
	write_row(dstore, old, ticket, text, &write_error);
	if (read_row(dstore, &found, error_r) < 0) {
		dstore->uncertain = TRUE;
		return -1;
	}
	if (str_array_find(found.writers, ticket))
		return 1;
	if (found.revision > old->revision)
		return not_written(dstore, old, &found, error_r);
	*error_r = write_error != NULL ? write_error :
		"the dict doesn't have what was written, nor anything later";
	return -1;
}

/* See what becomes of a late change to a row that holds no keyring. Returns 0 if
   nothing does, or -1 and error_r. */
static int
check_late(struct dict_keyring_store *dstore, const struct row *row,
	   const char **error_r)
{
	struct row late = *row;
	int ret;

	late.revision--;
	ret = write_next(dstore, &late, "", error_r);
	if (ret > 0) {
		*error_r = "the dict's database carries changes out that come "
			"too late: it needs the trigger that the manual gives";
	}
	return ret == 0 ? 0 : -1;
}

/* Store the first text. Returns as write_next(). */
static int
create_next(struct dict_keyring_store *dstore, const struct row *row,
	    const char *text, const char **error_r)
{
	/* Then look again, as another one may have filled it by now. */
	if (row->revision == 0)
		return write_next(dstore, row, "", error_r) < 0 ? -1 : 0;
	if (check_late(dstore, row, error_r) < 0)
		return -1;
	return write_next(dstore, row, text, error_r);
}

int store_dict_revision_create(struct dict_keyring_store *dstore,
			       const char *text, const char **error_r)
{
	struct row row;
	int ret;

	/* until the deadline */
	do {
		if (read_row(dstore, &row, error_r) < 0)
			return -1;
		if (row.text != NULL && row.text[0] != '\0')
			return 0;
		ret = create_next(dstore, &row, text, error_r);
	} while (ret == 0);
	return ret;
}

int store_dict_revision_replace(struct dict_keyring_store *dstore,
				const char *old, const char *text,
				const char **error_r)
{
	struct row row;

	if (read_row(dstore, &row, error_r) < 0)
		return -1;
	if (null_strcmp(row.text, old) != 0)
		return 0;
	return write_next(dstore, &row, text, error_r);
}

int store_dict_revision_destroy(struct dict_keyring_store *dstore,
				const char **error_r)
{
	struct row row;
	int ret = 0;

	/* likewise */
	while (ret == 0) {
		if (read_row(dstore, &row, error_r) < 0)
			return -1;
		if (row.text == NULL || row.text[0] == '\0')
			return 0;
		ret = write_next(dstore, &row, "", error_r);
	}
	return ret;
}
