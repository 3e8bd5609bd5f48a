/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "age/argon2id.h"
#include "keyring/keyring-private.h"

/* Opening a keyring: a slot, then what it holds against the header, then a link
   slot if the slot was passed over by a rotation. */

/* What has been tried so far. */
struct open_state {
	const struct keyring *keyring;
	/* Slots that could be tried, and those that aren't for this secret. */
	unsigned int count, tried;
	uint64_t work_left;
	/* The first slot that is damaged or doesn't fit. */
	const char *slot_error;
};

static bool same_identities(const struct age_identities *a,
			    const struct age_identities *b)
{
	unsigned int count = age_identities_count(a);

	if (age_identities_count(b) != count)
		return FALSE;
	for (unsigned int i = 0; i < count; i++) {
		if (!secret_equals(age_identities_get(a, i)->secret,
				   age_identities_get(b, i)->secret,
				   AGE_X25519_KEY_SIZE))
			return FALSE;
	}
	return TRUE;
}

/* Hold identities against the header. Returns 0 and the ones to use, or -1 and
   error_r. */
static int
check_identities(const struct keyring *keyring,
		 const struct age_identities *found,
		 struct keyring_opened *opened_r, const char **error_r)
{
	if (keyring_verify(keyring, age_identities_get(found, 0), error_r) < 0)
		return -1;
	if (keyring_select_identities(keyring, found, &opened_r->identities,
				      error_r) < 0)
		return -1;
	opened_r->outdated = !same_identities(found, opened_r->identities);
	return 0;
}

/* Only the first identity is tried: that is the one that link slots are sealed
   to, and planted slots must not cost much. */
static int
follow_link(const struct keyring *keyring, const struct age_identities *found,
	    struct keyring_opened *opened_r)
{
	const struct keyring_slot *slot;
	struct age_identities *linked;
	const char *error;
	int ret;

	array_foreach(&keyring->slots, slot) {
		if (slot->kind != KEYRING_SLOT_LINK ||
		    !keyring_slot_takes_identity(slot) ||
		    keyring_slot_open_identities(slot, found, 1, &linked,
						 &error) <= 0)
			continue;
		ret = check_identities(keyring, linked, opened_r, &error);
		age_identities_deinit(&linked);
		if (ret == 0) {
			opened_r->outdated = TRUE;
			return 0;
		}
	}
	return -1;
}

/* Use what a slot holds, which is freed. */
static int
use_identities(const struct keyring *keyring, struct age_identities *found,
	       struct keyring_opened *opened_r, const char **error_r)
{
	int ret;

	ret = check_identities(keyring, found, opened_r, error_r);
	if (ret < 0)
		ret = follow_link(keyring, found, opened_r);
	age_identities_deinit(&found);
	return ret;
}

/* ret is of opening the slot that has this index. Returns TRUE if the keyring
   is open. */
static bool
try_slot(struct open_state *state, unsigned int idx, int ret,
	 struct age_identities *found, const char *error,
	 struct keyring_opened *opened_r)
{
	const struct keyring_slot *slot =
		array_idx(&state->keyring->slots, idx);

	if (ret == 0) {
		state->tried++;
		return FALSE;
	}
	if (ret < 0) {
		error = t_strdup_printf("slot of line %u: %s", slot->line,
					error);
	} else if (use_identities(state->keyring, found, opened_r,
				  &error) == 0) {
		opened_r->slot_idx = idx;
		return TRUE;
	}
	/* A damaged slot doesn't keep a good one from opening. */
	if (state->slot_error == NULL)
		state->slot_error = error;
	return FALSE;
}

static bool
try_password(struct open_state *state, unsigned int idx, const char *secret,
	     struct keyring_opened *opened_r)
{
	const struct keyring_slot *slot =
		array_idx(&state->keyring->slots, idx);
	struct age_identities *found = NULL;
	const char *error = NULL;
	int ret;

	if (!keyring_slot_takes_password(slot) ||
	    state->count++ >= KEYRING_MAX_PASSWORD_SLOTS)
		return FALSE;
	ret = keyring_slot_open_password(slot, secret, &state->work_left,
					 &found, &error);
	return try_slot(state, idx, ret, found, error, opened_r);
}

static int password_failed(const struct open_state *state, const char **error_r)
{
	if (state->slot_error != NULL) {
		*error_r = state->slot_error;
		return -1;
	}
	if (state->count == 0)
		*error_r = "no password slot";
	else if (state->count > state->tried) {
		*error_r = t_strdup_printf("wrong password for the first %u of "
					   "%u slots", state->tried,
					   state->count);
	} else {
		*error_r = t_strdup_printf("wrong password for %u slot%s",
					   state->count,
					   state->count == 1 ? "" : "s");
	}
	return 0;
}

int keyring_open_password(const struct keyring *keyring, const char *secret,
			  struct keyring_opened *opened_r,
			  const char **error_r)
{
	struct open_state state = {
		.keyring = keyring,
		.work_left = KEYRING_MAX_WORK,
	};

	i_zero(opened_r);
	for (unsigned int i = 0; i < array_count(&keyring->slots); i++) {
		if (try_password(&state, i, secret, opened_r))
			return 1;
	}
	return password_failed(&state, error_r);
}

int keyring_unlock(const struct keyring *keyring, const char *secret,
		   struct age_identities **identities_r, const char **error_r)
{
	struct keyring_opened opened;
	int ret;

	ret = keyring_open_password(keyring, secret, &opened, error_r);
	if (ret > 0)
		*identities_r = opened.identities;
	return ret;
}

static bool
try_identities(struct open_state *state, unsigned int idx,
	       const struct age_identities *keys,
	       struct keyring_opened *opened_r)
{
	const struct keyring_slot *slot =
		array_idx(&state->keyring->slots, idx);
	struct age_identities *found = NULL;
	const char *error = NULL;
	int ret;

	if (!keyring_slot_takes_identity(slot))
		return FALSE;
	state->count++;
	ret = keyring_slot_open_identities(slot, keys,
					   age_identities_count(keys), &found,
					   &error);
	return try_slot(state, idx, ret, found, error, opened_r);
}

/* The current identity may be among the keys, and earlier ones with it. A
   keyring of an earlier version doesn't tell which they are: only its slots know
   all. Returns 1 and opened_r; 0 if it isn't; -1 and error_r. */
static int
use_keys(const struct keyring *keyring, const struct age_identities *keys,
	 struct keyring_opened *opened_r, const char **error_r)
{
	const struct age_x25519_identity *current =
		keyring_find_identity(keys, array_front(&keyring->recipients));
	struct age_identities *found;
	int ret;

	if (current == NULL || !keyring->has_list)
		return 0;
	found = age_identities_init();
	age_identities_add(found, current);
	for (unsigned int i = 0; i < age_identities_count(keys); i++) {
		if (age_identities_get(keys, i) != current)
			age_identities_add(found, age_identities_get(keys, i));
	}
	ret = check_identities(keyring, found, opened_r, error_r);
	age_identities_deinit(&found);
	if (ret < 0)
		return -1;
	opened_r->slot_idx = KEYRING_NO_SLOT;
	opened_r->outdated = FALSE;
	return 1;
}

int keyring_open_identities(const struct keyring *keyring,
			    const struct age_identities *keys,
			    struct keyring_opened *opened_r,
			    const char **error_r)
{
	struct open_state state = { .keyring = keyring };

	i_zero(opened_r);
	if (use_keys(keyring, keys, opened_r, &state.slot_error) > 0)
		return 1;
	for (unsigned int i = 0; i < array_count(&keyring->slots); i++) {
		if (try_identities(&state, i, keys, opened_r))
			return 1;
	}
	if (state.slot_error != NULL) {
		*error_r = state.slot_error;
		return -1;
	}
	*error_r = state.count == 0 ? "no slot for an identity" :
		t_strdup_printf("none of %u slots is for this identity",
				state.count);
	return 0;
}
