/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "age/keyfile.h"
#include "crypto/secret.h"
#include "hex.h"

/* 32 times 0x42 and 32 times 0x43. */
#define ID42 "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZ" \
	"GFPYYSJZGFPQ4EGAEX"
#define ID43 "AGE-SECRET-KEY-1GDP5XS6RGDP5XS6RGDP5XS6RGDP5XS6RGDP5XS6R" \
	"GDP5XS6RGDPSST380Y"

/* The first bytes of all secrets, as hex digits. */
static const char *secrets(const struct age_identities *identities)
{
	string_t *str = t_str_new(32);
	unsigned int i;

	for (i = 0; i < age_identities_count(identities); i++) {
		str_printfa(str, "%02x",
			    age_identities_get(identities, i)->secret[0]);
	}
	return str_c(str);
}

static const struct {
	const char *name, *text;
	const char *secrets;	/* NULL: must be rejected */
	const char *error;
} keyfiles[] = {
	{ "one", ID42"\n", "42", NULL },
	{ "no end of line", ID42, "42", NULL },
	{ "two", ID43"\n"ID42"\n", "4342", NULL },
	{ "the same twice", ID42"\n"ID42"\n", "4242", NULL },
	{ "CRLF", "# created\r\n\r\n"ID42"\r\n", "42", NULL },
	{ "as age-keygen writes it",
	  "# created: 2026-11-23T10:00:00Z\n# public key: age1zvkyg2lq"
	  "zraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\n"
	  ID42"\n", "42", NULL },
	{ "comments and empty lines",
	  "#\n\n\n#"ID42"\n"ID43"\n#\n\n", "43", NULL },

	{ "nothing", "", NULL, "There is no identity in it" },
	{ "comments alone", "# "ID42"\n\n", NULL,
	  "There is no identity in it" },
	{ "typing mistake", "#\n"ID43"\n\n"ID42"X\n", NULL,
	  "Line 4 of the identities is too long for an X25519 identity "
	  "(AGE-SECRET-KEY-1...), the only kind known" },
	{ "wrong checksum", ID42"\nAGE-SECRET-KEY-1GDP5XS6RGDP5XS6RGDP"
	  "5XS6RGDP5XS6RGDP5XS6RGDP5XS6RGDPSST380Q\n", NULL,
	  "Line 2 of the identities has a wrong checksum, "
	  "check for a typing mistake" },
	{ "too short", "AGE-SECRET-KEY-1GFP\n", NULL, "Line 1 of the "
	  "identities has 19 characters instead of 74" },
	{ "lower case", "age-secret-key-1gfpyysjzgfpyysjzgfpyysjzgfpyys"
	  "jzgfpyysjzgfpyysjzgfpq4egaex\n", NULL, "Line 1 of the "
	  "identities is in lower case instead of upper case" },
	{ "space before", " "ID42"\n", NULL, "Line 1 of the identities "
	  "is too long for an X25519 identity (AGE-SECRET-KEY-1...), "
	  "the only kind known" },
	{ "space before a comment", " #\n"ID42"\n", NULL,
	  "Line 1 of the identities doesn't begin with "
	  "AGE-SECRET-KEY-1" },
	{ "a recipient", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye8"
	  "69xeexvn73equnujwj\n", NULL, "Line 1 of the identities "
	  "doesn't begin with AGE-SECRET-KEY-1" },
	{ "a plugin's", "AGE-PLUGIN-YUBIKEY-1QQQQQQ\n", NULL,
	  "Line 1 of the identities doesn't begin with "
	  "AGE-SECRET-KEY-1" },
	{ "post-quantum", "AGE-SECRET-KEY-PQ-1GFPYYSJZGFPYYSJZGFPYYSJZ"
	  "GFPYYSJZGFPYYSJZGFPYYSJZGFPQ0HGUHW\n", NULL,
	  "Line 1 of the identities is too long for an X25519 identity "
	  "(AGE-SECRET-KEY-1...), the only kind known" },
	{ "an age file", "age-encryption.org/v1\n", NULL,
	  "Line 1 of the identities doesn't begin with "
	  "AGE-SECRET-KEY-1" },
};

static void test_keyfile_table(void)
{
	struct age_identities *identities;
	const char *error;
	unsigned int i;
	int ret;

	for (i = 0; i < N_ELEMENTS(keyfiles); i++) {
		test_begin(t_strdup_printf("keyfile: %s", keyfiles[i].name));
		identities = age_identities_init();
		error = NULL;
		ret = age_identities_parse(identities, keyfiles[i].text,
					   strlen(keyfiles[i].text), &error);
		test_assert(ret == (keyfiles[i].secrets != NULL ? 0 : -1));
		test_assert_strcmp(error, keyfiles[i].error);
		test_assert_strcmp(secrets(identities),
				   ret == 0 ? keyfiles[i].secrets : "");
		age_identities_deinit(&identities);
		test_assert(identities == NULL);
		age_identities_deinit(&identities);
		test_end();
	}
}

static void test_keyfile_nul(void)
{
	static const char text[] = "AGE-SECRET-KEY-1\0\n"ID42"\n";
	struct age_identities *identities = age_identities_init();
	const char *error;

	test_begin("keyfile: a zero byte");
	test_assert(age_identities_parse(identities, text, sizeof(text) - 1,
					 &error) == -1);
	test_assert_strcmp(error, "Line 1 of the identities has 16 characters "
			   "instead of 74");
	age_identities_deinit(&identities);
	test_end();
}

/* A text that is wrong somewhere adds nothing to a set that has some. */
static void test_keyfile_all_or_nothing(void)
{
	struct age_identities *identities = age_identities_init();
	string_t *text = t_str_new(100 * 80);
	const char *error;
	unsigned int i;

	test_begin("keyfile: all or nothing");
	test_assert(age_identities_parse(identities, ID42, strlen(ID42),
					 &error) == 0);
	for (i = 0; i < 100; i++)
		str_append(text, ID43"\n");
	str_append(text, "x\n");
	test_assert(age_identities_parse(identities, str_c(text),
					 str_len(text), &error) == -1);
	test_assert_strcmp(error, "Line 101 of the identities doesn't begin "
			   "with AGE-SECRET-KEY-1");
	test_assert_strcmp(secrets(identities), "42");
	test_assert(age_identities_parse(identities, ID43, strlen(ID43),
					 &error) == 0);
	test_assert_strcmp(secrets(identities), "4243");
	age_identities_deinit(&identities);
	test_end();
}

static void test_keyfile_many(void)
{
	struct age_identities *identities = age_identities_init();
	const struct age_identity *const *list;
	const struct age_x25519_identity *first = NULL;
	struct age_x25519_identity identity;
	uint8_t secret[AGE_X25519_KEY_SIZE] = { 0 };
	unsigned int i, count;

	test_begin("keyfile: many identities stay where they are");
	for (i = 0; i < 200; i++) {
		secret[0] = i;
		age_x25519_identity_from_secret(secret, &identity);
		age_identities_add(identities, &identity);
		if (i == 0)
			first = age_identities_get(identities, 0);
	}
	test_assert(age_identities_get(identities, 0) == first);
	list = age_identities_list(identities, &count);
	test_assert(count == 200 && age_identities_count(identities) == 200);
	for (i = 0; i < count; i++) {
		const struct age_x25519_identity *got =
			age_identities_get(identities, i);

		test_assert_idx(got->secret[0] == i, i);
		test_assert_idx(list[i] == &got->identity, i);
	}
	age_identities_deinit(&identities);
	test_end();
}

static void test_keyfile_cut(void)
{
	struct age_identities *identities;
	const char *error;
	char *text;
	size_t size;

	test_begin("keyfile: cut at every length");
	for (size = 0; size < strlen(ID42); size++) {
		/* of its own, so that reading behind it is noticed */
		text = i_malloc(I_MAX(size, 1));
		memcpy(text, ID42, size);
		identities = age_identities_init();
		test_assert_idx(age_identities_parse(identities, text, size,
						     &error) == -1, size);
		test_assert_idx(age_identities_count(identities) == 0, size);
		age_identities_deinit(&identities);
		i_free(text);
	}
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_keyfile_table,
		test_keyfile_nul,
		test_keyfile_all_or_nothing,
		test_keyfile_many,
		test_keyfile_cut,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
