/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "time-util.h"
#include "dict-private.h"
#include "store-dict-private.h"

#include <unistd.h>

/* The protocol of the dict proxy has lines of 64 KiB at most, and crashes or
   cuts connections beyond. A line feed takes two bytes there. */
#define MAX_SIZE (60 * 1024)
/* How often a lookup that fails is tried again, and only so soon. */
#define LOOKUP_TRIES 3
#define LOOKUP_AGAIN_USECS (700 * 1000)
#define LOOKUP_WAIT_USECS (100 * 1000)

enum dict_method {
	METHOD_NONE,
	METHOD_REVISION,
	METHOD_CHAIN
};

static struct dict_keyring_store *dict_store(struct keyring_store *store)
{
	struct dict_keyring_store *dstore =
		container_of(store, struct dict_keyring_store, store);

	/* every call from outside comes here first */
	dstore->begun_usecs = i_microseconds();
	return dstore;
}

static struct dict_op_settings
op_settings(const struct dict_keyring_store *dstore)
{
	return (struct dict_op_settings) {
		.username = dstore->username,
		.home_dir = dstore->home,
#if DOVECOT_PREREQ(2, 4, 0)
		.hide_log_values = TRUE,
#endif
	};
}

static uint64_t passed_usecs(const struct dict_keyring_store *dstore)
{
	return i_microseconds() - dstore->begun_usecs;
}

static int check_deadline(const struct dict_keyring_store *dstore,
			  const char **error_r)
{
	if (passed_usecs(dstore) <= KEYRING_STORE_TIMEOUT_SECS * 1000000ULL)
		return 0;
	*error_r = t_strdup_printf("the dict took longer than %d seconds",
				   KEYRING_STORE_TIMEOUT_SECS);
	return -1;
}

/* After its database was restarted, a dict's server finds out by a lookup that
   its connection is broken. A login is not to fail for that. */
static bool lookup_again(const struct dict_keyring_store *dstore,
			 unsigned int tries)
{
	if (tries > LOOKUP_TRIES || passed_usecs(dstore) > LOOKUP_AGAIN_USECS)
		return FALSE;
	usleep(LOOKUP_WAIT_USECS * tries);
	return TRUE;
}

int store_dict_get(struct dict_keyring_store *dstore, const char *key,
		   const char **value_r, const char **error_r)
{
	const struct dict_op_settings set = op_settings(dstore);
	const char *error = NULL;
	unsigned int tries = 0;
	int ret;

	*value_r = NULL;
	if (check_deadline(dstore, error_r) < 0)
		return -1;
	do {
		ret = dict_lookup(dstore->dict, &set, pool_datastack_create(),
				  key, value_r, &error);
	} while (ret < 0 && lookup_again(dstore, ++tries));
	if (ret < 0) {
		*error_r = t_strdup_printf("dict lookup of %s failed: %s", key,
					   error);
	}
	return ret;
}

int store_dict_get_number(struct dict_keyring_store *dstore, const char *key,
			  int64_t *number_r, const char **error_r)
{
	const char *value;
	int ret;

	ret = store_dict_get(dstore, key, &value, error_r);
	if (ret > 0 && str_to_int64(value, number_r) < 0) {
		*error_r = t_strdup_printf("the dict has \"%s\" for %s, "
			"expected a number", value, key);
		return -1;
	}
	return ret;
}

struct dict_transaction_context *
store_dict_begin(struct dict_keyring_store *dstore, const char **error_r)
{
	const struct dict_op_settings set = op_settings(dstore);

	if (check_deadline(dstore, error_r) < 0)
		return NULL;
	return dict_transaction_begin(dstore->dict, &set);
}

struct commit_result {
	enum dict_commit_ret ret;
	char *error;
};

static void
commit_callback(const struct dict_commit_result *result,
		struct commit_result *context)
{
	i_free(context->error);
	context->ret = result->ret;
	context->error = i_strdup(result->error);
}

int store_dict_commit(struct dict_keyring_store *dstore,
		      struct dict_transaction_context **trans,
		      const char **error_r)
{
	struct commit_result result = {
		.ret = DICT_COMMIT_RET_WRITE_UNCERTAIN,
	};

	dict_transaction_commit_async(trans, commit_callback, &result);
	dict_wait(dstore->dict);
	if (result.ret == DICT_COMMIT_RET_WRITE_UNCERTAIN)
		dstore->uncertain = TRUE;
	if (result.ret < 0) {
		*error_r = t_strdup_printf("dict commit failed: %s",
			result.error == NULL ? "no reply" : result.error);
	}
	i_free(result.error);
	return result.ret < 0 ? -1 : 0;
}

static int
dict_read(struct keyring_store *store, buffer_t *dest, const char **error_r)
{
	struct dict_keyring_store *dstore = dict_store(store);
	const char *value;
	int ret;

	ret = store_dict_get(dstore, STORE_DICT_KEYRING, &value, error_r);
	if (ret <= 0)
		return ret;
	if (store_dict_chain_is(value)) {
		ret = store_dict_chain_read(dstore, value, &value, error_r);
		if (ret <= 0)
			return ret;
	}
	/* the place of one that was destroyed, or is about to be created */
	if (value[0] == '\0')
		return 0;
	buffer_append(dest, value, I_MIN(strlen(value), KEYRING_MAX_SIZE + 1));
	return 1;
}

/* The method of what is stored already. */
static int
method_known(struct dict_keyring_store *dstore, enum dict_method *method_r,
	     const char **error_r)
{
	int64_t revision;
	int ret;

	ret = store_dict_get_number(dstore, STORE_DICT_REVISION, &revision,
				    error_r);
	*method_r = ret == 0 ? METHOD_NONE :
		revision < 0 ? METHOD_CHAIN : METHOD_REVISION;
	return ret < 0 ? -1 : 0;
}

/* The method of a new user. */
static int
method_find(struct dict_keyring_store *dstore, enum dict_method *method_r,
	    const char **error_r)
{
	struct dict_transaction_context *trans;
	const char *error;
	int ret;

	if (method_known(dstore, method_r, error_r) < 0)
		return -1;
	if (*method_r != METHOD_NONE)
		return 0;
	trans = store_dict_begin(dstore, error_r);
	if (trans == NULL)
		return -1;
	dict_atomic_inc(trans, STORE_DICT_REVISION, -1);
	ret = store_dict_commit(dstore, &trans, &error);
	if (method_known(dstore, method_r, error_r) < 0)
		return -1;
	if (*method_r != METHOD_NONE)
		return 0;
	/* Where there is a row by now, it may have been a trigger that
	   complains. */
	if (ret < 0) {
		*error_r = error;
		return -1;
	}
	*method_r = METHOD_REVISION;
	return 0;
}

static const char *text_str(const string_t *text)
{
	return t_strndup(str_data(text), str_len(text));
}

static int check_size(const string_t *text, const char **error_r)
{
	const unsigned char *data = str_data(text);
	size_t size = str_len(text);

	for (size_t i = 0; i < str_len(text); i++) {
		if (data[i] == '\n')
			size++;
	}
	if (size <= MAX_SIZE)
		return 0;
	*error_r = t_strdup_printf("the keyring has %zu bytes, which is too "
		"much for a dict: about %d are allowed", str_len(text),
		MAX_SIZE);
	return -1;
}

static int
dict_create(struct keyring_store *store, const string_t *text,
	    const char **error_r)
{
	struct dict_keyring_store *dstore = dict_store(store);
	enum dict_method method;

	if (check_size(text, error_r) < 0 ||
	    method_find(dstore, &method, error_r) < 0)
		return -1;
	return method == METHOD_CHAIN ?
		store_dict_chain_create(dstore, text_str(text), error_r) :
		store_dict_revision_create(dstore, text_str(text), error_r);
}

static int
replace_text(struct dict_keyring_store *dstore, const char *old,
	     const char *text, const char **error_r)
{
	enum dict_method method;

	if (method_known(dstore, &method, error_r) < 0)
		return -1;
	switch (method) {
	case METHOD_CHAIN:
		return store_dict_chain_replace(dstore, old, text, error_r);
	case METHOD_REVISION:
		return store_dict_revision_replace(dstore, old, text, error_r);
	case METHOD_NONE:
		break;
	}
	*error_r = "the dict has no "STORE_DICT_REVISION" beside the keyring";
	return -1;
}

static int
dict_replace(struct keyring_store *store, const buffer_t *old,
	     bool old_is_previous ATTR_UNUSED, const string_t *text,
	     const char **error_r)
{
	struct dict_keyring_store *dstore = dict_store(store);

	dstore->uncertain = FALSE;
	if (check_size(text, error_r) < 0)
		return -1;
	return replace_text(dstore, t_strndup(old->data, old->used),
			    text_str(text), error_r);
}

static int
dict_rollback(struct keyring_store *store, const buffer_t *old,
	      const string_t *text, const char **error_r)
{
	struct dict_keyring_store *dstore = dict_store(store);
	buffer_t *found = t_buffer_create(4096);
	int ret;

	if (dstore->uncertain) {
		*error_r = "the dict may carry the change out yet";
		return -1;
	}
	ret = dict_read(store, found, error_r);
	if (ret < 0)
		return -1;
	if (ret > 0 && found->used == old->used &&
	    memcmp(found->data, old->data, old->used) == 0)
		return 0;
	ret = replace_text(dstore, text_str(text),
			   t_strndup(old->data, old->used), error_r);
	if (ret == 0)
		*error_r = "another change has been made meanwhile";
	return ret > 0 ? 0 : -1;
}

static int
dict_destroy(struct keyring_store *store, const char **error_r)
{
	struct dict_keyring_store *dstore = dict_store(store);
	enum dict_method method;

	if (method_known(dstore, &method, error_r) < 0)
		return -1;
	switch (method) {
	case METHOD_CHAIN:
		return store_dict_chain_destroy(dstore, error_r);
	case METHOD_REVISION:
		return store_dict_revision_destroy(dstore, error_r);
	case METHOD_NONE:
		break;
	}
	return 0;
}

static void dict_store_deinit(struct keyring_store *store)
{
	struct dict_keyring_store *dstore = dict_store(store);

	dict_deinit(&dstore->dict);
	i_free(dstore->username);
	i_free(dstore->home);
	i_free(dstore);
}

static const struct keyring_store_vfuncs dict_keyring_store_vfuncs = {
	.deinit = dict_store_deinit,
	.read = dict_read,
	.create = dict_create,
	.replace = dict_replace,
	.rollback = dict_rollback,
	.destroy = dict_destroy,
};

#if DOVECOT_PREREQ(2, 4, 0)
static int
open_dict(const struct keyring_dict_settings *set, struct dict **dict_r,
	  const char **error_r)
{
	return dict_init_auto(set->event, dict_r, error_r) <= 0 ? -1 : 0;
}
#else
static int
open_dict(const struct keyring_dict_settings *set, struct dict **dict_r,
	  const char **error_r)
{
	const struct dict_settings dict_set = {
		.base_dir = set->base_dir,
		.event_parent = set->event,
	};

	if (strncmp(set->uri, "redis:", 6) == 0 &&
	    strstr(set->uri, ":expire_secs=") != NULL) {
		*error_r = "expire_secs is not for keys: Redis would forget "
			"them";
		return -1;
	}
	return dict_init(set->uri, &dict_set, dict_r, error_r);
}
#endif

/* Those that are known to keep changes apart. */
static int check_driver(const struct dict *dict, const char *username,
			const char **error_r)
{
	if (strcmp(dict->name, "proxy") == 0)
		return 0;
	if (strcmp(dict->name, "redis") == 0) {
		if (strchr(username, '\\') == NULL)
			return 0;
		*error_r = "a name with a backslash may be another user's to "
			"the dict driver \"redis\"";
		return -1;
	}
	*error_r = t_strdup_printf("the dict driver \"%s\" is not for keys: "
		"use redis, or proxy for an SQL database", dict->name);
	return -1;
}

int keyring_store_dict_init(const struct keyring_dict_settings *set,
			    struct keyring_store **store_r,
			    const char **error_r)
{
	struct dict_keyring_store *dstore;
	struct dict *dict;

	i_assert(set->username != NULL && set->username[0] != '\0');
	if (open_dict(set, &dict, error_r) < 0)
		return -1;
	if (check_driver(dict, set->username, error_r) < 0) {
		dict_deinit(&dict);
		return -1;
	}
	dstore = i_new(struct dict_keyring_store, 1);
	dstore->dict = dict;
	dstore->username = i_strdup(set->username);
	dstore->home = i_strdup(set->home);
	dstore->store.v = &dict_keyring_store_vfuncs;
	/* A URI can hold a password. */
	dstore->store.name = i_strdup_printf("keyring of %s in the dict",
					     set->username);
	*store_r = &dstore->store;
	return 0;
}
