/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_UTIL_H
#define STORE_UTIL_H

#include "keyring/store.h"
#include "keyring-util.h"

/* A folder below the current one with a keyring file, made new for each test,
   and what tests do to stores. */

void test_dir_make(const char *dir);
void test_dir_remove(const char *dir);
/* The names in a folder, sorted, with spaces between. */
const char *test_dir_list(const char *dir);
void test_file_make(const char *path, const char *text);
/* The content, NULL if there is no such file. */
const char *test_file_read(const char *path);

/* What is stored, by keyring_store_load(). NULL if ret is not 1. */
const char *test_store_text(struct keyring_store *store, int *ret_r,
			    const char **error_r);

/* A change for keyring_store_update(), whose context this is. */
struct test_change {
	/* Fits the keyring, or else secret opens it. */
	struct age_identities *identities;
	const char *secret;
	int (*func)(struct keyring_edit *edit, struct test_change *change,
		    const char **error_r);
	const char *label;
	/* What func() asks for. */
	unsigned int slot_idx;
	const char *new_secret;
	/* How often it was called. */
	unsigned int count;
	/* Let it fail. */
	const char *change_error, *verify_error;
};

int test_change_nothing(struct keyring_edit *edit, struct test_change *change,
			const char **error_r);
/* Set new_secret for slot_idx. */
int test_change_password(struct keyring_edit *edit, struct test_change *change,
			 const char **error_r);
/* Add a slot with this label, or remove it. */
int test_change_add(struct keyring_edit *edit, struct test_change *change,
		    const char **error_r);
int test_change_remove(struct keyring_edit *edit, struct test_change *change,
		       const char **error_r);
/* Rotate, and set secret for slot_idx. */
int test_change_rotate(struct keyring_edit *edit, struct test_change *change,
		       const char **error_r);
/* Returns as keyring_store_update(). */
int test_store_change(struct keyring_store *store, struct test_change *change,
		      const char **error_r);

/* For processes that change a store at the same time, counted by process. Each
   returns 0, or says what failed. */
#define TEST_CHILD_SLOTS 6
/* Add so many slots, and remove every other one again. */
int test_child_slots(struct keyring_store *store, struct test_change *change,
		     unsigned int process);
/* How many of the slots are there that this process was to leave: all, if it is
   TEST_CHILD_SLOTS / 2. */
unsigned int test_child_count(const struct keyring *keyring,
			      unsigned int process);
/* Rotate so many times. */
int test_child_rotate(struct keyring_store *store, struct test_change *change,
		      unsigned int process);

#endif
