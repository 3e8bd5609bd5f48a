/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "keyring/store-private.h"

void keyring_store_deinit(struct keyring_store **_store)
{
	struct keyring_store *store = *_store;
	char *name = store->name;

	*_store = NULL;
	store->v->deinit(store);
	i_free(name);
}

const char *keyring_store_name(const struct keyring_store *store)
{
	return store->name;
}

static void
store_error(const struct keyring_store *store, const char **error_r)
{
	*error_r = t_strdup_printf("%s: %s", store->name, *error_r);
}

int keyring_store_load(struct keyring_store *store, struct keyring **keyring_r,
		       const char **error_r)
{
	buffer_t *text = buffer_create_dynamic(default_pool, 4096);
	int ret;

	ret = store->v->read(store, text, error_r);
	if (ret > 0 &&
	    keyring_parse(text->data, text->used, keyring_r, error_r) < 0)
		ret = -1;
	if (ret < 0)
		store_error(store, error_r);
	buffer_free(&text);
	return ret;
}

int keyring_store_create(struct keyring_store *store,
			 const struct keyring *keyring, const char **error_r)
{
	string_t *text = str_new(default_pool, 4096);
	int ret;

	keyring_write(keyring, text);
	ret = store->v->create(store, text, error_r);
	if (ret < 0)
		store_error(store, error_r);
	str_free(&text);
	return ret;
}
