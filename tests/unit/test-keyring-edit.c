/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "age/armor.h"
#include "age/small-file.h"
#include "keyring-util.h"

/* Adding, replacing and removing slots. */

#define RECIPIENT_1 \
	"age1vqg3l8tlxyn40vhg25va5ftlkht0ylt7myqcyt4rck3sdu3snqfqvsj377"
#define RECIPIENT_2 \
	"age14jvplsjrc2ttwvmx2cs93fp3nxzd8z9ej203ltz2cagqsnj4ug3s04gtvk"
#define RECIPIENT_3 \
	"age1dpppk9t9hwcpdjay6hhvs0c2nkkdk94eyehjstcj77433zs54u9swhpex8"

static struct age_x25519_recipient must_recipient(const char *str)
{
	struct age_x25519_recipient recipient;
	const char *error;

	if (age_x25519_recipient_parse(str, &recipient, &error) < 0)
		i_fatal("%s", error);
	return recipient;
}

/* Returns what keyring_open_password() does. */
static int opens(const struct keyring *keyring, const char *secret,
		 const struct age_identities *expected)
{
	struct keyring_opened opened;
	const char *error;
	int ret;

	ret = keyring_open_password(keyring, secret, &opened, &error);
	if (ret > 0) {
		test_assert_strcmp(test_identities_str(opened.identities),
				   test_identities_str(expected));
		test_assert(!opened.outdated);
		test_assert(keyring_fits(keyring, opened.identities));
		age_identities_deinit(&opened.identities);
	}
	return ret;
}

/* Returns what keyring_open_identities() does. */
static int opens_with(const struct keyring *keyring,
		      const struct age_x25519_identity *key,
		      const struct age_identities *expected,
		      unsigned int slot_idx)
{
	struct age_identities *keys = age_identities_init();
	struct keyring_opened opened;
	const char *error;
	int ret;

	age_identities_add(keys, key);
	ret = keyring_open_identities(keyring, keys, &opened, &error);
	if (ret > 0) {
		test_assert_strcmp(test_identities_str(opened.identities),
				   test_identities_str(expected));
		test_assert_ucmp(opened.slot_idx, ==, slot_idx);
		age_identities_deinit(&opened.identities);
	}
	age_identities_deinit(&keys);
	return ret;
}

/* The kinds and labels of all slots, in their order. */
static const char *slots_str(const struct keyring *keyring)
{
	const struct keyring_slot *slots;
	string_t *str = t_str_new(64);
	unsigned int count;

	slots = keyring_slots(keyring, &count);
	for (unsigned int i = 0; i < count; i++) {
		str_printfa(str, "%s%s", i == 0 ? "" : " ",
			    slots[i].kind_name);
		if (slots[i].label != NULL)
			str_printfa(str, "(%s)", slots[i].label);
		test_assert_idx(slots[i].listed, i);
	}
	return str_c(str);
}

static void test_edit_nothing(void)
{
	struct keyring *keyring = test_keyring_new(SECRET_1), *new_keyring;
	struct age_identities *identities, *others;
	struct keyring_edit *edit;
	const char *error;

	test_begin("edit nothing");
	identities = test_keyring_open(keyring, SECRET_1);
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_finish(&edit, 0, &new_keyring, NULL,
					&error) == 0);
	test_assert(edit == NULL);
	edit = test_edit_begin(keyring, identities);
	keyring_edit_abort(&edit);
	test_assert(edit == NULL);
	keyring_edit_abort(&edit);
	test_end();

	test_begin("edit with other identities");
	new_keyring = test_keyring_new(SECRET_1);
	others = test_keyring_open(new_keyring, SECRET_1);
	test_assert(keyring_fits(keyring, identities));
	test_assert(!keyring_fits(keyring, others));
	test_assert(keyring_edit_begin(keyring, others, &edit, &error) < 0);
	test_assert(edit == NULL);
	test_assert(strstr(error, "these identities are not of this keyring, "
			   "it was changed meanwhile: recipient ") != NULL);
	age_identities_deinit(&identities);
	age_identities_deinit(&others);
	keyring_free(&keyring);
	keyring_free(&new_keyring);
	test_end();
}

static void test_edit_new(void)
{
	struct keyring_edit *edit = keyring_edit_begin_new();
	struct age_x25519_recipient escrow = must_recipient(RECIPIENT_1);
	struct keyring_slot_counts counts;
	struct age_identities *identities;
	struct keyring *keyring;
	const char *error;

	test_begin("edit new");
	test_assert(keyring_edit_finish(&edit, 0, &keyring, &identities,
					&error) < 0);
	test_assert(strstr(error, "nobody could open the mail") != NULL);
	test_assert(edit == NULL);

	edit = keyring_edit_begin_new();
	test_assert(keyring_edit_add_escrow(edit, &escrow, "the company",
					    &error) == 0);
	test_assert(keyring_edit_finish(&edit, 0, &keyring, &identities,
					&error) == 1);
	test_assert_strcmp(slots_str(keyring), "escrow(the company)");
	test_assert_ucmp(age_identities_count(identities), ==, 1);
	test_assert(keyring_fits(keyring, identities));
	test_assert(opens(keyring, SECRET_1, identities) == 0);
	keyring_count(keyring, &counts);
	test_assert(counts.password == 0 && counts.escrow == 1);
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	test_end();
}

static void test_edit_passwords(void)
{
	const struct keyring_costs other_costs = {
		.memory_kib = AGE_ARGON2ID_MIN_MEMORY_KIB + 1024, .passes = 2
	};
	struct keyring *keyring = test_keyring_new(SECRET_1);
	struct age_identities *identities;
	const struct keyring_slot *slots;
	struct keyring_costs costs;
	struct keyring_edit *edit;
	unsigned int count;
	const char *error;

	test_begin("edit add password");
	identities = test_keyring_open(keyring, SECRET_1);
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_password(edit, SECRET_2, &test_costs,
					      "phone", &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert_strcmp(slots_str(keyring), "password password(phone)");
	test_assert(opens(keyring, SECRET_1, identities) == 1);
	test_assert(opens(keyring, SECRET_2, identities) == 1);
	test_assert(opens(keyring, SECRET_3, identities) == 0);
	test_end();

	test_begin("edit set password");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_set_password(edit, 1, SECRET_3, &other_costs,
					      &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert_strcmp(slots_str(keyring), "password password(phone)");
	test_assert(opens(keyring, SECRET_1, identities) == 1);
	test_assert(opens(keyring, SECRET_2, identities) == 0);
	test_assert(opens(keyring, SECRET_3, identities) == 1);
	slots = keyring_slots(keyring, &count);
	test_assert(keyring_slot_costs(&slots[0], &costs, &error) == 1);
	test_assert(costs.memory_kib == test_costs.memory_kib &&
		    costs.passes == test_costs.passes);
	test_assert(keyring_slot_costs(&slots[1], &costs, &error) == 1);
	test_assert(costs.memory_kib == other_costs.memory_kib &&
		    costs.passes == other_costs.passes);
	test_end();

	test_begin("edit remove password");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_remove(edit, 0, &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert_strcmp(slots_str(keyring), "password(phone)");
	test_assert(opens(keyring, SECRET_1, identities) == 0);
	test_assert(opens(keyring, SECRET_3, identities) == 1);
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	test_end();
}

static void test_edit_labels(void)
{
	static const char long_label[] =
		"0123456789012345678901234567890123456789012345678901234567890"
		"123456789012345678901234567890123456789";
	static const struct {
		const char *label, *error;
	} tests[] = {
		{ "phone", NULL },
		{ "Phone", NULL },
		{ " ", NULL },
		{ "\"", NULL },
		{ "\\", NULL },
		{ "a \"b\" \\c\\", NULL },
		{ "label=\"x\" recipient=\"y\"", NULL },
		{ "-----END AGE ENCRYPTED FILE-----", NULL },
		{ "t\xc3\xa4glich \xf0\x9f\x94\x91", NULL },
		{ long_label, NULL },
		{ "first", "another slot has the label \"first\"" },
		{ "", "a label must not be empty" },
		{ "0123456789012345678901234567890123456789012345678901234567890"
		  "1234567890123456789012345678901234567890",
		  "a label of 101 bytes is too long, 100 are allowed" },
		{ "a\nslot: x", "a label must not have a control character "
		  "(0x0a)" },
		{ "a\rb", "a label must not have a control character (0x0d)" },
		{ "a\tb", "a label must not have a control character (0x09)" },
		{ "a\x7f", "a label must not have a control character (0x7f)" },
		{ "\x01", "a label must not have a control character (0x01)" },
		{ "\xff", "a label must be UTF-8" },
		{ "\xc3", "a label must be UTF-8" },
		{ "\xed\xa0\x80", "a label must be UTF-8" },
	};
	struct age_x25519_recipient escrow = must_recipient(RECIPIENT_1);
	void *code_p = secret_alloc(sizeof(struct age_x25519_identity));
	struct age_x25519_identity *code = code_p;
	struct keyring *keyring = test_keyring_new(SECRET_1), *new_keyring;
	struct age_identities *identities;
	struct keyring_edit *edit;
	const struct keyring_slot *slots;
	const char *error;
	unsigned int count;

	test_begin("edit labels");
	identities = test_keyring_open(keyring, SECRET_1);
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_recovery(edit, "first", code,
					      &error) == 0);
	test_edit_finish(&edit, &keyring);
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		const char *label = tests[i].label;
		int expected = tests[i].error == NULL ? 0 : -1;

		edit = test_edit_begin(keyring, identities);
		error = NULL;
		test_assert_idx(keyring_edit_add_escrow(edit, &escrow, label,
							&error) == expected, i);
		test_assert_strcmp_idx(error, tests[i].error, i);
		if (expected < 0) {
			test_assert_idx(keyring_edit_add_recovery(
				edit, label, code, &error) == -1, i);
			test_assert_strcmp_idx(error, tests[i].error, i);
			test_assert_idx(keyring_edit_add_password(
				edit, SECRET_2, &test_costs, label,
				&error) == -1, i);
			test_assert_strcmp_idx(error, tests[i].error, i);
			keyring_edit_abort(&edit);
			continue;
		}
		test_assert_idx(keyring_edit_finish(&edit, 0, &new_keyring,
						    NULL, &error) == 1, i);
		slots = keyring_slots(new_keyring, &count);
		test_assert_ucmp_idx(count, ==, 3, i);
		test_assert_strcmp_idx(slots[2].label, label, i);
		test_assert_strcmp_idx(slots[2].recipient, RECIPIENT_1, i);
		test_assert_idx(slots[2].listed, i);
		keyring_free(&new_keyring);
	}
	test_end();

	test_begin("edit label again after removal");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_remove(edit, 1, &error) == 0);
	test_assert(keyring_edit_add_recovery(edit, "first", code,
					      &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert_strcmp(slots_str(keyring), "password recovery(first)");
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	secret_free(&code_p);
	test_end();
}

/* What the stock age would make of the slot, in secret memory. */
static void *
open_armor(const struct keyring_slot *slot,
	   const struct age_x25519_identity *identity)
{
	const struct age_identity *keys[] = { &identity->identity };
	buffer_t *file = t_buffer_create(1024);
	uint8_t *plain;
	size_t size;
	const char *error;

	if (age_armor_decode(slot->armor, strlen(slot->armor), file,
			     &error) < 0)
		i_fatal("%s", error);
	if (age_small_file_open(file->data, file->used, keys, 1, &plain, &size,
				&error) <= 0)
		return NULL;
	return plain;
}

static void test_edit_recovery(void)
{
	void *code_p = secret_alloc(sizeof(struct age_x25519_identity));
	void *code2_p = secret_alloc(sizeof(struct age_x25519_identity));
	struct age_x25519_identity *code = code_p, *code2 = code2_p;
	struct keyring *keyring = test_keyring_new(SECRET_1);
	struct age_identities *identities;
	const struct keyring_slot *slots;
	struct keyring_edit *edit;
	unsigned int count;
	const char *error;
	void *plain;

	test_begin("edit add recovery");
	identities = test_keyring_open(keyring, SECRET_1);
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_recovery(edit, "printed", code,
					      &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert_strcmp(slots_str(keyring), "password recovery(printed)");
	test_assert(opens_with(keyring, code, identities, 1) == 1);
	test_assert(opens(keyring, SECRET_1, identities) == 1);
	slots = keyring_slots(keyring, &count);
	test_assert_strcmp(slots[1].recipient, test_recipient_str(code));
	test_assert(open_armor(&slots[0], code) == NULL);
	plain = open_armor(&slots[1], code);
	test_assert(plain != NULL &&
		    strstr(plain, test_identities_str(identities)) != NULL);
	secret_free(&plain);
	test_end();

	test_begin("edit replace recovery");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_recovery(edit, NULL, code2, &error) == 0);
	test_assert(keyring_edit_remove_kind(edit,
					     KEYRING_SLOT_RECOVERY) == 1);
	test_assert(keyring_edit_remove_kind(edit,
					     KEYRING_SLOT_RECOVERY) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert_strcmp(slots_str(keyring), "password recovery");
	test_assert(opens_with(keyring, code, identities, 1) == 0);
	test_assert(opens_with(keyring, code2, identities, 1) == 1);
	test_end();

	test_begin("edit recover with a code");
	age_identities_deinit(&identities);
	identities = age_identities_init();
	age_identities_add(identities, code2);
	{
		struct keyring_opened opened;

		test_assert(keyring_open_identities(keyring, identities,
						    &opened, &error) == 1);
		test_assert(!opened.outdated);
		age_identities_deinit(&identities);
		identities = opened.identities;
	}
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_set_password(edit, 0, SECRET_2, &test_costs,
					      &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert(opens(keyring, SECRET_1, identities) == 0);
	test_assert(opens(keyring, SECRET_2, identities) == 1);

	age_identities_deinit(&identities);
	keyring_free(&keyring);
	secret_free(&code_p);
	secret_free(&code2_p);
	test_end();
}

static void test_edit_escrow_sync(void)
{
	static const struct {
		/* recipients by number, then slots that result */
		const char *wanted, *slots;
		int ret;
		const char *error;
	} tests[] = {
		{ "", "", 0, NULL },
		{ "1", "1", 1, NULL },
		{ "1", "1", 0, NULL },
		{ "12", "12", 1, NULL },
		{ "21", "12", 0, NULL },
		{ "213", "123", 1, NULL },
		{ "2", "2", 1, NULL },
		{ "31", "31", 1, NULL },
		{ "3113", "31", -1, "escrow recipient "RECIPIENT_1" is given "
		  "twice" },
		{ "22", "31", -1, "escrow recipient "RECIPIENT_2" is given "
		  "twice" },
		{ "2", "2", 1, NULL },
		{ "", "", 1, NULL },
	};
	const char *const strs[] = { RECIPIENT_1, RECIPIENT_2, RECIPIENT_3 };
	struct keyring *keyring = test_keyring_new(SECRET_1);
	struct age_identities *identities;

	test_begin("edit escrow sync");
	identities = test_keyring_open(keyring, SECRET_1);
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		struct keyring_edit *edit =
			test_edit_begin(keyring, identities);
		struct age_x25519_recipient recipients[4];
		const struct keyring_slot *slots;
		unsigned int count = strlen(tests[i].wanted);
		const char *error = NULL;

		for (unsigned int j = 0; j < count; j++) {
			recipients[j] = must_recipient(
				strs[tests[i].wanted[j] - '1']);
		}
		test_assert_idx(keyring_edit_sync_escrow(
			edit, recipients, count, &error) == tests[i].ret, i);
		test_assert_strcmp_idx(error, tests[i].error, i);
		if (tests[i].ret <= 0)
			keyring_edit_abort(&edit);
		else
			test_edit_finish(&edit, &keyring);

		slots = keyring_slots(keyring, &count);
		test_assert_ucmp_idx(count, ==, strlen(tests[i].slots) + 1, i);
		for (unsigned int j = 1; j < count; j++) {
			test_assert_strcmp_idx(slots[j].recipient,
				strs[tests[i].slots[j - 1] - '1'], i);
			test_assert_idx(slots[j].listed, i);
		}
	}
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	test_end();
}

static void test_edit_escrow_errors(void)
{
	struct age_x25519_recipient escrow = must_recipient(RECIPIENT_1);
	struct keyring *keyring = test_keyring_new(SECRET_1);
	struct age_x25519_recipient own =
		must_recipient(age_x25519_recipient_str(
			keyring_recipients(keyring, &(unsigned int){ 0 })));
	struct age_x25519_recipient zero = escrow;
	struct age_identities *identities;
	struct keyring_edit *edit;
	struct keyring *new_keyring;
	const char *error;

	test_begin("edit escrow errors");
	identities = test_keyring_open(keyring, SECRET_1);
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_escrow(edit, &own, NULL, &error) < 0);
	test_assert(strstr(error, "is the keyring's own recipient") != NULL);
	test_assert(keyring_edit_add_escrow(edit, &escrow, NULL, &error) == 0);
	test_assert(keyring_edit_add_escrow(edit, &escrow, NULL, &error) < 0);
	test_assert(strstr(error, "has an escrow slot for "RECIPIENT_1
			   " already") != NULL);
	keyring_edit_abort(&edit);

	/* of low order */
	memset(zero.key, 0, sizeof(zero.key));
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_escrow(edit, &zero, NULL, &error) == 0);
	test_assert(keyring_edit_finish(&edit, 0, &new_keyring, NULL,
					&error) == -1);
	test_assert(strstr(error, "cannot seal to age1qqqq") != NULL);
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	test_end();
}

static void test_edit_remove(void)
{
	struct keyring *keyring = test_keyring_new(SECRET_1), *new_keyring;
	struct age_x25519_recipient escrow = must_recipient(RECIPIENT_1);
	struct keyring_slot_counts counts;
	struct age_identities *identities;
	struct keyring_edit *edit;
	const char *error;

	test_begin("edit remove errors");
	identities = test_keyring_open(keyring, SECRET_1);
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_remove(edit, 1, &error) < 0);
	test_assert_strcmp(error, "there is no slot 2, the keyring has 1");
	test_assert(keyring_edit_remove(edit, UINT_MAX - 1, &error) < 0);
	test_assert(keyring_edit_set_password(edit, 1, SECRET_2, &test_costs,
					      &error) < 0);
	test_assert_strcmp(error, "there is no slot 2, the keyring has 1");
	test_assert(keyring_edit_remove(edit, 0, &error) == 0);
	test_assert(keyring_edit_remove(edit, 0, &error) < 0);
	test_assert_strcmp(error, "slot 1 was removed already");
	test_assert(keyring_edit_set_password(edit, 0, SECRET_2, &test_costs,
					      &error) < 0);
	test_assert_strcmp(error, "slot 1 was removed already");
	keyring_edit_count(edit, &counts);
	test_assert_ucmp(counts.password, ==, 0);
	test_end();

	test_begin("edit remove the last");
	test_assert(keyring_edit_finish(&edit, 0, &new_keyring, NULL,
					&error) < 0);
	test_assert_strcmp(error, "no password, recovery or escrow slot would "
		"be left: nobody could open the mail any more");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_remove(edit, 0, &error) == 0);
	test_assert(keyring_edit_finish(&edit, KEYRING_EDIT_FORCE,
					&new_keyring, NULL, &error) == 1);
	test_assert_strcmp(slots_str(new_keyring), "");
	test_assert(strstr(test_keyring_text(new_keyring),
			   "\nslots: none\n") != NULL);
	test_assert(opens(new_keyring, SECRET_1, identities) == 0);
	test_assert(keyring_fits(new_keyring, identities));
	keyring_free(&keyring);
	keyring = new_keyring;
	test_end();

	test_begin("edit add to none");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_password(edit, SECRET_2, &test_costs,
					      NULL, &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert(opens(keyring, SECRET_2, identities) == 1);
	test_end();

	test_begin("edit remove the last password");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_escrow(edit, &escrow, NULL, &error) == 0);
	test_assert(keyring_edit_remove(edit, 0, &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert_strcmp(slots_str(keyring), "escrow");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_set_password(edit, 0, SECRET_2, &test_costs,
					      &error) < 0);
	test_assert_strcmp(error, "slot 1 is not a password slot, it is "
			   "\"escrow x25519\"");
	keyring_edit_abort(&edit);
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	test_end();
}

static void test_edit_limits(void)
{
	const struct keyring_costs expensive = {
		.memory_kib = AGE_ARGON2ID_MAX_MEMORY_KIB,
		.passes = AGE_ARGON2ID_MAX_PASSES
	};
	void *code_p = secret_alloc(sizeof(struct age_x25519_identity));
	struct age_x25519_identity *code = code_p;
	struct keyring *keyring = test_keyring_new(SECRET_1), *new_keyring;
	struct age_identities *identities;
	struct keyring_edit *edit;
	unsigned int i, count;
	const char *error;

	test_begin("edit too many passwords");
	identities = test_keyring_open(keyring, SECRET_1);
	edit = test_edit_begin(keyring, identities);
	/* checked before the work is done */
	test_assert(keyring_edit_add_password(edit, SECRET_2, &expensive, NULL,
					      &error) < 0);
	test_assert_strcmp(error, "the 2 password slots would together cost "
			   "more than a login may");
	for (i = 1; i < KEYRING_MAX_PASSWORD_SLOTS; i++) {
		test_assert_idx(keyring_edit_add_password(
			edit, SECRET_2, &test_costs, NULL, &error) == 0, i);
	}
	test_assert(keyring_edit_add_password(edit, SECRET_3, &test_costs,
					      NULL, &error) < 0);
	test_assert_strcmp(error, "the keyring has 16 password slots already, "
			   "a login would not try more");
	/* replacing is not adding */
	test_assert(keyring_edit_set_password(edit, 0, SECRET_3, &test_costs,
					      &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert(opens(keyring, SECRET_3, identities) == 1);
	test_end();

	test_begin("edit too many slots");
	edit = test_edit_begin(keyring, identities);
	for (i = KEYRING_MAX_PASSWORD_SLOTS; i < KEYRING_MAX_SLOTS; i++) {
		if (keyring_edit_add_recovery(edit, NULL, code, &error) < 0)
			break;
	}
	test_assert_ucmp(i, ==, KEYRING_MAX_SLOTS);
	test_assert(keyring_edit_add_recovery(edit, NULL, code, &error) < 0);
	test_assert_strcmp(error, "the keyring has 255 slots already, more are "
			   "not allowed");
	test_edit_finish(&edit, &keyring);
	(void)keyring_slots(keyring, &count);
	test_assert_ucmp(count, ==, KEYRING_MAX_SLOTS);
	test_end();

	test_begin("edit a full keyring");
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_add_recovery(edit, NULL, code, &error) < 0);
	test_assert(keyring_edit_remove(edit, 200, &error) == 0);
	test_assert(keyring_edit_add_recovery(edit, NULL, code, &error) == 0);
	test_edit_finish(&edit, &keyring);
	test_assert(opens_with(keyring, code, identities, 254) == 1);
	/* there is no room for a link */
	edit = test_edit_begin(keyring, identities);
	test_assert(keyring_edit_rotate(edit, &error) == 0);
	test_assert(keyring_edit_finish(&edit, 0, &new_keyring, NULL,
					&error) < 0);
	test_assert(strstr(error, "255 slots already") != NULL);
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	secret_free(&code_p);
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_edit_nothing,
		test_edit_new,
		test_edit_passwords,
		test_edit_labels,
		test_edit_recovery,
		test_edit_escrow_sync,
		test_edit_escrow_errors,
		test_edit_remove,
		test_edit_limits,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
