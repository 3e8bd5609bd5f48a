/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "age/armor.h"
#include "age/small-file.h"
#include "keyring-util.h"
#include "under-valgrind.h"

/* What is kept, what is noticed: unknown lines, cuts, damage, and slots that
   someone else put there. */

#define ATTACKER \
	"age1vqg3l8tlxyn40vhg25va5ftlkht0ylt7myqcyt4rck3sdu3snqfqvsj377"
#define UNKNOWN_SLOT \
	"slot: fido2 hmac-secret 2026-11-23T10:00:00Z device=\"a \\\"b\\\"\"" \
	" label=\"stick\"\n" \
	"-----BEGIN AGE ENCRYPTED FILE-----\n" \
	"YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==\n" \
	"-----END AGE ENCRYPTED FILE-----\n"

/* One password, and a recovery code, to which opening is cheap. */
struct fixture {
	struct keyring *keyring;
	struct age_identities *identities, *code;
};

static void fixture_init(struct fixture *fixture_r)
{
	void *code = secret_alloc(sizeof(struct age_x25519_identity));
	struct keyring_edit *edit;
	const char *error;

	fixture_r->keyring = test_keyring_new(SECRET_1);
	fixture_r->identities = test_keyring_open(fixture_r->keyring, SECRET_1);
	fixture_r->code = age_identities_init();
	edit = test_edit_begin(fixture_r->keyring, fixture_r->identities);
	if (keyring_edit_add_recovery(edit, "code", code, &error) < 0)
		i_fatal("%s", error);
	test_edit_finish(&edit, &fixture_r->keyring);
	age_identities_add(fixture_r->code, code);
	secret_free(&code);
}

static void fixture_deinit(struct fixture *fixture)
{
	keyring_free(&fixture->keyring);
	age_identities_deinit(&fixture->identities);
	age_identities_deinit(&fixture->code);
}

static void fixture_set_text(struct fixture *fixture, const char *text)
{
	keyring_free(&fixture->keyring);
	fixture->keyring = test_keyring_parse(text);
}

/* An age file with this content to a recipient, armored. */
static const char *seal(const char *recipient_str, const char *content)
{
	struct age_x25519_recipient x25519;
	const struct age_recipient *recipient = &x25519.recipient;
	buffer_t *file = t_buffer_create(1024);
	string_t *armor = t_str_new(1024);
	const char *error;

	if (age_x25519_recipient_parse(recipient_str, &x25519, &error) < 0 ||
	    age_small_file_seal(&recipient, 1, (const void *)content,
				strlen(content), file, &error) < 0)
		i_fatal("%s", error);
	age_armor_encode(file->data, file->used, armor);
	return str_c(armor);
}

/* The text with one part replaced, which must be there. */
static const char *
replaced(const char *text, const char *from, const char *to)
{
	const char *p = strstr(text, from);

	if (p == NULL)
		i_fatal("no %s in:\n%s", from, text);
	return t_strconcat(t_strdup_until(text, p), to, p + strlen(from), NULL);
}

static int open_code(const struct keyring *keyring,
		     const struct fixture *fixture, const char **error_r)
{
	struct keyring_opened opened;
	int ret;

	*error_r = "";
	ret = keyring_open_identities(keyring, fixture->code, &opened, error_r);
	if (ret > 0) {
		test_assert_strcmp(test_identities_str(opened.identities),
				   test_identities_str(fixture->identities));
		age_identities_deinit(&opened.identities);
	}
	return ret;
}

static void test_list_cut(void)
{
	struct fixture fixture;
	struct keyring_edit *edit;
	struct keyring *keyring;
	const char *text, *error;

	test_begin("list: cut at every byte");
	fixture_init(&fixture);
	text = test_keyring_text(fixture.keyring);
	for (size_t size = 0; size < strlen(text); size++) T_BEGIN {
		test_assert_idx(keyring_parse(text, size, &keyring,
					      &error) < 0, size);
	} T_END;
	test_end();

	test_begin("list: cut behind a slot");
	test_assert(keyring_parse(text, strlen(text) - strlen("end\n"),
				  &keyring, &error) < 0);
	test_assert(strstr(error, "expected a slot or \"end\", the keyring is "
			   "cut short") != NULL);
	test_end();

	test_begin("list: none, cut at every byte");
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_remove(edit, 0, &error) == 0);
	test_assert(keyring_edit_remove(edit, 1, &error) == 0);
	test_assert(keyring_edit_finish(&edit, KEYRING_EDIT_FORCE, &keyring,
					NULL, &error) == 1);
	text = test_keyring_text(keyring);
	keyring_free(&keyring);
	for (size_t size = 0; size < strlen(text); size++) T_BEGIN {
		test_assert_idx(keyring_parse(text, size, &keyring,
					      &error) < 0, size);
	} T_END;
	fixture_deinit(&fixture);
	test_end();
}

/* Whatever byte is changed: the right identities or none, and nothing is made of
   it that could be believed. */
static void check_flipped(const struct fixture *fixture, const char *text,
			  size_t pos)
{
	struct keyring *keyring, *new_keyring;
	struct keyring_edit *edit;
	const char *error;

	if (keyring_parse(text, strlen(text), &keyring, &error) < 0)
		return;
	(void)open_code(keyring, fixture, &error);
	if (keyring_edit_begin(keyring, fixture->identities, &edit,
			       &error) == 0) {
		test_assert_idx(keyring_edit_rotate(edit, &error) == 0, pos);
		test_assert_idx(keyring_edit_finish(&edit, 0, &new_keyring,
						    NULL, &error) == -1, pos);
		test_assert_idx(strstr(error, "damaged or written by "
				       "someone else") != NULL, pos);
	}
	keyring_free(&keyring);
}

static void test_list_flip(void)
{
	struct fixture fixture;
	const char *text;
	char *flipped;
	unsigned int parsed = 0, step = test_step();

	test_begin("list: flip every byte");
	fixture_init(&fixture);
	text = test_keyring_text(fixture.keyring);
	flipped = i_strdup(text);
	for (size_t i = 0; i < strlen(text); i += step) {
		static const char bits[] = { 0x01, 0x20 };

		for (unsigned int j = 0; j < N_ELEMENTS(bits); j++) T_BEGIN {
			struct keyring *keyring;
			const char *error;

			flipped[i] = text[i] ^ bits[j];
			if (flipped[i] != '\0')
				check_flipped(&fixture, flipped, i);
			if (keyring_parse(flipped, strlen(text), &keyring,
					  &error) == 0) {
				parsed++;
				keyring_free(&keyring);
			}
			flipped[i] = text[i];
		} T_END;
	}
	test_assert_ucmp(parsed, >, 0);
	i_free(flipped);
	fixture_deinit(&fixture);
	test_end();
}

/* Slots that are right in themselves. */
static void test_list_foreign(void)
{
	static const struct {
		const char *name, *from, *to;
		/* of the slot that isn't listed */
		unsigned int idx;
	} tests[] = {
		{ "an exchanged recipient", "recipient=\"age1",
		  "recipient=\""ATTACKER"\" x=\"age1", 1 },
		{ "a planted escrow slot", "end\n",
		  "slot: escrow x25519 2026-11-23T10:00:00Z recipient=\""
		  ATTACKER"\"\n%end\n", 2 },
		{ "a planted recovery slot", "end\n",
		  "slot: recovery x25519 2026-11-23T10:00:00Z recipient=\""
		  ATTACKER"\" label=\"x\"\n%end\n", 2 },
		{ "another label", "label=\"code\"", "label=\"cafe\"", 1 },
		{ "another date", "slot: password argon2id 2", "slot: password "
		  "argon2id 3", 0 },
		{ "a mark", "slot: password argon2id ", "slot: password "
		  "argon2id 2026-11-23T10:00:00Z identity=\""ATTACKER"\" y=\"\" "
		  "z=\"\"\n%#", 0 },
	};
	struct fixture fixture;
	const char *error, *text, *armor;

	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		struct keyring_slot_counts counts;
		const struct keyring_slot *slots;
		struct keyring *new_keyring;
		struct keyring_edit *edit;
		unsigned int count;
		const char *expected;

		test_begin(t_strdup_printf("list: %s", tests[i].name));
		fixture_init(&fixture);
		armor = seal(ATTACKER, "x");
		text = replaced(test_keyring_text(fixture.keyring),
				tests[i].from, tests[i].to);
		/* the mark's row makes a slot of its own */
		if (strstr(text, "%#") != NULL) {
			text = replaced(text, "%#", t_strconcat(
				armor, "slot: password argon2id ", NULL));
		} else if (strchr(text, '%') != NULL)
			text = replaced(text, "%", armor);
		fixture_set_text(&fixture, text);
		keyring_count(fixture.keyring, &counts);
		test_assert_ucmp(counts.unlisted, ==, 1);
		slots = keyring_slots(fixture.keyring, &count);
		test_assert(!slots[tests[i].idx].listed);
		/* it doesn't keep anybody out */
		test_assert(open_code(fixture.keyring, &fixture, &error) == 1);

		edit = test_edit_begin(fixture.keyring, fixture.identities);
		test_assert(keyring_edit_rotate(edit, &error) == 0);
		test_assert(keyring_edit_finish(&edit, 0, &new_keyring, NULL,
						&error) < 0);
		expected = t_strdup_printf("slot %u (line %u) was damaged or "
			"written by someone else", tests[i].idx + 1,
			slots[tests[i].idx].line);
		test_assert(strncmp(error, expected, strlen(expected)) == 0);

		edit = test_edit_begin(fixture.keyring, fixture.identities);
		test_assert(keyring_edit_rotate(edit, &error) == 0);
		test_assert(keyring_edit_remove(edit, tests[i].idx,
						&error) == 0);
		test_assert(keyring_edit_finish(&edit, 0, &new_keyring, NULL,
						&error) > 0);
		test_assert(strstr(test_keyring_text(new_keyring),
				   ATTACKER) == NULL);
		keyring_free(&new_keyring);
		fixture_deinit(&fixture);
		test_end();
	}
}

static void test_list_foreign_escrow_sync(void)
{
	struct age_x25519_recipient recipient;
	struct keyring_edit *edit;
	struct fixture fixture;
	const char *error;

	/* A planted slot for a recipient that is wanted: it is replaced by one
	   of ours. */
	test_begin("list: escrow sync over a planted slot");
	fixture_init(&fixture);
	fixture_set_text(&fixture, replaced(
		test_keyring_text(fixture.keyring), "\nend\n", t_strconcat(
			"\nslot: escrow x25519 2026-11-23T10:00:00Z recipient="
			"\""ATTACKER"\"\n", seal(ATTACKER, "x"), "end\n",
			NULL)));
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	if (age_x25519_recipient_parse(ATTACKER, &recipient, &error) < 0)
		i_fatal("%s", error);
	test_assert(keyring_edit_sync_escrow(edit, &recipient, 1, &error) == 1);
	test_edit_finish(&edit, &fixture.keyring);
	{
		const struct keyring_slot *slots;
		unsigned int count;

		slots = keyring_slots(fixture.keyring, &count);
		test_assert_ucmp(count, ==, 3);
		test_assert(slots[2].listed);
		test_assert_strcmp(slots[2].recipient, ATTACKER);
	}
	fixture_deinit(&fixture);
	test_end();
}

/* A link that someone else wrote leads nowhere, and costs no more than one. */
static void test_list_foreign_link(void)
{
	struct keyring_opened opened;
	struct keyring_edit *edit;
	struct fixture fixture;
	const char *error, *text;

	test_begin("list: damaged link");
	fixture_init(&fixture);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_rotate(edit, &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	text = replaced(test_keyring_text(fixture.keyring), "slot: link x25519 ",
			"slot: link x25519 2026-11-23T10:00:00Z recipient="
			"\""ATTACKER"\"\n%slot: link x25519 ");
	text = replaced(text, "%", seal(test_recipient_str(age_identities_get(
		fixture.identities, 0)), t_strconcat(test_identities_str(
			fixture.identities), "\n", NULL)));
	fixture_set_text(&fixture, text);
	test_assert(keyring_open_password(fixture.keyring, SECRET_1, &opened,
					  &error) == 1);
	test_assert_ucmp(age_identities_count(opened.identities), ==, 2);

	/* links are made again by any change */
	edit = test_edit_begin(fixture.keyring, opened.identities);
	test_assert(keyring_edit_add_password(edit, SECRET_2, &test_costs, NULL,
					      &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	test_assert(strstr(test_keyring_text(fixture.keyring),
			   ATTACKER) == NULL);
	age_identities_deinit(&opened.identities);
	test_assert(keyring_open_password(fixture.keyring, SECRET_1, &opened,
					  &error) == 1);
	age_identities_deinit(&opened.identities);
	test_end();

	test_begin("list: missing link");
	text = test_keyring_text(fixture.keyring);
	{
		const char *link = strstr(text, "slot: link");
		const char *behind = strstr(link + 1, "slot: ");

		fixture_set_text(&fixture, t_strconcat(
			t_strdup_until(text, link), behind, NULL));
	}
	test_assert(keyring_open_password(fixture.keyring, SECRET_1, &opened,
					  &error) == -1);
	test_assert(strstr(error, "is not the one of the identity in this "
			   "keyring") != NULL);
	test_assert(keyring_open_password(fixture.keyring, SECRET_2, &opened,
					  &error) == 1);
	edit = test_edit_begin(fixture.keyring, opened.identities);
	test_assert(keyring_edit_set_password(edit, 2, SECRET_3, &test_costs,
					      &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	age_identities_deinit(&opened.identities);
	/* it is back */
	test_assert(keyring_open_password(fixture.keyring, SECRET_1, &opened,
					  &error) == 1);
	age_identities_deinit(&opened.identities);
	fixture_deinit(&fixture);
	test_end();
}

static void test_list_removed_by_hand(void)
{
	struct keyring_edit *edit;
	struct fixture fixture;
	const char *error, *text, *slot;
	unsigned int count;

	test_begin("list: removed by hand");
	fixture_init(&fixture);
	text = test_keyring_text(fixture.keyring);
	slot = strstr(text, "slot: password");
	fixture_set_text(&fixture, t_strconcat(
		t_strdup_until(text, slot), strstr(text, "slot: recovery"),
		NULL));
	test_assert(open_code(fixture.keyring, &fixture, &error) == 1);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_add_password(edit, SECRET_2, &test_costs, NULL,
					      &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	(void)keyring_slots(fixture.keyring, &count);
	test_assert_ucmp(count, ==, 2);
	fixture_deinit(&fixture);
	test_end();
}

/* Give the keyring lines that this version doesn't know, as a later one would:
   with the mac renewed. */
static void fixture_add_unknown(struct fixture *fixture)
{
	const char *text, *error;
	struct keyring *keyring;
	struct keyring_edit *edit;
	string_t *old = t_str_new(4096);

	/* Without a list all slots are taken for listed; a keyring of an
	   earlier version has no end. */
	text = test_keyring_text(fixture->keyring);
	str_append(old, t_strdup_until(text, strstr(text, "slots: ")));
	str_append(old, "x-later: kept\n# a person's note\n\n");
	str_append(old, strstr(text, "mac: "));
	text = replaced(str_c(old), "slot: recovery",
			"# between slots\n\n"UNKNOWN_SLOT"# code\nslot: recovery");
	text = replaced(text, "\nend\n", "\n# last words\nend\n\n# bye\n");
	/* not listed, as the recovery slot has a recipient */
	text = replaced(text, " recipient=", " owner=");
	/* the mac was over other lines */
	{
		struct age_identities *identities = fixture->identities;

		keyring = test_keyring_parse(text);
		text = test_keyring_with_mac(keyring, identities);
		keyring_free(&keyring);
	}
	fixture_set_text(fixture, text);
	if (keyring_edit_begin(fixture->keyring, fixture->identities, &edit,
			       &error) < 0)
		i_fatal("%s", error);
	keyring_edit_abort(&edit);
}

static void assert_in_order(const char *text, const char *const *parts)
{
	for (unsigned int i = 0; parts[i] != NULL; i++) {
		const char *p = strstr(text, parts[i]);

		test_assert_idx(p != NULL, i);
		if (p == NULL)
			return;
		text = p + strlen(parts[i]);
	}
}

static void test_list_unknown(void)
{
	static const char *const kept[] = {
		"mail-seal keyring 1\nrecipient: age1", "\nslots: ", "\nmac: ",
		"\nx-later: kept\n# a person's note\n\nslot: password ",
		"\n# between slots\n\n"UNKNOWN_SLOT"# code\nslot: recovery ",
		" label=\"code\" owner=\"age1", "\nslot: password ",
		"\n# last words\nend\n\n# bye\n", NULL
	};
	static const char *const kept_rotated[] = {
		"\nx-later: kept\n# a person's note\n\nslot: password ",
		" identity=\"age1", "\n# between slots\n\nslot: fido2 "
		"hmac-secret 2026-11-23T10:00:00Z device=\"a \\\"b\\\"\" "
		"label=\"stick\" identity=\"age1", "\n# code\nslot: recovery ",
		" label=\"code\" owner=\"age1", " identity=\"age1",
		"\n# last words\nend\n\n# bye\n", NULL
	};
	/* The comments of slots that go stay. */
	static const char *const kept_removed[] = {
		"\nx-later: kept\n# a person's note\n\n# between slots\n\n"
		"# code\nslot: password ",
		"\n# last words\nend\n\n# bye\n", NULL
	};
	struct keyring_edit *edit;
	struct fixture fixture;
	const char *error;

	test_begin("list: unknown parts are kept");
	fixture_init(&fixture);
	fixture_add_unknown(&fixture);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_add_password(edit, SECRET_2, &test_costs, NULL,
					      &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	assert_in_order(test_keyring_text(fixture.keyring), kept);
	/* and again, now with a list */
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_set_password(edit, 0, SECRET_1, &test_costs,
					      &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	assert_in_order(test_keyring_text(fixture.keyring), kept);
	test_assert(open_code(fixture.keyring, &fixture, &error) == 1);
	test_end();

	test_begin("list: unknown parts are kept by a rotation");
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_rotate(edit, &error) == 0);
	test_edit_finish(&edit, &fixture.keyring);
	assert_in_order(test_keyring_text(fixture.keyring), kept_rotated);
	age_identities_deinit(&fixture.identities);
	fixture.identities = test_keyring_open(fixture.keyring, SECRET_1);
	/* by way of the link, as its recipient isn't known */
	test_assert(open_code(fixture.keyring, &fixture, &error) == 1);
	test_end();

	test_begin("list: comments are kept");
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	for (unsigned int i = 0; i < 3; i++)
		test_assert_idx(keyring_edit_remove(edit, i, &error) == 0, i);
	test_edit_finish(&edit, &fixture.keyring);
	assert_in_order(test_keyring_text(fixture.keyring), kept_removed);
	edit = test_edit_begin(fixture.keyring, fixture.identities);
	test_assert(keyring_edit_remove(edit, 0, &error) == 0);
	{
		struct keyring *keyring;

		test_assert(keyring_edit_finish(&edit, KEYRING_EDIT_FORCE,
						&keyring, NULL, &error) == 1);
		test_assert(strstr(test_keyring_text(keyring),
				   "# a person's note\n\n# between slots\n\n"
				   "# code\n# last words\nend\n\n# bye\n") !=
			    NULL);
		test_assert(keyring_fits(keyring, fixture.identities));
		keyring_free(&keyring);
	}
	fixture_deinit(&fixture);
	test_end();
}

static void test_list_lines(void)
{
	static const struct {
		const char *name, *from, *to, *error;
	} tests[] = {
		{ "no list and no end", NULL, NULL, NULL },
		{ "comments behind the end", "\nend\n", "\nend\n\n# x\n",
		  NULL },
		{ "a slot behind the end", "\nend\n", "\nend\n"UNKNOWN_SLOT,
		  "expected nothing behind \"end\"" },
		{ "two ends", "\nend\n", "\nend\nend\n",
		  "expected nothing behind \"end\"" },
		{ "another end", "\nend\n", "\nEND\n",
		  "expected a slot, as nothing else follows slots" },
		{ "an end with a space", "\nend\n", "\nend \n",
		  "expected a slot, as nothing else follows slots" },
		{ "two lists", "\nslots: ", "\nslots: none\nslots: ",
		  "second list of slots" },
		{ "an empty list", "\nslots: ", "\nslots: \nx: ",
		  "expected \"slots: none\", or for each slot the base 64 of "
		  "16 bytes" },
		{ "two spaces", "\nslots: ", "\nslots:  ",
		  "expected \"slots: none\"" },
		{ "a short one", "\nslots: ", "\nslots: AAAA ",
		  "expected \"slots: none\"" },
		{ "leftover bits", "\nslots: ",
		  "\nslots: AAAAAAAAAAAAAAAAAAAAAB ",
		  "expected \"slots: none\"" },
		{ "one more in the list", "\nslots: ",
		  "\nslots: AAAAAAAAAAAAAAAAAAAAAA ", NULL },
		{ "none and slots", "\nslots: ", "\nslots: none\nx: ", NULL },
		{ "earlier", "\nslots: ", "\nearlier: "ATTACKER
		  " 2026-11-23T10:00:00Z\nslots: ", NULL },
		{ "earlier without a date", "\nslots: ",
		  "\nearlier: "ATTACKER"\nslots: ",
		  "expected \"earlier: RECIPIENT DATE\"" },
		{ "earlier with a wrong date", "\nslots: ",
		  "\nearlier: "ATTACKER" 2026-13-23T10:00:00Z\nslots: ",
		  "expected \"earlier: RECIPIENT DATE\"" },
		{ "earlier with a wrong checksum", "\nslots: ",
		  "\nearlier: age1vqg3l8tlxyn40vhg25va5ftlkht0ylt7myqcyt4rck3sd"
		  "u3snqfqvsj378 2026-11-23T10:00:00Z\nslots: ",
		  "earlier: " },
		{ "earlier of another kind", "\nslots: ", "\nearlier: age1pq1qq "
		  "2026-11-23T10:00:00Z\nslots: ",
		  "recipient of kind age1pq" },
		{ "a second recipient of a slot", " recipient=\"",
		  " recipient=\"x\" recipient=\"", "second recipient" },
		{ "a second identity of a slot", " recipient=\"",
		  " identity=\"x\" identity=\"", "second identity" },
	};
	struct fixture fixture;
	const char *text;

	fixture_init(&fixture);
	text = test_keyring_text(fixture.keyring);
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		struct keyring *keyring;
		const char *changed, *error = "";
		int ret;

		test_begin(t_strdup_printf("list: %s", tests[i].name));
		if (tests[i].from != NULL)
			changed = replaced(text, tests[i].from, tests[i].to);
		else {
			changed = replaced(text, "\nend\n", "\n");
			changed = replaced(changed, "\nslots: ", "\nx: ");
		}
		ret = keyring_parse(changed, strlen(changed), &keyring, &error);
		test_assert(ret == (tests[i].error == NULL ? 0 : -1));
		if (ret == 0) {
			test_assert_strcmp(test_keyring_text(keyring), changed);
			keyring_free(&keyring);
		} else if (strstr(error, tests[i].error) == NULL)
			test_assert_strcmp(error, tests[i].error);
		test_end();
	}
	fixture_deinit(&fixture);
}

static void test_list_too_many_slots(void)
{
	string_t *text = t_str_new(65536);
	struct keyring *keyring;
	struct fixture fixture;
	const char *head, *error;

	test_begin("list: too many slots");
	fixture_init(&fixture);
	head = test_keyring_text(fixture.keyring);
	str_append(text, t_strdup_until(head, strstr(head, "slots: ")));
	for (unsigned int i = 0; i < KEYRING_MAX_SLOTS; i++)
		str_append(text, UNKNOWN_SLOT);
	test_assert(keyring_parse(str_c(text), str_len(text), &keyring,
				  &error) == 0);
	keyring_free(&keyring);
	str_append(text, UNKNOWN_SLOT);
	test_assert(keyring_parse(str_c(text), str_len(text), &keyring,
				  &error) < 0);
	test_assert(strstr(error, ": more than 255 slots") != NULL);
	fixture_deinit(&fixture);
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_list_cut,
		test_list_flip,
		test_list_foreign,
		test_list_foreign_escrow_sync,
		test_list_foreign_link,
		test_list_removed_by_hand,
		test_list_unknown,
		test_list_lines,
		test_list_too_many_slots,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
