/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "str.h"
#include "crypto/secret.h"
#include "store-dict-private.h"

/* Redis, where nothing is conditional but this: a number that would become too
   large stays as it is. A version of a keyring has a ticket, a random number
   from 2^62 to 2^63 - 1. The key NEXT/ticket says which version comes after it,
   and is set by adding that one's ticket: the first one to do so succeeds, and
   every later one would pass 2^63. So a version has one successor for ever, and
   whoever loses a race learns it, however late. The first version comes after
   the ticket 0.

     priv/mail-seal/keyring     the text, and a comment with its ticket
     priv/mail-seal/next/T      the ticket of the version that comes after T
     priv/mail-seal/text/T      the text of version T, if it is the latest
     priv/mail-seal/revision    negative: that this is the method

   NEXT and TEXT are set in one transaction; then the winner sets the keyring,
   and removes the text before. If it is killed in between, the next change does
   it. What lies under "keyring" may therefore be behind: whoever reads it
   follows the chain from there. An odd ticket is that of a destroyed keyring,
   after which a new one may come. The NEXT keys of all versions stay; and the
   text of a version that came too late, if it was killed at that very moment:
   nothing leads there any more, so nothing can remove it. */

#define NEXT "priv/mail-seal/next/"
#define TEXT "priv/mail-seal/text/"
#define COMMENT "# mail-seal dict "
/* Where every chain begins. */
#define ROOT 0
#define TICKET_MIN ((int64_t)1 << 62)
/* A chain that is longer is a circle. */
#define CHAIN_MAX 1000000

struct chain {
	/* Of the latest version, and its text; NULL if there is none. */
	int64_t ticket;
	const char *text;
	/* Those before it, as far as was looked. */
	ARRAY(int64_t) passed;
};

static const char *ticket_key(const char *prefix, int64_t ticket)
{
	return t_strdup_printf("%s%"PRId64, prefix, ticket);
}

static bool ticket_is_end(int64_t ticket)
{
	return ticket == ROOT || ticket % 2 != 0;
}

static int64_t ticket_new(bool end)
{
	uint64_t random;

	secret_random(&random, sizeof(random));
	return TICKET_MIN | ((int64_t)(random >> 3) << 1) | (end ? 1 : 0);
}

/* The comment is the last line. */
static const char *find_comment(const char *value)
{
	size_t size = strlen(value);
	const char *line;

	if (size == 0 || value[size - 1] != '\n')
		return NULL;
	line = value + size - 1;
	while (line > value && line[-1] != '\n')
		line--;
	return strncmp(line, COMMENT, strlen(COMMENT)) == 0 ? line : NULL;
}

bool store_dict_chain_is(const char *value)
{
	return find_comment(value) != NULL;
}

static int split_value(const char *value, const char **text_r,
		       int64_t *ticket_r, const char **error_r)
{
	const char *comment = find_comment(value), *str;

	if (comment == NULL) {
		*error_r = "the dict's keyring has no comment \""COMMENT
			"\" at its end";
		return -1;
	}
	str = t_strcut(comment + strlen(COMMENT), '\n');
	if (str_to_int64(str, ticket_r) < 0 || *ticket_r < TICKET_MIN) {
		*error_r = t_strdup_printf("the dict's keyring has a ticket "
					   "that is none: %s", str);
		return -1;
	}
	*text_r = t_strdup_until(value, comment);
	return 0;
}

/* Go on to the end of the chain. Returns 0, or -1 and error_r. */
static int chain_follow(struct dict_keyring_store *dstore, struct chain *chain,
			const char **error_r)
{
	int64_t next;
	int ret;

	while ((ret = store_dict_get_number(dstore,
					    ticket_key(NEXT, chain->ticket),
					    &next, error_r)) > 0) {
		if (next < TICKET_MIN ||
		    array_count(&chain->passed) == CHAIN_MAX) {
			*error_r = t_strdup_printf("the dict's chain of "
				"keyrings is broken at %"PRId64, next);
			return -1;
		}
		array_push_back(&chain->passed, &chain->ticket);
		chain->ticket = next;
		chain->text = NULL;
	}
	return ret;
}

/* Follow the chain from a version on, and get the text at its end. */
static int chain_end(struct dict_keyring_store *dstore, struct chain *chain,
		     const char **error_r)
{
	unsigned int passed;
	int ret;

	for (;;) {
		if (chain_follow(dstore, chain, error_r) < 0)
			return -1;
		if (chain->text != NULL || ticket_is_end(chain->ticket))
			return 0;
		ret = store_dict_get(dstore, ticket_key(TEXT, chain->ticket),
				     &chain->text, error_r);
		if (ret != 0)
			return ret < 0 ? -1 : 0;
		/* It is removed as soon as there is a later one. */
		passed = array_count(&chain->passed);
		if (chain_follow(dstore, chain, error_r) < 0)
			return -1;
		if (array_count(&chain->passed) == passed) {
			*error_r = t_strdup_printf("the dict has no %s%"PRId64
				", the latest version of the keyring",
				TEXT, chain->ticket);
			return -1;
		}
	}
}

/* The latest version, from what is stored under "keyring" on. */
static int chain_load(struct dict_keyring_store *dstore, const char *value,
		      struct chain *chain_r, const char **error_r)
{
	i_zero(chain_r);
	t_array_init(&chain_r->passed, 4);
	chain_r->ticket = ROOT;
	if (value != NULL && split_value(value, &chain_r->text,
					 &chain_r->ticket, error_r) < 0)
		return -1;
	return chain_end(dstore, chain_r, error_r);
}

static int chain_get(struct dict_keyring_store *dstore, struct chain *chain_r,
		     const char **error_r)
{
	const char *value;

	if (store_dict_get(dstore, STORE_DICT_KEYRING, &value, error_r) < 0)
		return -1;
	return chain_load(dstore, value, chain_r, error_r);
}

int store_dict_chain_read(struct dict_keyring_store *dstore, const char *value,
			  const char **text_r, const char **error_r)
{
	struct chain chain;

	if (chain_load(dstore, value, &chain, error_r) < 0)
		return -1;
	*text_r = chain.text;
	return chain.text == NULL ? 0 : 1;
}

/* Try to be the one that comes after a version. Returns 1 and the new ticket; 0
   if another one was faster; -1 and error_r. */
static int
chain_append(struct dict_keyring_store *dstore, int64_t ticket,
	     const char *text, int64_t *ticket_r, const char **error_r)
{
	struct dict_transaction_context *trans;
	const char *error = NULL;
	int64_t winner;
	int ret;

	*ticket_r = ticket_new(text == NULL);
	trans = store_dict_begin(dstore, error_r);
	if (trans == NULL)
		return -1;
	dict_atomic_inc(trans, ticket_key(NEXT, ticket), *ticket_r);
	if (text != NULL)
		dict_set(trans, ticket_key(TEXT, *ticket_r), text);
	/* This fails, too, if another one was faster. */
	if (store_dict_commit(dstore, &trans, error_r) < 0)
		error = *error_r;

	ret = store_dict_get_number(dstore, ticket_key(NEXT, ticket), &winner,
				    error_r);
	if (ret <= 0) {
		dstore->uncertain = TRUE;
		if (error != NULL)
			*error_r = error;
		else if (ret == 0)
			*error_r = "the dict forgot what it was given";
		return -1;
	}
	return winner == *ticket_r ? 1 : 0;
}

/* Remove the text of a version that didn't make it. If this fails, it stays. */
static void
text_remove(struct dict_keyring_store *dstore, int64_t ticket)
{
	struct dict_transaction_context *trans;
	const char *error;

	trans = store_dict_begin(dstore, &error);
	if (trans == NULL)
		return;
	dict_unset(trans, ticket_key(TEXT, ticket));
	if (store_dict_commit(dstore, &trans, &error) < 0)
		return;
}

/* Show the end of the chain to those who read, and remove the texts before. */
static int
chain_show(struct dict_keyring_store *dstore, const struct chain *chain,
	   const char **error_r)
{
	struct dict_transaction_context *trans;
	const int64_t *ticket;

	trans = store_dict_begin(dstore, error_r);
	if (trans == NULL)
		return -1;
	if (chain->text == NULL)
		dict_unset(trans, STORE_DICT_KEYRING);
	else {
		dict_set(trans, STORE_DICT_KEYRING,
			 t_strdup_printf("%s"COMMENT"%"PRId64"\n", chain->text,
					 chain->ticket));
	}
	array_foreach(&chain->passed, ticket) {
		if (!ticket_is_end(*ticket))
			dict_unset(trans, ticket_key(TEXT, *ticket));
	}
	return store_dict_commit(dstore, &trans, error_r);
}

/* The same, as often as the chain has grown meanwhile: what is shown may have
   gone over a later one. */
static int
chain_show_latest(struct dict_keyring_store *dstore, struct chain *chain,
		  const char **error_r)
{
	int64_t shown;

	do {
		shown = chain->ticket;
		if (chain_show(dstore, chain, error_r) < 0 ||
		    chain_end(dstore, chain, error_r) < 0)
			return -1;
	} while (chain->ticket != shown);
	return 0;
}

/* Append to the end; text is NULL for a destroyed keyring. Returns as
   chain_append(). If it returns 1 that is what is stored, whoever shows it. */
static int
chain_change(struct dict_keyring_store *dstore, struct chain *chain,
	     const char *text, const char **error_r)
{
	int64_t ticket;
	int ret;

	ret = chain_append(dstore, chain->ticket, text, &ticket, error_r);
	if (ret == 0 && text != NULL)
		text_remove(dstore, ticket);
	if (ret <= 0)
		return ret;
	array_push_back(&chain->passed, &chain->ticket);
	chain->ticket = ticket;
	chain->text = text;
	return 1;
}

static int
chain_change_and_show(struct dict_keyring_store *dstore, struct chain *chain,
		      const char *text, const char **error_r)
{
	const char *error;
	int ret;

	ret = chain_change(dstore, chain, text, error_r);
	if (ret > 0 && chain_show_latest(dstore, chain, &error) < 0)
		return 1;
	return ret;
}

int store_dict_chain_create(struct dict_keyring_store *dstore,
			    const char *text, const char **error_r)
{
	struct chain chain;
	int ret;

	if (chain_get(dstore, &chain, error_r) < 0)
		return -1;
	ret = chain.text != NULL ? 0 :
		chain_change_and_show(dstore, &chain, text, error_r);
	if (ret != 0)
		return ret;
	/* There is one, but it may be that nobody sees it yet. */
	if (chain_get(dstore, &chain, error_r) < 0 ||
	    chain_show_latest(dstore, &chain, error_r) < 0)
		return -1;
	return 0;
}

int store_dict_chain_replace(struct dict_keyring_store *dstore,
			     const char *old, const char *text,
			     const char **error_r)
{
	struct chain chain;

	if (chain_get(dstore, &chain, error_r) < 0)
		return -1;
	if (null_strcmp(chain.text, old) != 0)
		return 0;
	return chain_change_and_show(dstore, &chain, text, error_r);
}

/* Works on a keyring that can't be read, so the chain is followed from its
   root: all texts are removed that any version may have left. */
int store_dict_chain_destroy(struct dict_keyring_store *dstore,
			     const char **error_r)
{
	struct chain chain;
	const char *value;
	bool found;
	int ret = 0;

	if (store_dict_get(dstore, STORE_DICT_KEYRING, &value, error_r) < 0)
		return -1;
	found = value != NULL;
	while (ret == 0) {
		i_zero(&chain);
		t_array_init(&chain.passed, 4);
		if (chain_follow(dstore, &chain, error_r) < 0)
			return -1;
		if (ticket_is_end(chain.ticket))
			break;
		found = TRUE;
		ret = chain_change(dstore, &chain, NULL, error_r);
	}
	if (ret < 0 || chain_show_latest(dstore, &chain, error_r) < 0)
		return -1;
	return found ? 1 : 0;
}
