/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "str.h"
#include "unlink-directory.h"
#include "write-full.h"
#include "crypto/secret.h"
#include "store-util.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void test_dir_remove(const char *dir)
{
	const char *error;

	if (unlink_directory(dir, UNLINK_DIRECTORY_FLAG_RMDIR, &error) < 0)
		i_fatal("%s", error);
}

void test_dir_make(const char *dir)
{
	test_dir_remove(dir);
	if (mkdir(dir, 0755) < 0)
		i_fatal("mkdir(%s) failed: %m", dir);
}

const char *test_dir_list(const char *path)
{
	DIR *dir = opendir(path);
	ARRAY_TYPE(const_string) names;
	const char *name;
	struct dirent *d;

	if (dir == NULL)
		i_fatal("opendir(%s) failed: %m", path);
	t_array_init(&names, 4);
	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		name = t_strdup(d->d_name);
		array_push_back(&names, &name);
	}
	(void)closedir(dir);
	array_sort(&names, i_strcmp_p);
	return t_array_const_string_join(&names, " ");
}

void test_file_make(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (fd < 0 || write_full(fd, text, strlen(text)) < 0 || close(fd) < 0)
		i_fatal("Creating %s failed: %m", path);
}

const char *test_file_read(const char *path)
{
	char data[KEYRING_MAX_SIZE / 16];
	int fd = open(path, O_RDONLY);
	ssize_t size;

	if (fd < 0)
		return NULL;
	size = read(fd, data, sizeof(data));
	if (size < 0)
		i_fatal("read(%s) failed: %m", path);
	(void)close(fd);
	return t_strndup(data, size);
}

const char *test_store_text(struct keyring_store *store, int *ret_r,
			    const char **error_r)
{
	struct keyring *keyring;
	const char *text;

	*error_r = "";
	*ret_r = keyring_store_load(store, &keyring, error_r);
	if (*ret_r <= 0)
		return NULL;
	text = test_keyring_text(keyring);
	keyring_free(&keyring);
	return text;
}

int test_change_nothing(struct keyring_edit *edit ATTR_UNUSED,
			struct test_change *change ATTR_UNUSED,
			const char **error_r ATTR_UNUSED)
{
	return 0;
}

int test_change_password(struct keyring_edit *edit, struct test_change *change,
			 const char **error_r)
{
	return keyring_edit_set_password(edit, change->slot_idx,
					 change->new_secret, &test_costs,
					 error_r);
}

int test_change_add(struct keyring_edit *edit, struct test_change *change,
		    const char **error_r)
{
	void *code = secret_alloc(sizeof(struct age_x25519_identity));
	int ret;

	ret = keyring_edit_add_recovery(edit, change->label, code, error_r);
	secret_free(&code);
	return ret;
}

int test_change_remove(struct keyring_edit *edit, struct test_change *change,
		       const char **error_r)
{
	return keyring_edit_remove(edit, change->slot_idx, error_r);
}

int test_change_rotate(struct keyring_edit *edit, struct test_change *change,
		       const char **error_r)
{
	if (keyring_edit_rotate(edit, error_r) < 0)
		return -1;
	return keyring_edit_set_password(edit, change->slot_idx, change->secret,
					 &test_costs, error_r);
}

/* Get the identities, which others may have changed. */
static int
change_open(const struct keyring *keyring, struct test_change *change,
	    const char **error_r)
{
	struct keyring_opened opened;

	if (change->identities != NULL &&
	    keyring_fits(keyring, change->identities))
		return 0;
	if (change->secret == NULL) {
		*error_r = "no secret";
		return -1;
	}
	if (keyring_open_password(keyring, change->secret, &opened,
				  error_r) <= 0)
		return -1;
	age_identities_deinit(&change->identities);
	change->identities = opened.identities;
	return 0;
}

/* The slot with the label, if there is one; or the one that was asked for. */
static void
change_find(const struct keyring *keyring, struct test_change *change)
{
	const struct keyring_slot *slots;
	unsigned int count;

	slots = keyring_slots(keyring, &count);
	for (unsigned int i = 0; i < count; i++) {
		if (change->label != NULL &&
		    null_strcmp(slots[i].label, change->label) == 0)
			change->slot_idx = i;
	}
}

static int
change_callback(const struct keyring *keyring, struct keyring **new_keyring_r,
		void *context, const char **error_r)
{
	struct test_change *change = context;
	struct age_identities *identities = NULL;
	struct keyring_edit *edit;
	int ret;

	change->count++;
	if (change->change_error != NULL) {
		*error_r = change->change_error;
		return -1;
	}
	if (change_open(keyring, change, error_r) < 0)
		return -1;
	change_find(keyring, change);
	if (keyring_edit_begin(keyring, change->identities, &edit,
			       error_r) < 0)
		return -1;
	if (change->func(edit, change, error_r) < 0) {
		keyring_edit_abort(&edit);
		return -1;
	}
	ret = keyring_edit_finish(&edit, 0, new_keyring_r, &identities,
				  error_r);
	if (ret > 0) {
		age_identities_deinit(&change->identities);
		change->identities = identities;
	}
	return ret;
}

static int
verify_callback(const struct keyring *keyring, void *context,
		const char **error_r)
{
	struct test_change *change = context;

	if (change->verify_error != NULL) {
		*error_r = change->verify_error;
		return -1;
	}
	if (keyring_fits(keyring, change->identities))
		return 0;
	*error_r = "does not fit";
	return -1;
}

int test_store_change(struct keyring_store *store, struct test_change *change,
		      const char **error_r)
{
	const struct keyring_update update = {
		.change = change_callback,
		.verify = verify_callback,
		.context = change,
	};

	return keyring_store_update(store, &update, NULL, error_r);
}

int test_child_slots(struct keyring_store *store, struct test_change *change,
		     unsigned int process)
{
	const char *error;

	for (unsigned int i = 0; i < TEST_CHILD_SLOTS; i++) {
		change->label = t_strdup_printf("%u-%u", process, i);
		change->func = test_change_add;
		if (test_store_change(store, change, &error) != 1) {
			i_error("add %s: %s", change->label, error);
			return 1;
		}
		change->func = test_change_remove;
		if (i % 2 == 0 &&
		    test_store_change(store, change, &error) != 1) {
			i_error("remove %s: %s", change->label, error);
			return 2;
		}
	}
	return 0;
}

unsigned int test_child_count(const struct keyring *keyring,
			      unsigned int process)
{
	const struct keyring_slot *slots;
	unsigned int count, found = 0;

	slots = keyring_slots(keyring, &count);
	for (unsigned int i = 1; i < TEST_CHILD_SLOTS; i += 2) T_BEGIN {
		const char *label = t_strdup_printf("%u-%u", process, i);

		for (unsigned int j = 0; j < count; j++) {
			if (null_strcmp(slots[j].label, label) == 0)
				found++;
		}
	} T_END;
	return found;
}

int test_child_rotate(struct keyring_store *store, struct test_change *change,
		      unsigned int process ATTR_UNUSED)
{
	const char *error;

	change->func = test_change_rotate;
	for (unsigned int i = 0; i < TEST_CHILD_SLOTS; i++) {
		if (test_store_change(store, change, &error) != 1) {
			i_error("rotate: %s", error);
			return 1;
		}
	}
	return 0;
}
