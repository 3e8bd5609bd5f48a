/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "sha2.h"
#include "keyring/keyring-private.h"
#include "keyring/store-private.h"

#include <time.h>

/* A keyring as it is stored, and its text. */
struct stored_keyring {
	struct keyring *keyring;
	buffer_t *text;
	/* It is the previous one, as the current one is missing or broken. */
	bool previous;
};

void keyring_store_deinit(struct keyring_store **_store)
{
	struct keyring_store *store = *_store;
	char *name = store->name;

	*_store = NULL;
	i_free(store->notice);
	store->v->deinit(store);
	i_free(name);
}

const char *keyring_store_name(const struct keyring_store *store)
{
	return store->name;
}

const char *keyring_store_notice(const struct keyring_store *store)
{
	return store->notice;
}

static void
store_error(const struct keyring_store *store, const char **error_r)
{
	*error_r = t_strdup_printf("%s: %s", store->name, *error_r);
}

static void stored_free(struct stored_keyring *stored)
{
	if (stored->keyring != NULL)
		keyring_free(&stored->keyring);
	buffer_free(&stored->text);
}

/* lost_r is set if there is none, or what was read isn't a keyring. What can't
   be read may be whole, what a later version wrote is. */
static int
load_current(struct keyring_store *store, struct stored_keyring *stored,
	     bool *lost_r, const char **error_r)
{
	buffer_t *text = stored->text;
	int ret;

	ret = store->v->read(store, text, error_r);
	*lost_r = ret == 0;
	if (ret <= 0)
		return ret;
	if (keyring_parse(text->data, text->used, &stored->keyring,
			  error_r) == 0)
		return 1;
	*lost_r = !keyring_version_is_later(text->data, text->used);
	return -1;
}

/* The current one is missing or broken, as error says. */
static int
load_previous(struct keyring_store *store, struct stored_keyring *stored,
	      const char *error, const char **error_r)
{
	buffer_t *text = stored->text;
	const char *previous_error;
	int ret;

	buffer_set_used_size(text, 0);
	ret = store->v->read_previous(store, text, &previous_error);
	if (ret == 0)
		return 0;
	if (ret < 0 || keyring_parse(text->data, text->used, &stored->keyring,
				     &previous_error) < 0) {
		*error_r = t_strdup_printf("%s; the previous keyring beside it "
			"is of no use either: %s", error, previous_error);
		return -1;
	}
	stored->previous = TRUE;
	i_free(store->notice);
	store->notice = i_strdup_printf("%s: %s; took the previous keyring, "
		"which a change that was cut short has left beside it",
		store->name, error);
	return 1;
}

/* Returns as keyring_store_load(). The caller frees stored_r, also then. */
static int
stored_load(struct keyring_store *store, struct stored_keyring *stored_r,
	    const char **error_r)
{
	bool lost;
	int ret, previous_ret;

	i_zero(stored_r);
	stored_r->text = buffer_create_dynamic(default_pool, 4096);
	i_free(store->notice);
	ret = load_current(store, stored_r, &lost, error_r);
	if (!lost || store->v->read_previous == NULL)
		return ret;
	previous_ret = load_previous(store, stored_r,
				     ret == 0 ? "is missing" : *error_r,
				     error_r);
	if (previous_ret == 0 && ret == 0) {
		/* It may have been put back into its place between the two. */
		return load_current(store, stored_r, &lost, error_r);
	}
	return previous_ret != 0 ? previous_ret : ret;
}

static void stamp_text(const buffer_t *text, struct keyring_stamp *stamp_r)
{
	uint8_t digest[SHA256_RESULTLEN];

	sha256_get_digest(text->data, text->used, digest);
	memcpy(stamp_r->data, digest, sizeof(digest));
}

static int
read_stamp(struct keyring_store *store, struct keyring_stamp *stamp_r,
	   const char **error_r)
{
	buffer_t *text;
	int ret;

	if (store->v->stamp != NULL)
		return store->v->stamp(store, stamp_r, error_r);
	text = t_buffer_create(4096);
	ret = store->v->read(store, text, error_r);
	if (ret > 0)
		stamp_text(text, stamp_r);
	return ret;
}

int keyring_store_stamp(struct keyring_store *store,
			struct keyring_stamp *stamp_r, const char **error_r)
{
	int ret;

	i_zero(stamp_r);
	T_BEGIN {
		ret = read_stamp(store, stamp_r, error_r);
		if (ret < 0)
			store_error(store, error_r);
	} T_END_PASS_STR_IF(ret < 0, error_r);
	return ret;
}

const struct keyring_stamp *
keyring_store_loaded_stamp(const struct keyring_store *store)
{
	return &store->stamp;
}

int keyring_store_load(struct keyring_store *store, struct keyring **keyring_r,
		       const char **error_r)
{
	struct stored_keyring stored;
	const char *error;
	int ret;

	i_zero(&store->stamp);
	/* Before: what changes meanwhile will be noticed. */
	if (store->v->stamp != NULL &&
	    store->v->stamp(store, &store->stamp, &error) < 0)
		i_zero(&store->stamp);
	ret = stored_load(store, &stored, error_r);
	if (ret < 0)
		store_error(store, error_r);
	else if (ret > 0 && store->v->stamp == NULL)
		stamp_text(stored.text, &store->stamp);
	*keyring_r = stored.keyring;
	stored.keyring = NULL;
	stored_free(&stored);
	return ret;
}

/* Mail will be sealed to a keyring that nobody has looked at since, so what the
   store made of it must be one. Another process may have changed it by now. */
static int verify_created(struct keyring_store *store, const char **error_r)
{
	struct stored_keyring stored;
	const char *error;
	int ret;

	ret = stored_load(store, &stored, &error);
	stored_free(&stored);
	if (ret > 0)
		return 0;
	*error_r = t_strdup_printf("what was stored cannot be read back: %s",
				   ret == 0 ? "does not exist" : error);
	return -1;
}

int keyring_store_create(struct keyring_store *store,
			 const struct keyring *keyring, const char **error_r)
{
	string_t *text = str_new(default_pool, 4096);
	int ret;

	i_free(store->notice);
	keyring_write(keyring, text);
	ret = store->v->create(store, text, error_r);
	if (ret > 0 && verify_created(store, error_r) < 0)
		ret = -1;
	if (ret < 0)
		store_error(store, error_r);
	str_free(&text);
	return ret;
}

static int
store_lock(struct keyring_store *store, bool wait, const char **error_r)
{
	return store->v->lock == NULL ? 1 :
		store->v->lock(store, wait, error_r);
}

static void store_unlock(struct keyring_store *store)
{
	if (store->v->unlock != NULL)
		store->v->unlock(store);
}

static int store_commit(struct keyring_store *store, const char **error_r)
{
	return store->v->commit == NULL ? 0 : store->v->commit(store, error_r);
}

static bool
text_equals(const struct stored_keyring *stored, const string_t *text)
{
	return !stored->previous && stored->text->used == str_len(text) &&
		memcmp(stored->text->data, str_data(text),
		       stored->text->used) == 0;
}

/* Read the new keyring back. */
static int
verify_stored(struct keyring_store *store, const struct keyring_update *update,
	      const string_t *text, const char **error_r)
{
	struct stored_keyring stored;
	int ret;

	ret = stored_load(store, &stored, error_r);
	if (ret == 0 || (ret > 0 && !text_equals(&stored, text))) {
		/* Where nobody is kept out, another one came after us. */
		*error_r = ret == 0 ? "is gone" : "is not what was written";
		ret = store->v->lock == NULL ? 0 : -1;
	} else if (ret > 0) {
		ret = update->verify == NULL ? 0 :
			update->verify(stored.keyring, update->context,
				       error_r);
	}
	stored_free(&stored);
	return ret;
}

/* Whatever failed, the previous text is to stand again. */
static void
update_failed(struct keyring_store *store, const buffer_t *old,
	      const string_t *text, const char **error_r)
{
	const char *error = *error_r, *rollback_error;

	if (store->v->rollback(store, old, text, &rollback_error) == 0) {
		*error_r = t_strdup_printf("cannot store the new keyring, the "
			"previous one stays in its place: %s", error);
	} else {
		*error_r = t_strdup_printf("cannot store the new keyring: %s; "
			"it is not certain whether it or the previous one is "
			"stored: %s", error, rollback_error);
	}
}

static int
store_text(struct keyring_store *store, const struct keyring_update *update,
	   const struct stored_keyring *old, const string_t *text,
	   const char **error_r)
{
	const char *error;
	int ret;

	ret = store->v->replace(store, old->text, old->previous, text, error_r);
	if (ret > 0 && verify_stored(store, update, text, error_r) < 0)
		ret = -1;
	if (ret < 0) {
		update_failed(store, old->text, text, error_r);
		return -1;
	}
	/* The new keyring is there. If the previous one can't be removed, the
	   next change will try again. */
	if (ret > 0 && store_commit(store, &error) < 0) {
		i_free(store->notice);
		store->notice = i_strdup_printf("%s: cannot remove the "
			"previous keyring: %s", store->name, error);
	}
	return ret;
}

/* One try. Returns as keyring_store_update(), or -2 if another change was
   faster. error_r has its prefix. */
static int
update_try(struct keyring_store *store, const struct keyring_update *update,
	   struct keyring **keyring_r, const char **error_r)
{
	struct stored_keyring old;
	struct keyring *keyring = NULL;
	string_t *text;
	int ret;

	ret = stored_load(store, &old, error_r);
	if (ret == 0)
		*error_r = "does not exist";
	if (ret <= 0) {
		store_error(store, error_r);
		stored_free(&old);
		return -1;
	}
	ret = update->change(old.keyring, &keyring, update->context, error_r);
	if (ret > 0) {
		text = str_new(default_pool, 4096);
		keyring_write(keyring, text);
		ret = store_text(store, update, &old, text, error_r);
		if (ret < 0)
			store_error(store, error_r);
		str_free(&text);
		ret = ret == 0 ? -2 : ret;
	} else if (ret == 0) {
		keyring = old.keyring;
		old.keyring = NULL;
	}
	if (keyring_r != NULL && ret >= 0)
		*keyring_r = keyring;
	else if (keyring != NULL)
		keyring_free(&keyring);
	stored_free(&old);
	return ret;
}

/* Others can only be faster for so long. */
static int
update_until(struct keyring_store *store, const struct keyring_update *update,
	     struct keyring **keyring_r, const char **error_r)
{
	time_t deadline = time(NULL) + KEYRING_STORE_TIMEOUT_SECS;
	int ret;

	do {
		ret = update_try(store, update, keyring_r, error_r);
	} while (ret == -2 && time(NULL) <= deadline);
	if (ret == -2) {
		*error_r = "other changes were always faster";
		store_error(store, error_r);
		ret = -1;
	}
	return ret;
}

int keyring_store_update(struct keyring_store *store,
			 const struct keyring_update *update,
			 struct keyring **keyring_r, const char **error_r)
{
	int ret;

	i_free(store->notice);
	ret = store_lock(store, TRUE, error_r);
	if (ret == 0)
		*error_r = "does not exist";
	if (ret <= 0) {
		store_error(store, error_r);
		return -1;
	}
	ret = update_until(store, update, keyring_r, error_r);
	store_unlock(store);
	return ret;
}

/* What is stored now, under the lock. */
static int settle_stored(struct keyring_store *store, const string_t *text,
			 const char **error_r)
{
	struct stored_keyring stored;
	int ret;

	ret = stored_load(store, &stored, error_r);
	if (ret > 0 && (stored.text->used != str_len(text) ||
			memcmp(stored.text->data, str_data(text),
			       stored.text->used) != 0)) {
		/* It was changed since it was opened. */
		ret = 0;
	}
	if (ret > 0) {
		ret = stored.previous ?
			store->v->rollback(store, stored.text, NULL, error_r) :
			store_commit(store, error_r);
	}
	stored_free(&stored);
	return ret;
}

int keyring_store_settle(struct keyring_store *store,
			 const struct keyring *keyring, const char **error_r)
{
	buffer_t *previous;
	string_t *text;
	int ret;

	if (store->v->read_previous == NULL)
		return 0;
	previous = buffer_create_dynamic(default_pool, 4096);
	ret = store->v->read_previous(store, previous, error_r);
	buffer_free(&previous);
	if (ret > 0)
		ret = store_lock(store, FALSE, error_r);
	if (ret > 0) {
		text = str_new(default_pool, 4096);
		keyring_write(keyring, text);
		ret = settle_stored(store, text, error_r);
		str_free(&text);
		store_unlock(store);
	}
	if (ret < 0)
		store_error(store, error_r);
	return ret < 0 ? -1 : 0;
}

int keyring_store_destroy(struct keyring_store *store, const char **error_r)
{
	int ret;

	i_free(store->notice);
	ret = store_lock(store, TRUE, error_r);
	if (ret > 0) {
		ret = store->v->destroy(store, error_r);
		store_unlock(store);
	}
	if (ret < 0)
		store_error(store, error_r);
	return ret;
}
