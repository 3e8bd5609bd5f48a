/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "keyring-util.h"
#include "under-valgrind.h"

/* Changing the identities: rotation, links, and forgetting. */

/* A keyring with two passwords, a recovery code and an escrow identity. */
struct fixture {
	struct keyring *keyring;
	/* as SECRET_1 opened it last */
	struct age_identities *identities;
	/* recovery, escrow */
	struct age_identities *codes;
};

static void fixture_init(struct fixture *fixture_r)
{
	void *code = secret_alloc(sizeof(struct age_x25519_identity));
	struct age_x25519_recipient escrow;
	struct keyring_edit *edit;
	const char *error;

	fixture_r->keyring = test_keyring_new(SECRET_1);
	fixture_r->identities = test_keyring_open(fixture_r->keyring, SECRET_1);
	fixture_r->codes = age_identities_init();
	edit = test_edit_begin(fixture_r->keyring, fixture_r->identities);
	if (keyring_edit_add_password(edit, SECRET_2, &test_costs, "two",
				      &error) < 0 ||
	    keyring_edit_add_recovery(edit, "code", code, &error) < 0)
		i_fatal("%s", error);
	age_identities_add(fixture_r->codes, code);
	age_x25519_identity_generate(code);
	age_identities_add(fixture_r->codes, code);
	age_x25519_identity_recipient(code, &escrow);
	if (keyring_edit_add_escrow(edit, &escrow, NULL, &error) < 0)
		i_fatal("%s", error);
	test_edit_finish(&edit, &fixture_r->keyring);
	secret_free(&code);
}

static void fixture_deinit(struct fixture *fixture)
{
	keyring_free(&fixture->keyring);
	age_identities_deinit(&fixture->identities);
	age_identities_deinit(&fixture->codes);
}

static void
fixture_set_identities(struct fixture *fixture,
		       struct age_identities *identities)
{
	age_identities_deinit(&fixture->identities);
	fixture->identities = identities;
}

/* Rotate, and set the password of the first slot. */
static void rotate(struct fixture *fixture)
{
	struct keyring_edit *edit =
		test_edit_begin(fixture->keyring, fixture->identities);
	struct age_identities *identities;
	struct keyring *keyring;
	const char *error;

	if (keyring_edit_rotate(edit, &error) < 0 ||
	    keyring_edit_set_password(edit, 0, SECRET_1, &test_costs,
				      &error) < 0 ||
	    keyring_edit_finish(&edit, 0, &keyring, &identities, &error) <= 0)
		i_fatal("%s", error);
	keyring_free(&fixture->keyring);
	fixture->keyring = keyring;
	fixture_set_identities(fixture, identities);
}

/* Write the slot of a password anew, as a login does. */
static void set_password(struct fixture *fixture, const char *secret)
{
	struct keyring_opened opened;
	struct keyring_edit *edit;
	const char *error;

	if (keyring_open_password(fixture->keyring, secret, &opened,
				  &error) <= 0)
		i_fatal("%s", error);
	edit = test_edit_begin(fixture->keyring, opened.identities);
	if (keyring_edit_set_password(edit, opened.slot_idx, secret,
				      &test_costs, &error) < 0)
		i_fatal("%s", error);
	test_edit_finish(&edit, &fixture->keyring);
	age_identities_deinit(&opened.identities);
}

static void
assert_password(const struct fixture *fixture, const char *secret,
		bool outdated)
{
	struct keyring_opened opened;
	const char *error = "";

	test_assert(keyring_open_password(fixture->keyring, secret, &opened,
					  &error) == 1);
	test_assert_strcmp(error, "");
	if (opened.identities == NULL)
		return;
	test_assert_strcmp(test_identities_str(opened.identities),
			   test_identities_str(fixture->identities));
	test_assert(opened.outdated == outdated);
	age_identities_deinit(&opened.identities);
}

static int
open_identity(const struct fixture *fixture,
	      const struct age_x25519_identity *identity, bool outdated)
{
	struct age_identities *keys = age_identities_init();
	struct keyring_opened opened;
	const char *error;
	int ret;

	age_identities_add(keys, identity);
	ret = keyring_open_identities(fixture->keyring, keys, &opened, &error);
	if (ret > 0) {
		test_assert_strcmp(test_identities_str(opened.identities),
				   test_identities_str(fixture->identities));
		test_assert(opened.outdated == outdated);
		age_identities_deinit(&opened.identities);
	}
	age_identities_deinit(&keys);
	return ret;
}

static void assert_codes(const struct fixture *fixture)
{
	for (unsigned int i = 0; i < age_identities_count(fixture->codes); i++) {
		test_assert_idx(open_identity(
			fixture, age_identities_get(fixture->codes, i),
			FALSE) == 1, i);
	}
}

/* The kinds of all slots, those that are marked with a '*'. */
static const char *slots_str(const struct keyring *keyring)
{
	const struct keyring_slot *slots;
	string_t *str = t_str_new(64);
	unsigned int count;

	slots = keyring_slots(keyring, &count);
	for (unsigned int i = 0; i < count; i++) {
		str_printfa(str, "%s%s%s", i == 0 ? "" : " ",
			    slots[i].kind_name,
			    slots[i].identity != NULL ? "*" : "");
		test_assert_idx(slots[i].listed, i);
	}
	return str_c(str);
}

static void test_rotate(void)
{
	struct age_identities *before;
	struct keyring_slot_counts counts;
	const struct keyring_slot *slots;
	const struct keyring_earlier *earlier;
	struct fixture fixture;
	unsigned int count;

	test_begin("rotate");
	fixture_init(&fixture);
	before = test_keyring_open(fixture.keyring, SECRET_1);
	rotate(&fixture);
	test_assert_ucmp(age_identities_count(fixture.identities), ==, 2);
	test_assert(age_x25519_recipient_str(
		keyring_recipients(fixture.keyring, &count)) != NULL);
	test_assert_strcmp(age_x25519_recipient_str(
			keyring_recipients(fixture.keyring, &count)),
		test_recipient_str(age_identities_get(fixture.identities, 0)));
	test_assert_ucmp(count, ==, 1);
	earlier = keyring_earlier(fixture.keyring, &count);
	test_assert_ucmp(count, ==, 1);
	test_assert_strcmp(age_x25519_recipient_str(&earlier[0].recipient),
			   test_recipient_str(age_identities_get(before, 0)));
	test_assert_strcmp(slots_str(fixture.keyring),
			   "password password* recovery escrow link");
	slots = keyring_slots(fixture.keyring, &count);
	test_assert_strcmp(slots[1].label, "two");
	test_assert_strcmp(slots[1].identity,
			   test_recipient_str(age_identities_get(before, 0)));
	test_assert_strcmp(slots[4].recipient, slots[1].identity);
	keyring_count(fixture.keyring, &counts);
	test_assert(counts.password == 2 && counts.recovery == 1 &&
		    counts.escrow == 1 && counts.link == 1 &&
		    counts.unknown == 0 && counts.marked == 1 &&
		    counts.unlisted == 0);
	assert_password(&fixture, SECRET_1, FALSE);
	assert_password(&fixture, SECRET_2, TRUE);
	assert_codes(&fixture);
	/* by way of the link */
	test_assert(open_identity(&fixture, age_identities_get(before, 0),
				  FALSE) == 1);
	test_end();

	test_begin("rotate: marked slot written anew");
	set_password(&fixture, SECRET_2);
	test_assert_strcmp(slots_str(fixture.keyring),
			   "password password recovery escrow");
	assert_password(&fixture, SECRET_1, FALSE);
	assert_password(&fixture, SECRET_2, FALSE);
	assert_codes(&fixture);
	/* the old identity is not a way in any more */
	test_assert(open_identity(&fixture, age_identities_get(before, 0),
				  FALSE) == 0);
	age_identities_deinit(&before);
	fixture_deinit(&fixture);
	test_end();
}

static void test_rotate_often(void)
{
	const unsigned int times = test_under_valgrind() ? 2 : 5;
	struct fixture fixture;
	unsigned int count;

	test_begin("rotate often");
	fixture_init(&fixture);
	for (unsigned int i = 1; i <= times; i++) {
		rotate(&fixture);
		test_assert_ucmp_idx(age_identities_count(fixture.identities),
				     ==, i + 1, i);
		(void)keyring_earlier(fixture.keyring, &count);
		test_assert_ucmp_idx(count, ==, i, i);
		/* one link is enough for a slot that missed several */
		test_assert_strcmp_idx(slots_str(fixture.keyring),
			"password password* recovery escrow link", i);
		assert_password(&fixture, SECRET_1, FALSE);
		assert_password(&fixture, SECRET_2, TRUE);
		assert_codes(&fixture);
	}
	set_password(&fixture, SECRET_2);
	assert_password(&fixture, SECRET_2, FALSE);
	test_assert_strcmp(slots_str(fixture.keyring),
			   "password password recovery escrow");
	fixture_deinit(&fixture);
	test_end();
}

/* Slots that missed different rotations. */
static void test_rotate_generations(void)
{
	struct keyring_edit *edit;
	struct fixture fixture;
	const char *error;

	test_begin("rotate past different slots");
	fixture_init(&fixture);
	rotate(&fixture);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_add_password(edit, SECRET_3, &test_costs,
					      "three", &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	rotate(&fixture);
	test_assert_strcmp(slots_str(fixture.keyring), "password password* "
			   "recovery escrow link password* link");
	assert_password(&fixture, SECRET_1, FALSE);
	assert_password(&fixture, SECRET_2, TRUE);
	assert_password(&fixture, SECRET_3, TRUE);
	assert_codes(&fixture);
	set_password(&fixture, SECRET_2);
	test_assert_strcmp(slots_str(fixture.keyring), "password password "
			   "recovery escrow password* link");
	assert_password(&fixture, SECRET_2, FALSE);
	assert_password(&fixture, SECRET_3, TRUE);
	test_end();

	test_begin("rotate: remove marked");
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_remove(edit, 5, &error) < 0);
	test_assert(strstr(error, "slot 6 is a link") != NULL);
	test_assert(keyring_edit_remove_marked(edit) == 1);
	test_edit_finish(&edit, &fixture.keyring);
	test_assert_strcmp(slots_str(fixture.keyring),
			   "password password recovery escrow");
	assert_password(&fixture, SECRET_1, FALSE);
	fixture_deinit(&fixture);
	test_end();
}

/* Whoever rotates needn't know a password. */
static void test_rotate_by_code(void)
{
	struct keyring_edit *edit;
	struct age_identities *identities;
	struct keyring *keyring;
	struct fixture fixture;
	const char *error;

	test_begin("rotate without a password");
	fixture_init(&fixture);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_rotate(edit, &error) == 0);
	test_assert(keyring_edit_finish(&edit, 0, &keyring, &identities,
					&error) == 1);
	keyring_free(&fixture.keyring);
	fixture.keyring = keyring;
	fixture_set_identities(&fixture, identities);
	test_assert_strcmp(slots_str(keyring),
			   "password* password* recovery escrow link");
	assert_password(&fixture, SECRET_1, TRUE);
	assert_password(&fixture, SECRET_2, TRUE);
	assert_codes(&fixture);
	fixture_deinit(&fixture);
	test_end();
}

/* Passwords that were set before a rotation in the same edit. */
static void test_rotate_order(void)
{
	struct keyring_edit *edit;
	struct age_identities *identities;
	struct keyring *keyring;
	struct fixture fixture;
	const char *error;

	test_begin("rotate after setting passwords");
	fixture_init(&fixture);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_set_password(edit, 0, SECRET_1, &test_costs,
					      &error) == 0);
	test_assert(keyring_edit_rotate(edit, &error) == 0);
	test_assert(keyring_edit_add_password(edit, SECRET_3, &test_costs, NULL,
					      &error) == 0);
	test_assert(keyring_edit_rotate(edit, &error) == 0);
	test_assert(keyring_edit_finish(&edit, 0, &keyring, &identities,
					&error) == 1);
	keyring_free(&fixture.keyring);
	fixture.keyring = keyring;
	fixture_set_identities(&fixture, identities);
	test_assert_ucmp(age_identities_count(identities), ==, 3);
	test_assert_strcmp(slots_str(keyring), "password* password* recovery "
			   "escrow password* link link");
	assert_password(&fixture, SECRET_1, TRUE);
	assert_password(&fixture, SECRET_2, TRUE);
	assert_password(&fixture, SECRET_3, TRUE);
	assert_codes(&fixture);
	fixture_deinit(&fixture);
	test_end();
}

static void test_open_by_identities(void)
{
	struct keyring_opened opened;
	struct age_identities *keys;
	struct fixture fixture;
	const char *error;

	test_begin("open by the current identity");
	fixture_init(&fixture);
	test_assert(keyring_open_identities(fixture.keyring, fixture.identities,
					    &opened, &error) == 1);
	test_assert_ucmp(opened.slot_idx, ==, KEYRING_NO_SLOT);
	test_assert(!opened.outdated);
	age_identities_deinit(&opened.identities);
	rotate(&fixture);
	set_password(&fixture, SECRET_2);

	/* alone it isn't all there is */
	keys = age_identities_init();
	age_identities_add(keys, age_identities_get(fixture.identities, 0));
	test_assert(keyring_open_identities(fixture.keyring, keys, &opened,
					    &error) == -1);
	test_assert_strcmp(error, t_strdup_printf(
		"the earlier identity of %s is missing",
		test_recipient_str(age_identities_get(fixture.identities, 1))));
	test_assert(opened.identities == NULL);
	/* in any order, with others */
	age_identities_deinit(&keys);
	keys = age_identities_init();
	age_identities_add(keys, age_identities_get(fixture.codes, 0));
	age_identities_add(keys, age_identities_get(fixture.identities, 1));
	age_identities_add(keys, age_identities_get(fixture.identities, 0));
	test_assert(keyring_open_identities(fixture.keyring, keys, &opened,
					    &error) == 1);
	test_assert_strcmp(test_identities_str(opened.identities),
			   test_identities_str(fixture.identities));
	test_assert_ucmp(opened.slot_idx, ==, KEYRING_NO_SLOT);
	age_identities_deinit(&opened.identities);
	age_identities_deinit(&keys);
	test_end();

	test_begin("open by a foreign identity");
	keys = age_identities_init();
	{
		void *other = secret_alloc(sizeof(struct age_x25519_identity));

		age_x25519_identity_generate(other);
		age_identities_add(keys, other);
		secret_free(&other);
	}
	test_assert(keyring_open_identities(fixture.keyring, keys, &opened,
					    &error) == 0);
	test_assert_strcmp(error, "none of 2 slots is for this identity");
	keyring_free(&fixture.keyring);
	fixture.keyring = test_keyring_new(SECRET_1);
	test_assert(keyring_open_identities(fixture.keyring, keys, &opened,
					    &error) == 0);
	test_assert_strcmp(error, "no slot for an identity");
	age_identities_deinit(&keys);
	fixture_deinit(&fixture);
	test_end();
}

static void forget(struct fixture *fixture, unsigned int idx)
{
	struct keyring_edit *edit =
		test_edit_begin(fixture->keyring, fixture->identities);
	struct age_x25519_recipient recipient;
	struct age_identities *identities;
	struct keyring *keyring;
	const char *error;

	if (idx > 0) {
		age_x25519_identity_recipient(
			age_identities_get(fixture->identities, idx),
			&recipient);
	}
	if (keyring_edit_forget(edit, idx == 0 ? NULL : &recipient,
				&error) <= 0 ||
	    keyring_edit_finish(&edit, 0, &keyring, &identities, &error) <= 0)
		i_fatal("%s", error);
	keyring_free(&fixture->keyring);
	fixture->keyring = keyring;
	fixture_set_identities(fixture, identities);
}

static void test_forget(void)
{
	struct age_x25519_recipient current;
	struct keyring_edit *edit;
	struct fixture fixture;
	const char *error, *all;
	unsigned int count;

	test_begin("forget one");
	fixture_init(&fixture);
	rotate(&fixture);
	rotate(&fixture);
	rotate(&fixture);
	set_password(&fixture, SECRET_2);
	all = test_identities_str(fixture.identities);
	forget(&fixture, 2);
	(void)keyring_earlier(fixture.keyring, &count);
	test_assert_ucmp(count, ==, 2);
	test_assert_ucmp(age_identities_count(fixture.identities), ==, 3);
	test_assert(strncmp(test_identities_str(fixture.identities), all,
			    2 * AGE_X25519_IDENTITY_CHARS + 1) == 0);
	/* they hold it until they are written anew */
	test_assert_strcmp(slots_str(fixture.keyring),
			   "password password recovery escrow");
	assert_password(&fixture, SECRET_1, TRUE);
	assert_password(&fixture, SECRET_2, TRUE);
	assert_codes(&fixture);
	set_password(&fixture, SECRET_1);
	assert_password(&fixture, SECRET_1, FALSE);
	assert_password(&fixture, SECRET_2, TRUE);
	test_end();

	test_begin("forget all");
	forget(&fixture, 0);
	(void)keyring_earlier(fixture.keyring, &count);
	test_assert_ucmp(count, ==, 0);
	test_assert_ucmp(age_identities_count(fixture.identities), ==, 1);
	assert_password(&fixture, SECRET_1, TRUE);
	set_password(&fixture, SECRET_1);
	assert_password(&fixture, SECRET_1, FALSE);
	assert_codes(&fixture);
	test_end();

	test_begin("forget what isn't there");
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_forget(edit, NULL, &error) == 0);
	age_x25519_identity_recipient(age_identities_get(fixture.identities, 0),
				      &current);
	test_assert(keyring_edit_forget(edit, &current, &error) == -1);
	test_assert(strstr(error, "is not the recipient of an earlier identity "
			   "of this keyring") != NULL);
	keyring_edit_abort(&edit);
	fixture_deinit(&fixture);
	test_end();

	/* The link is for the slot, not for the mail. */
	test_begin("forget what a marked slot holds");
	fixture_init(&fixture);
	rotate(&fixture);
	forget(&fixture, 0);
	test_assert_strcmp(slots_str(fixture.keyring),
			   "password password* recovery escrow link");
	assert_password(&fixture, SECRET_1, TRUE);
	assert_password(&fixture, SECRET_2, TRUE);
	assert_codes(&fixture);
	set_password(&fixture, SECRET_2);
	test_assert_strcmp(slots_str(fixture.keyring),
			   "password password recovery escrow");
	assert_password(&fixture, SECRET_2, FALSE);
	fixture_deinit(&fixture);
	test_end();

	test_begin("rotate and forget at once");
	fixture_init(&fixture);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_rotate(edit, &error) == 0);
	test_assert(keyring_edit_forget(edit, NULL, &error) == 1);
	test_assert(keyring_edit_set_password(edit, 0, SECRET_1, &test_costs,
					      &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	fixture_set_identities(&fixture, test_keyring_open(fixture.keyring,
							   SECRET_1));
	test_assert_ucmp(age_identities_count(fixture.identities), ==, 1);
	assert_password(&fixture, SECRET_2, TRUE);
	assert_codes(&fixture);
	fixture_deinit(&fixture);
	test_end();
}

static void test_rotate_limit(void)
{
	struct keyring_edit *edit;
	struct fixture fixture;
	struct age_identities *identities;
	struct keyring *keyring;
	const char *error;
	unsigned int i;

	test_begin("rotate too often");
	fixture_init(&fixture);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	for (i = 0; i < KEYRING_MAX_EARLIER; i++) {
		if (keyring_edit_rotate(edit, &error) < 0)
			break;
	}
	test_assert_ucmp(i, ==, KEYRING_MAX_EARLIER);
	test_assert(keyring_edit_rotate(edit, &error) < 0);
	test_assert_strcmp(error, "the keyring keeps 255 earlier identities, "
			   "no more are allowed: forget some first");
	test_assert(keyring_edit_finish(&edit, 0, &keyring, &identities,
					&error) == 1);
	keyring_free(&fixture.keyring);
	fixture.keyring = keyring;
	fixture_set_identities(&fixture, identities);
	assert_password(&fixture, SECRET_2, TRUE);
	assert_codes(&fixture);
	fixture_deinit(&fixture);
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_rotate,
		test_rotate_often,
		test_rotate_generations,
		test_rotate_by_code,
		test_rotate_order,
		test_open_by_identities,
		test_forget,
		test_rotate_limit,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
