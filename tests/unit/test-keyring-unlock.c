/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "age/argon2id.h"
#include "age/armor.h"
#include "age/base64.h"
#include "age/scrypt.h"
#include "age/small-file.h"
#include "keyring/keyring-private.h"
#include "under-valgrind.h"

/* Creating and unlocking keyrings, and what becomes of damaged ones. */

#define SECRET \
	"c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a"
#define OTHER_SECRET \
	"48486e1514e842346ff405b1e45f44059ae82619f2306f99d0940dcb386e91f7"
#define THIRD_SECRET \
	"0000000000000000000000000000000000000000000000000000000000000000"
#define IDENTITY_1 "AGE-SECRET-KEY-1" \
	"X4AMQPJE09YLWLNK2V70F3CEX6W4VLWL269Q5KLFNDS76N0MYZJSNJAKC2"
#define RECIPIENT_1 \
	"age1vqg3l8tlxyn40vhg25va5ftlkht0ylt7myqcyt4rck3sdu3snqfqvsj377"
#define IDENTITY_2 "AGE-SECRET-KEY-1" \
	"P26VTQ2VJ2R7M6WEGQDZCKJKW90LPPS0KDVCX30VE4HCDCTQM6RSFM9NUZ"
#define RECIPIENT_2 \
	"age14jvplsjrc2ttwvmx2cs93fp3nxzd8z9ej203ltz2cagqsnj4ug3s04gtvk"

/* Made by another implementation: Python's hashlib, hmac and cryptography, and
   libsodium's Argon2id. The second slot is scrypt for OTHER_SECRET. */
static const char vector[] =
	"mail-seal keyring 1\n"
	"recipient: age1vqg3l8tlxyn40vhg25va5ftlkht0ylt7myqcyt4rck3sdu3snqfqvsj377\n"
	"mac: Ewut9Gh1IRX1c4+UeQ9bxnKiHvYuZK46cfw3Q5MrC1c\n"
	"x-later: kept\n"
	"# a person's note\n"
	"slot: password argon2id 2026-11-23T10:00:00Z\n"
	"-----BEGIN AGE ENCRYPTED FILE-----\n"
	"YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IG1haWwtc2VhbC9hcmdvbjJpZCAzSHhM\n"
	"RWM2U1ltbzg1b1kyWEt4ZmF3IDEgODE5Mgoyd2FaaTA5Q3lBRERTUDdvTmVUUUta\n"
	"N2dBUmwrQ1o0T2V2aEg2S2FyK2NJCi0tLSBzNW1oMTFyaHpyczZvY2NPWkhCTDF3\n"
	"MjVJeWQ0Q0xaZTZxdU41UlZ4Yk5NCpVQhZtzXaORMqkQ5aba8t5cNYVs/vkk+e+h\n"
	"QR7Qv24luGPkpLzBk8ajX9L/vDYRxLUjhrZNtGZKbh0kbF/BFPRQA20x8cH+aYBp\n"
	"9jcC+TYTQkemsonxtO3khI7h8+jy583OP0KK6tM6bf68z3W3VWnv/u/qoazaElY4\n"
	"RD2zr4hLECviBLKL4eQrYkK6en1DAFgOOpiOxNd8BmRXDGx0+hrnQhTMhK27S7rf\n"
	"NJBUqgg2mY0IX8RJtKURbUGnI75NEGxekhJm09od9PcTTorQnJokOBvQ0gGUw+oO\n"
	"9QPGe55i8T3MCg4YCzSJ\n"
	"-----END AGE ENCRYPTED FILE-----\n"
	"\n"
	"slot: password scrypt 2026-11-23T10:00:01Z label=\"the \\\"other\\\" one\"\n"
	"-----BEGIN AGE ENCRYPTED FILE-----\n"
	"YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCA1enRLSVB2aWc1NnlHWjAr\n"
	"ZlJIRDdBIDEwCm5PNWUyQnM2Qk5VMkU4ZGtQMkovTjNDVTBpZGphZGNqczQwUXNR\n"
	"OEFROHcKLS0tIEc5UHR3OE4xakdJbDhJNzRIanRRQ0NSL3BkaElWS051NjF3NVRx\n"
	"TjlOcUkKzfm/lesELtlJB7iqueOAZy6NhLiveCFpj2HW2vF7wPfKCB/dVd+N4rUg\n"
	"nB5M3MTNo6+GBP4DoEW+j18YtP5gSulD5NyDfLIVb0r47vqE4hlJMO+Lmax2eV4k\n"
	"KjLJaPm8NmvZ6+mO0W+O60mfPFBXG4pFFzj4Np/xba320kIR7ofibagcuHJ1XmnN\n"
	"XfiedGImaleuJr69BeWzDHfMoSmqqPGaGuYwMqB/4Nxo0SoQPqCR3aodHGOiH2Xe\n"
	"frF4NwGFd9yzGuKirNMMK/HmxaZrGmE8dYsvf8oCe7rHCTutIRcXQVVXjOPOD6A=\n"
	"-----END AGE ENCRYPTED FILE-----\n";

/* The cheapest there are. */
static const struct keyring_costs costs = {
	.memory_kib = AGE_ARGON2ID_MIN_MEMORY_KIB,
	.passes = AGE_ARGON2ID_MIN_PASSES
};

static struct keyring *must_parse(const char *text)
{
	struct keyring *keyring;
	const char *error;

	if (keyring_parse(text, strlen(text), &keyring, &error) < 0)
		i_fatal("%s in:\n%s", error, text);
	return keyring;
}

static const char *keyring_text(const struct keyring *keyring)
{
	string_t *text = t_str_new(2048);

	keyring_write(keyring, text);
	return str_c(text);
}

/* The identities as one string, "" for none. */
static const char *identities_str(const struct age_identities *identities)
{
	char str[AGE_X25519_IDENTITY_CHARS + 1];
	string_t *all = t_str_new(256);

	for (unsigned int i = 0; i < age_identities_count(identities); i++) {
		age_x25519_identity_str(age_identities_get(identities, i), str);
		str_printfa(all, "%s%s", i == 0 ? "" : " ", str);
	}
	return str_c(all);
}

/* Unlock and free. Returns what keyring_unlock() does. */
static int unlock(const char *text, const char *secret,
		  const char **identities_r, const char **error_r)
{
	struct keyring *keyring = must_parse(text);
	struct age_identities *identities = NULL;
	int ret;

	*identities_r = *error_r = "";
	ret = keyring_unlock(keyring, secret, &identities, error_r);
	if (ret > 0) {
		*identities_r = identities_str(identities);
		age_identities_deinit(&identities);
	}
	test_assert(identities == NULL);
	keyring_free(&keyring);
	return ret;
}

static void test_keyring_vector(void)
{
	static const struct {
		const char *secret;
		int ret;
		const char *identities, *error;
	} tests[] = {
		{ SECRET, 1, IDENTITY_1" "IDENTITY_2, "" },
		{ OTHER_SECRET, 1, IDENTITY_1" "IDENTITY_2, "" },
		{ THIRD_SECRET, 0, "", "wrong password for 2 slots" },
		{ "", 0, "", "wrong password for 2 slots" },
	};

	test_begin("keyring vector");
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		const char *identities, *error;

		test_assert_idx(unlock(vector, tests[i].secret, &identities,
				       &error) == tests[i].ret, i);
		test_assert_strcmp_idx(identities, tests[i].identities, i);
		test_assert_strcmp_idx(error, tests[i].error, i);
	}
	test_end();
}

static void test_keyring_create(void)
{
	struct keyring *keyring;
	struct age_identities *identities;
	const struct keyring_slot *slots;
	struct age_x25519_recipient recipient;
	const char *error, *str, *text, *opened;
	unsigned int count;

	test_begin("keyring create");
	if (keyring_create(SECRET, &costs, &keyring, &identities, &error) < 0)
		i_fatal("%s", error);
	test_assert_ucmp(age_identities_count(identities), ==, 1);
	age_x25519_identity_recipient(age_identities_get(identities, 0),
				      &recipient);
	str = identities_str(identities);
	age_identities_deinit(&identities);

	test_assert_strcmp(
		age_x25519_recipient_str(keyring_recipients(keyring, &count)),
		age_x25519_recipient_str(&recipient));
	test_assert_ucmp(count, ==, 1);
	slots = keyring_slots(keyring, &count);
	test_assert_ucmp(count, ==, 1);
	test_assert(slots[0].kind == KEYRING_SLOT_PASSWORD);
	test_assert_strcmp(slots[0].method, "argon2id");
	test_assert_strcmp(slots[0].label, NULL);
	text = keyring_text(keyring);
	keyring_free(&keyring);

	test_assert(unlock(text, SECRET, &opened, &error) == 1);
	test_assert_strcmp(opened, str);
	test_assert(unlock(text, OTHER_SECRET, &opened, &error) == 0);
	test_assert_strcmp(error, "wrong password for 1 slot");
	test_assert(strstr(text, "SECRET") == NULL);
	test_end();

	test_begin("keyring create twice");
	if (keyring_create(SECRET, &costs, &keyring, &identities, &error) < 0)
		i_fatal("%s", error);
	test_assert(strcmp(identities_str(identities), str) != 0);
	test_assert(strcmp(keyring_text(keyring), text) != 0);
	age_identities_deinit(&identities);
	keyring_free(&keyring);
	test_end();
}

/* Slots to build keyrings from. Each is the name of a row below. */
enum test_slot {
	NONE,
	GOOD,
	OTHER_PASSWORD,
	OTHER_IDENTITY,
	TWO_IDENTITIES,
	NO_IDENTITY,
	EMPTY,
	CUT,
	CUT_HEADER,
	TO_X25519,
	CALLED_SCRYPT,
	SCRYPT_CALLED_ARGON2ID,
	LATER_METHOD,
	RECOVERY,
	TWO_STANZAS,
	TOO_MANY_PASSES,
	ALL_THE_WORK,
	SCRYPT,
	SCRYPT_TOO_HIGH,
	TEST_SLOT_COUNT
};

enum test_seal { TO_SECRET, TO_OTHER_SECRET, TO_RECIPIENT, WITH_SCRYPT };

static const struct test_slot_row {
	enum test_slot slot;
	const char *kind, *method, *content;
	enum test_seal seal;
	/* Bytes taken from the end of the age file. */
	size_t cut;
	/* Instead: the arguments of the one stanza of a forged header. */
	const char *stanza;
} slot_rows[] = {
#define P "password", "argon2id"
#define ID IDENTITY_1"\n"
	{ GOOD, P, "# a\n\n"ID, TO_SECRET, 0, NULL },
	{ OTHER_PASSWORD, P, ID, TO_OTHER_SECRET, 0, NULL },
	{ OTHER_IDENTITY, P, IDENTITY_2"\n"ID, TO_SECRET, 0, NULL },
	{ TWO_IDENTITIES, P, ID IDENTITY_2"\n", TO_SECRET, 0, NULL },
	{ NO_IDENTITY, P, "# nothing\n", TO_SECRET, 0, NULL },
	{ EMPTY, P, "", TO_SECRET, 0, NULL },
	{ CUT, P, ID, TO_SECRET, 1, NULL },
	{ CUT_HEADER, P, ID, TO_SECRET, 16 + 75 + 16 + 1, NULL },
	{ TO_X25519, P, ID, TO_RECIPIENT, 0, NULL },
	{ CALLED_SCRYPT, "password", "scrypt", ID, TO_SECRET, 0, NULL },
	{ SCRYPT_CALLED_ARGON2ID, P, ID, WITH_SCRYPT, 0, NULL },
	{ LATER_METHOD, "password", "later", ID, TO_SECRET, 0, NULL },
	{ RECOVERY, "recovery", "x25519", ID, TO_RECIPIENT, 0, NULL },
	{ TWO_STANZAS, P, NULL, 0, 0,
	  "mail-seal/argon2id AAAAAAAAAAAAAAAAAAAAAA 1 8192\n\n"
	  "-> mail-seal/argon2id AAAAAAAAAAAAAAAAAAAAAA 16 1048576" },
	{ TOO_MANY_PASSES, P, NULL, 0, 0,
	  "mail-seal/argon2id AAAAAAAAAAAAAAAAAAAAAA 17 8192" },
	{ ALL_THE_WORK, P, NULL, 0, 0,
	  "mail-seal/argon2id AAAAAAAAAAAAAAAAAAAAAA 16 1048576" },
	{ SCRYPT, "password", "scrypt", ID, WITH_SCRYPT, 0, NULL },
	{ SCRYPT_TOO_HIGH, "password", "scrypt", NULL, 0, 0,
	  "scrypt AAAAAAAAAAAAAAAAAAAAAA 19" },
};

static char *slot_texts[TEST_SLOT_COUNT];

static void seal_content(const struct test_slot_row *row, buffer_t *dest)
{
	struct age_argon2id_recipient argon2id;
	struct age_scrypt_recipient scrypt;
	struct age_x25519_recipient x25519;
	const struct age_recipient *recipient = &argon2id.recipient;
	const char *error;

	age_argon2id_recipient_init(&argon2id, row->seal == TO_SECRET ?
				    SECRET : OTHER_SECRET,
				    costs.passes, costs.memory_kib);
	if (row->seal == WITH_SCRYPT) {
		age_scrypt_recipient_init(&scrypt, SECRET, 4);
		recipient = &scrypt.recipient;
	} else if (row->seal == TO_RECIPIENT) {
		if (age_x25519_recipient_parse(RECIPIENT_1, &x25519,
					       &error) < 0)
			i_fatal("%s", error);
		recipient = &x25519.recipient;
	}
	if (age_small_file_seal(&recipient, 1, (const void *)row->content,
				strlen(row->content), dest, &error) < 0)
		i_fatal("%s", error);
}

/* A header that is well-formed, so that its costs are what is looked at. */
static void forge_header(const char *stanza, buffer_t *dest)
{
	str_printfa(dest, "%s\n-> %s\n"
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n--- "
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
		    "0123456789abcdef0123456789abcdef",
		    AGE_VERSION_LINE, stanza);
}

static void slot_texts_init(void)
{
	for (unsigned int i = 0; i < N_ELEMENTS(slot_rows); i++) {
		const struct test_slot_row *row = &slot_rows[i];
		string_t *text = str_new(default_pool, 1024);

		T_BEGIN {
			buffer_t *file = t_buffer_create(1024);

			if (row->stanza != NULL)
				forge_header(row->stanza, file);
			else
				seal_content(row, file);
			str_printfa(text, "slot: %s %s 2026-11-23T10:00:00Z\n",
				    row->kind, row->method);
			age_armor_encode(file->data, file->used - row->cut,
					 text);
		} T_END;
		slot_texts[row->slot] = i_strdup(str_c(text));
		str_free(&text);
	}
}

static void slot_texts_deinit(void)
{
	for (unsigned int i = 0; i < N_ELEMENTS(slot_rows); i++)
		i_free(slot_texts[slot_rows[i].slot]);
}

static void
identity_init(const char *str, struct age_x25519_identity *identity_r)
{
	const char *error;

	if (age_x25519_identity_parse(str, identity_r, &error) < 0)
		i_fatal("%s", error);
}

/* A keyring with a mac that fits, made by the identity, behind the header. */
static string_t *
make_header(const char *header, const char *mac_identity)
{
	struct age_x25519_identity identity;
	string_t *text = t_str_new(8192);
	uint8_t mac[KDF_HMAC_SIZE];

	str_printfa(text, "mail-seal keyring 1\n%s", header);
	if (mac_identity == NULL)
		return text;
	identity_init(mac_identity, &identity);
	keyring_mac(&identity, str_data(text), str_len(text), mac);
	str_append(text, "mac: ");
	age_base64_encode(mac, sizeof(mac), text);
	str_append_c(text, '\n');
	return text;
}

static void test_keyring_unlock(void)
{
#define R1 "recipient: "RECIPIENT_1"\n"
#define R2 "recipient: "RECIPIENT_2"\n"
#define NOT_THE_ONE "recipient "RECIPIENT_2" is not the one of the identity " \
	"in this keyring, "RECIPIENT_1
	static const struct {
		const char *name, *header, *mac_identity;
		/* Written after the mac was made. */
		const char *planted;
		enum test_slot slots[4];
		/* If it is accepted the identities, else the error. */
		int ret;
		const char *result;
	} tests[] = {
		{ "good", R1, IDENTITY_1, "", { GOOD }, 1, IDENTITY_1 },
		{ "unknown lines", "x: y\n# z\n\n" R1, IDENTITY_1, "",
		  { GOOD }, 1, IDENTITY_1 },
		{ "two recipients", R1 R2, IDENTITY_1, "", { GOOD },
		  1, IDENTITY_1 },
		{ "no mac", R1, NULL, "", { GOOD }, -1, "has no mac line" },
		{ "mac of another", R1, IDENTITY_2, "", { GOOD },
		  -1, "mac does not fit" },
		{ "recipient of another", R2, IDENTITY_1, "", { GOOD },
		  -1, NOT_THE_ONE },
		{ "recipient and mac of another", R2, IDENTITY_2, "", { GOOD },
		  -1, NOT_THE_ONE },
		{ "recipient and no mac", R2, NULL, "", { GOOD },
		  -1, NOT_THE_ONE },
		{ "another recipient first", R2 R1, IDENTITY_1, "", { GOOD },
		  -1, NOT_THE_ONE },
		{ "planted recipient", R1, IDENTITY_1, R2, { GOOD },
		  -1, "mac does not fit" },
		{ "planted unknown line", R1, IDENTITY_1, "x: y\n", { GOOD },
		  -1, "mac does not fit" },
		{ "planted comment", R1, IDENTITY_1, "#\n", { GOOD },
		  -1, "mac does not fit" },

		{ "wrong password", R1, IDENTITY_1, "", { OTHER_PASSWORD },
		  0, "wrong password for 1 slot" },
		{ "wrong password, no mac", R1, NULL, "", { OTHER_PASSWORD },
		  0, "wrong password for 1 slot" },
		{ "second slot", R1, IDENTITY_1, "", { OTHER_PASSWORD, GOOD },
		  1, IDENTITY_1 },
		{ "recovery alone", R1, IDENTITY_1, "", { RECOVERY },
		  0, "no password slot" },
		{ "later method alone", R1, IDENTITY_1, "", { LATER_METHOD },
		  0, "no password slot" },
		{ "wrong password among others", R1, IDENTITY_1, "",
		  { RECOVERY, LATER_METHOD, OTHER_PASSWORD },
		  0, "wrong password for 1 slot" },
		{ "good among others", R1, IDENTITY_1, "",
		  { RECOVERY, LATER_METHOD, OTHER_PASSWORD, GOOD },
		  1, IDENTITY_1 },
		{ "scrypt", R1, IDENTITY_1, "", { SCRYPT }, 1, IDENTITY_1 },
		{ "two identities", R1, IDENTITY_1, "", { TWO_IDENTITIES },
		  1, IDENTITY_1" "IDENTITY_2 },
		{ "identity of another", R1, IDENTITY_1, "",
		  { OTHER_IDENTITY }, -1, "recipient "RECIPIENT_1" is not " },
		{ "identity of another beside", R1, IDENTITY_1, "",
		  { OTHER_IDENTITY, GOOD }, 1, IDENTITY_1 },
		{ "all the work there is, and one more slot", R1, IDENTITY_1,
		  "", { OTHER_PASSWORD, ALL_THE_WORK }, -1,
		  "costs more than what is left for one login" },
	};

	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		string_t *text = make_header(tests[i].header,
					     tests[i].mac_identity);
		const char *identities, *error;

		test_begin(t_strdup_printf("keyring unlock: %s",
					   tests[i].name));
		str_append(text, tests[i].planted);
		for (unsigned int j = 0; j < N_ELEMENTS(tests[i].slots); j++) {
			if (tests[i].slots[j] != NONE)
				str_append(text, slot_texts[tests[i].slots[j]]);
		}
		test_assert(unlock(str_c(text), SECRET, &identities,
				       &error) == tests[i].ret);
		if (tests[i].ret > 0)
			test_assert_strcmp(identities, tests[i].result);
		else if (strstr(error, tests[i].result) == NULL)
			test_assert_strcmp(error, tests[i].result);
		test_end();
	}
}

/* A slot that is damaged is an error, unless another one opens. */
static void test_keyring_unlock_damaged_slots(void)
{
	static const struct {
		enum test_slot slot;
		const char *error;
	} tests[] = {
		{ NO_IDENTITY, "" },
		{ EMPTY, "" },
		{ CUT, "" },
		{ CUT_HEADER, "header is cut short" },
		{ TO_X25519, "is not sealed with argon2id" },
		{ CALLED_SCRYPT, "is not sealed with scrypt" },
		{ SCRYPT_CALLED_ARGON2ID, "is not sealed with argon2id" },
		{ TWO_STANZAS, "has 2 stanzas instead of 1" },
		{ TOO_MANY_PASSES, "" },
		{ SCRYPT_TOO_HIGH, "" },
	};

	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		const char *head = str_c(make_header(R1, IDENTITY_1));
		const char *bad = slot_texts[tests[i].slot];
		const char *good = slot_texts[GOOD];
		const char *other = slot_texts[OTHER_PASSWORD];
		const char *text, *identities, *error;

		test_begin(t_strdup_printf("keyring unlock: damaged slot %u",
					   i + 1));
		text = t_strconcat(head, bad, NULL);
		test_assert(unlock(text, SECRET, &identities, &error) == -1);
		test_assert(strncmp(error, "slot of line 4: ", 16) == 0);
		test_assert(strlen(error) > 16);
		test_assert(strstr(error, tests[i].error) != NULL);
		text = t_strconcat(head, other, bad, NULL);
		test_assert(unlock(text, SECRET, &identities, &error) == -1);
		test_assert(strncmp(error, "slot of line ", 13) == 0);
		text = t_strconcat(head, bad, good, NULL);
		test_assert(unlock(text, SECRET, &identities, &error) == 1);
		test_assert_strcmp(identities, IDENTITY_1);
		test_end();
	}
}

/* Each row is the number of slots before the good one. */
static void test_keyring_unlock_slots_limit(void)
{
	static const struct {
		unsigned int others;
		int ret;
		const char *error;
	} tests[] = {
		{ KEYRING_MAX_PASSWORD_SLOTS - 1, 1, "" },
		{ KEYRING_MAX_PASSWORD_SLOTS, 0,
		  "wrong password for the first 16 of 17 slots" },
	};

	test_begin("keyring unlock: slots limit");
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		string_t *text = make_header(R1, IDENTITY_1);
		const char *identities, *error;

		/* these don't count */
		for (unsigned int j = 0; j < 20; j++)
			str_append(text, slot_texts[RECOVERY]);
		for (unsigned int j = 0; j < tests[i].others; j++)
			str_append(text, slot_texts[OTHER_PASSWORD]);
		str_append(text, slot_texts[GOOD]);
		test_assert_idx(unlock(str_c(text), SECRET, &identities,
				       &error) == tests[i].ret, i);
		test_assert_strcmp(error, tests[i].error);
	}
	test_end();
}

struct flip_counts {
	unsigned int rejected, locked, damaged, unlocked;
};

/* Whatever the damage: no crash, and if it unlocks all is as it was. */
static void test_damaged(const char *text, size_t size, unsigned int idx,
			 struct flip_counts *counts)
{
	const struct age_x25519_recipient *recipients;
	struct age_identities *identities;
	struct keyring *keyring;
	string_t *written = t_str_new(2048);
	const char *error = NULL;
	unsigned int count;
	int ret;

	if (keyring_parse(text, size, &keyring, &error) < 0) {
		test_assert_idx(strncmp(error, "line ", 5) == 0, idx);
		counts->rejected++;
		return;
	}
	keyring_write(keyring, written);
	test_assert_idx(str_len(written) == size &&
			memcmp(str_c(written), text, size) == 0, idx);
	ret = keyring_unlock(keyring, SECRET, &identities, &error);
	if (ret > 0) {
		counts->unlocked++;
		recipients = keyring_recipients(keyring, &count);
		test_assert_idx(count == 1, idx);
		test_assert_strcmp_idx(age_x25519_recipient_str(recipients),
				       RECIPIENT_1, idx);
		test_assert_strcmp_idx(identities_str(identities),
				       IDENTITY_1" "IDENTITY_2, idx);
		age_identities_deinit(&identities);
	} else {
		test_assert_idx(error != NULL && *error != '\0', idx);
		if (ret == 0)
			counts->locked++;
		else
			counts->damaged++;
	}
	keyring_free(&keyring);
}

/* A keyring of one slot. */
static const char *one_slot(void)
{
	return t_strconcat(str_c(make_header(R1 "x: y\n", IDENTITY_1)),
			   slot_texts[TWO_IDENTITIES], NULL);
}

static void test_keyring_flipped(void)
{
	const char *text = one_slot();
	size_t header_size = strstr(text, "slot:") - text;
	size_t size = strlen(text), step = test_step();
	struct flip_counts header, slots, *counts;

	test_begin("keyring flipped");
	i_zero(&header);
	i_zero(&slots);
	for (size_t i = 0; i < size; i += step) T_BEGIN {
		char *copy = i_strdup(text);

		counts = i < header_size ? &header : &slots;
		copy[i] ^= 1 << (i / step % 7);
		test_damaged(copy, size, i, counts);
		if (step == 1) {
			copy[i] = text[i] ^ 0x80;
			test_damaged(copy, size, i, counts);
		}
		i_free(copy);
	} T_END;
	/* The header is covered by the mac to its last byte. */
	test_assert_ucmp(header.unlocked, ==, 0);
	test_assert_ucmp(header.locked, ==, 0);
	test_assert_ucmp(header.rejected, >, 0);
	test_assert_ucmp(header.damaged, >, 0);
	test_assert_ucmp(slots.rejected, >, 0);
	test_assert_ucmp(slots.damaged, >, 0);
	test_assert_ucmp(slots.locked, >, 0);
	/* In a slot only the date isn't. */
	test_assert_ucmp(slots.unlocked, <=,
			 2 * strlen("2026-11-23T10:00:00Z"));
	test_end();
}

static void test_keyring_cut(void)
{
	const char *text = one_slot(), *error;
	struct keyring *keyring;

	test_begin("keyring cut");
	/* In memory of its own, for reads behind the end to be seen. */
	for (size_t size = 1; size < strlen(text); size++) T_BEGIN {
		char *copy = i_memdup(text, size);

		test_assert_idx(keyring_parse(copy, size, &keyring, &error) < 0,
				size);
		i_free(copy);
	} T_END;
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_keyring_vector,
		test_keyring_create,
		slot_texts_init,
		test_keyring_unlock,
		test_keyring_unlock_damaged_slots,
		test_keyring_unlock_slots_limit,
		test_keyring_flipped,
		test_keyring_cut,
		slot_texts_deinit,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
