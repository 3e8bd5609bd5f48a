/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "test-common.h"
#include "keyring/keyring.h"

/* The text of keyrings. Nothing is unlocked here. */

#define MAGIC "mail-seal keyring 1\n"
#define RECIPIENT_1 \
	"age1dpppk9t9hwcpdjay6hhvs0c2nkkdk94eyehjstcj77433zs54u9swhpex8"
#define RECIPIENT_2 \
	"age14jvplsjrc2ttwvmx2cs93fp3nxzd8z9ej203ltz2cagqsnj4ug3s04gtvk"
#define RECIPIENT "recipient: "RECIPIENT_1"\n"
#define MAC "mac: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
#define BEGIN "-----BEGIN AGE ENCRYPTED FILE-----\n"
#define END "-----END AGE ENCRYPTED FILE-----\n"
#define ARMOR BEGIN "YWdlLWVuY3J5cHRpb24ub3JnL3Yx\n" END
#define LINE "slot: password argon2id 2026-11-23T10:00:00Z"
#define SLOT LINE"\n" ARMOR
#define HEAD MAGIC RECIPIENT MAC

static const struct {
	const char *name, *text;
	/* NULL: must be accepted */
	const char *error;
} text_tests[] = {
	{ "smallest", MAGIC RECIPIENT SLOT, NULL },
	{ "empty", "", "line 1: the keyring is empty" },
	{ "line feed alone", "\n", "line 1: expected \"mail-seal keyring 1\"" },
	{ "another file", "age-encryption.org/v1\n", "line 1: expected" },
	{ "version alone, cut", "mail-seal keyring 1", "line 1: ends without" },
	{ "version cut", "mail-seal keyring ", "line 1: expected" },
	{ "version 0", "mail-seal keyring 0\n" RECIPIENT SLOT,
	  "line 1: expected" },
	{ "version 2", "mail-seal keyring 2\n\r\1", "line 1: format of version "
	  "2, this program reads version 1: install a newer mail-seal" },
	{ "version 10", "mail-seal keyring 10\n" RECIPIENT SLOT,
	  "line 1: format of version 10, " },
	{ "version 01", "mail-seal keyring 01\n" RECIPIENT SLOT,
	  "line 1: expected" },
	{ "version behind a space", "mail-seal keyring  1\n" RECIPIENT SLOT,
	  "line 1: expected" },
	{ "version before a space", "mail-seal keyring 1 \n" RECIPIENT SLOT,
	  "line 1: expected" },
	{ "line before the version", "\n" MAGIC RECIPIENT SLOT,
	  "line 1: expected" },

	{ "with mac", HEAD SLOT, NULL },
	{ "mac before the recipient", MAGIC MAC RECIPIENT SLOT, NULL },
	{ "two macs", HEAD MAC SLOT, "line 4: second mac" },
	{ "mac with padding",
	  MAGIC RECIPIENT "mac: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	  SLOT, "line 3: mac is not the base 64 of 32 bytes" },
	{ "mac that is not canonical",
	  MAGIC RECIPIENT "mac: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n"
	  SLOT, "line 3: mac is not the base 64 of 32 bytes" },
	{ "mac of 31 bytes",
	  MAGIC RECIPIENT "mac: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
	  SLOT, "line 3: mac is not the base 64 of 32 bytes" },
	{ "mac behind two spaces", MAGIC RECIPIENT
	  "mac:  AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" SLOT,
	  "line 3: mac is not" },

	{ "two recipients",
	  HEAD "recipient: "RECIPIENT_2"\n" SLOT, NULL },
	{ "no recipient", MAGIC MAC SLOT,
	  "line 3: expected a recipient before the first slot" },
	{ "recipient twice", HEAD RECIPIENT SLOT, "line 4: repeats a recip" },
	{ "recipient after a slot", MAGIC SLOT RECIPIENT,
	  "line 2: expected a recipient before" },
	{ "post-quantum recipient", HEAD "recipient: age1pq1qqqqqqqqqqq\n" SLOT,
	  "line 4: recipient of kind age1pq, this version can seal to X25519 "
	  "recipients" },
	{ "plugin's recipient",
	  HEAD "recipient: age1yubikey1qqqqqqqqqq\n" SLOT,
	  "line 4: recipient of kind age1yubikey, " },
	{ "ssh recipient", HEAD "recipient: ssh-ed25519 AAAA\n" SLOT,
	  "line 4: recipient: " },
	{ "recipient in upper case", MAGIC "recipient: AGE1DPPPK9T9HWCPDJAY6"
	  "HHVS0C2NKKDK94EYEHJSTCJ77433ZS54U9SWHPEX8\n" SLOT,
	  "line 2: recipient: " },
	{ "recipient with a wrong checksum", MAGIC "recipient: age1dpppk9t9hw"
	  "cpdjay6hhvs0c2nkkdk94eyehjstcj77433zs54u9swhpex9\n" SLOT,
	  "line 2: recipient: " },
	{ "recipient before a space", MAGIC "recipient: "RECIPIENT_1" \n" SLOT,
	  "line 2: recipient: " },
	{ "recipient behind two spaces",
	  MAGIC "recipient:  "RECIPIENT_1"\n" SLOT, "line 2: recipient: " },
	{ "recipient without a space", MAGIC "recipient:"RECIPIENT_1"\n" SLOT,
	  "line 2: expected \"name: value\" or a slot" },
	{ "recipient that is empty", MAGIC "recipient: \n" SLOT,
	  "line 2: recipient: " },

	{ "unknown names", MAGIC "a: b\n" RECIPIENT "x-9: \n" "b: :\tc\n" SLOT,
	  NULL },
	{ "name in upper case", HEAD "Recipient: "RECIPIENT_2"\n" SLOT,
	  "line 4: expected \"name: value\" or a slot" },
	{ "no name", HEAD ": b\n" SLOT, "line 4: expected" },
	{ "name alone", HEAD "b\n" SLOT, "line 4: expected" },
	{ "space before the name", HEAD " b: c\n" SLOT, "line 4: expected" },
	{ "armor without a slot line", HEAD ARMOR, "line 4: expected" },

	{ "comments everywhere", MAGIC "# 1\n\n" RECIPIENT "#\n" MAC "\n\n"
	  SLOT "\n# \303\244 \344\n" SLOT "\n#\n", NULL },
	{ "comment before a space", HEAD " #\n" SLOT, "line 4: expected" },
	{ "comment between slot and armor", HEAD LINE "\n#\n" ARMOR,
	  "line 5: slot 1: expected \"-----BEGIN AGE ENCRYPTED FILE-----\"" },
	{ "comment in the armor", HEAD LINE "\n" BEGIN "#\nYWdl\n" END,
	  "line 6: slot 1: armored file: " },
	{ "tab in a comment", HEAD "#\ta\n" SLOT, NULL },
	{ "escape in a comment", HEAD "#\033[0m\n" SLOT,
	  "line 4: has a control character (0x1b)" },
	{ "delete in a comment", HEAD "#\177\n" SLOT,
	  "line 4: has a control character (0x7f)" },
	{ "CRLF", "mail-seal keyring 1\n" RECIPIENT "# a\r\n" SLOT,
	  "line 3: has a carriage return" },
	{ "CRLF from the first line on", "mail-seal keyring 1\r\n",
	  "line 1: expected" },

	{ "no slot", HEAD, "line 4: ends without a slot, the keyring is cut" },
	{ "no slot but a comment", HEAD "#\n", "line 5: ends without a slot" },
	{ "slot line alone", HEAD LINE "\n", "line 5: ends within slot 1" },
	{ "armor without an end", HEAD LINE "\n" BEGIN "YWdl\n",
	  "line 7: ends within slot 1, the keyring is cut short" },
	{ "second slot without an end", HEAD SLOT LINE "\n" BEGIN,
	  "line 10: ends within slot 2" },
	{ "no line feed at the end", HEAD LINE "\n" BEGIN "YWdl\n"
	  "-----END AGE ENCRYPTED FILE-----", "line 7: ends without a line" },
	{ "armor of another kind", HEAD LINE "\n-----BEGIN PGP MESSAGE-----\n",
	  "line 5: slot 1: expected" },
	{ "space before the armor", HEAD LINE "\n " ARMOR,
	  "line 5: slot 1: expected" },
	{ "space behind the armor", HEAD LINE "\n" BEGIN "YWdl\n"
	  "-----END AGE ENCRYPTED FILE----- \n",
	  "line 7: slot 1: armored file: " },
	{ "armor with a bad character", HEAD LINE "\n" BEGIN "YW_l\n" END,
	  "line 6: slot 1: armored file: " },
	{ "header line after a slot", HEAD SLOT "a: b\n",
	  "line 8: expected a slot" },
	{ "mac after a slot", MAGIC RECIPIENT SLOT MAC,
	  "line 7: expected a slot" },
	{ "second armor", HEAD SLOT ARMOR, "line 8: expected a slot" },
};

static const struct {
	const char *line;
	enum keyring_slot_kind kind;
	/* NULL: must be rejected */
	const char *kind_name, *method, *created, *label;
} slot_tests[] = {
#define DATE "2026-11-23T10:00:00Z"
	{ "slot: password argon2id "DATE, KEYRING_SLOT_PASSWORD,
	  "password", "argon2id", DATE, NULL },
	{ "slot: password scrypt 2000-02-29T23:59:59Z label=\"a b\"",
	  KEYRING_SLOT_PASSWORD,
	  "password", "scrypt", "2000-02-29T23:59:59Z", "a b" },
	{ "slot: recovery x25519 "DATE" label=\"\\\"\\\\\303\244\"",
	  KEYRING_SLOT_RECOVERY, "recovery", "x25519", DATE, "\"\\\303\244" },
	{ "slot: escrow x25519 "DATE" x-1=\"\" label=\"\" b=\"c\"",
	  KEYRING_SLOT_ESCROW, "escrow", "x25519", DATE, "" },
	{ "slot: later ml-kem-768 "DATE" label=\"=\"", KEYRING_SLOT_UNKNOWN,
	  "later", "ml-kem-768", DATE, "=" },
#define BAD(line) { line, KEYRING_SLOT_UNKNOWN, NULL, NULL, NULL, NULL }
	BAD("slot:"),
	BAD("slot: "),
	BAD("slot: password"),
	BAD("slot: password argon2id"),
	BAD("slot: password argon2id "),
	BAD("slot: password argon2id 2026-11-23"),
	BAD("slot: password argon2id 2026-11-23T10:00:00"),
	BAD("slot: password argon2id 2026-11-23T10:00:00+"),
	BAD("slot: password argon2id 2026-13-23T10:00:00Z"),
	BAD("slot: password argon2id 2026-11-31T10:00:0Z0"),
	BAD("slot: password argon2id 2026-11-23T24:61:00Z"),
	BAD("slot: password argon2id 2026-11-23T10:00:00+00:00"),
	BAD("slot: password argon2id "DATE" "),
	BAD("slot: password argon2id "DATE"label=\"a\""),
	BAD("slot: password argon2id "DATE"  label=\"a\""),
	BAD("slot: password argon2id "DATE" label"),
	BAD("slot: password argon2id "DATE" label="),
	BAD("slot: password argon2id "DATE" label=a"),
	BAD("slot: password argon2id "DATE" label=\""),
	BAD("slot: password argon2id "DATE" label=\"a"),
	BAD("slot: password argon2id "DATE" label=\"a\\\""),
	BAD("slot: password argon2id "DATE" label=\"a\\"),
	BAD("slot: password argon2id "DATE" label=\"\\n\""),
	BAD("slot: password argon2id "DATE" label=\"a\"b\""),
	BAD("slot: password argon2id "DATE" label=\"\344\""),
	BAD("slot: password argon2id "DATE" label=\"a\" label=\"a\""),
	BAD("slot: password argon2id "DATE" =\"a\""),
	BAD("slot: password argon2id "DATE" Label=\"a\""),
	BAD("slot:password argon2id "DATE),
	BAD("slot:  password argon2id "DATE),
	BAD("slot: password  argon2id "DATE),
	BAD("slot: Password argon2id "DATE),
	BAD("slot: pass_word argon2id "DATE),
	BAD("slot:\tpassword argon2id "DATE),
};

/* Parsing copies, so that writing after the input is gone shows that it does.
   In memory of its own, for reads behind the end to be seen. */
static int
parse_copy(const void *text, size_t size, struct keyring **keyring_r,
	   const char **error_r)
{
	char *copy = i_malloc(I_MAX(size, 1));
	int ret;

	memcpy(copy, text, size);
	ret = keyring_parse(copy, size, keyring_r, error_r);
	memset(copy, 'x', size);
	i_free(copy);
	return ret;
}

static void
test_written_same(struct keyring *keyring, const void *text, size_t size,
		  unsigned int i)
{
	string_t *str = t_str_new(1024);

	str_append(str, "before");
	keyring_write(keyring, str);
	test_assert_idx(str_len(str) == 6 + size &&
			memcmp(str_c(str) + 6, text, size) == 0, i);
}

static void test_keyring_text(void)
{
	for (unsigned int i = 0; i < N_ELEMENTS(text_tests); i++) {
		const char *text = text_tests[i].text, *error = "accepted";
		struct keyring *keyring;
		int ret;

		test_begin(t_strdup_printf("keyring text: %s",
					   text_tests[i].name));
		ret = parse_copy(text, strlen(text), &keyring, &error);
		if (ret == 0) {
			test_written_same(keyring, text, strlen(text), i);
			keyring_free(&keyring);
			test_assert(keyring == NULL);
		}
		if (text_tests[i].error == NULL)
			test_assert_strcmp(error, "accepted");
		else if (strncmp(error, text_tests[i].error,
				 strlen(text_tests[i].error)) != 0)
			test_assert_strcmp(error, text_tests[i].error);
		test_end();
	}
}

static void test_keyring_slot_lines(void)
{
	for (unsigned int i = 0; i < N_ELEMENTS(slot_tests); i++) {
		const char *text = t_strconcat(HEAD "\n", slot_tests[i].line,
					       "\n" ARMOR SLOT, NULL);
		const char *error = "accepted";
		const struct keyring_slot *slots;
		struct keyring *keyring;
		unsigned int count;
		int ret;

		test_begin(t_strdup_printf("keyring slot %u", i + 1));
		ret = parse_copy(text, strlen(text), &keyring, &error);
		test_assert(ret ==
			    (slot_tests[i].kind_name == NULL ? -1 : 0));
		if (ret < 0) {
			test_assert(strncmp(error, "line 5: slot 1: ",
					    16) == 0);
			test_end();
			continue;
		}
		slots = keyring_slots(keyring, &count);
		test_assert_ucmp(count, ==, 2);
		test_assert_ucmp(slots[0].line, ==, 5);
		test_assert(slots[0].kind == slot_tests[i].kind);
		test_assert_strcmp(slots[0].kind_name, slot_tests[i].kind_name);
		test_assert_strcmp(slots[0].method, slot_tests[i].method);
		test_assert_strcmp(slots[0].created, slot_tests[i].created);
		test_assert_strcmp(slots[0].label, slot_tests[i].label);
		test_assert_strcmp(slots[0].armor, ARMOR);
		test_assert_ucmp(slots[1].line, ==, 9);
		test_assert_strcmp(slots[1].armor, ARMOR);
		keyring_free(&keyring);
		test_end();
	}
}

static void test_keyring_recipients(void)
{
	const char *text = HEAD "recipient: "RECIPIENT_2"\n" SLOT;
	const struct age_x25519_recipient *recipients;
	struct keyring *keyring;
	const char *error;
	unsigned int count;

	test_begin("keyring recipients");
	if (keyring_parse(text, strlen(text), &keyring, &error) < 0)
		i_fatal("%s", error);
	recipients = keyring_recipients(keyring, &count);
	test_assert_ucmp(count, ==, 2);
	test_assert_strcmp(age_x25519_recipient_str(&recipients[0]),
			   RECIPIENT_1);
	test_assert_strcmp(age_x25519_recipient_str(&recipients[1]),
			   RECIPIENT_2);
	keyring_free(&keyring);
	test_end();
}

/* Each row is a keyring with this many recipients. */
static void test_keyring_recipients_limit(void)
{
	static const unsigned int rows[] = {
		KEYRING_MAX_RECIPIENTS, KEYRING_MAX_RECIPIENTS + 1
	};

	test_begin("keyring recipients limit");
	for (unsigned int i = 0; i < N_ELEMENTS(rows); i++) {
		struct age_x25519_recipient recipient;
		string_t *text = t_str_new(8192);
		struct keyring *keyring;
		const char *error;
		int ret;

		if (age_x25519_recipient_parse(RECIPIENT_1, &recipient,
					       &error) < 0)
			i_fatal("%s", error);
		str_append(text, MAGIC);
		for (unsigned int j = 0; j < rows[i]; j++) {
			recipient.key[0] = j;
			str_printfa(text, "recipient: %s\n",
				    age_x25519_recipient_str(&recipient));
		}
		str_append(text, SLOT);
		ret = parse_copy(str_data(text), str_len(text), &keyring,
				 &error);
		test_assert_idx(ret == (i == 0 ? 0 : -1), i);
		if (ret < 0)
			test_assert_strcmp(error,
					   "line 66: more than 64 recipients");
		else
			keyring_free(&keyring);
	}
	test_end();
}

/* Comments fill a keyring up to and beyond the limit. */
static void test_keyring_size_limit(void)
{
	const char *head = HEAD SLOT;
	struct keyring *keyring;
	const char *error;
	string_t *text;

	test_begin("keyring size limit");
	text = str_new(default_pool, KEYRING_MAX_SIZE + 2);
	str_append(text, head);
	while (str_len(text) < KEYRING_MAX_SIZE)
		str_append_c(text, '\n');
	test_assert(parse_copy(str_data(text), str_len(text), &keyring,
			       &error) == 0);
	test_written_same(keyring, str_data(text), str_len(text), 0);
	keyring_free(&keyring);
	str_append_c(text, '\n');
	test_assert(parse_copy(str_data(text), str_len(text), &keyring,
			       &error) < 0);
	test_assert_strcmp(error,
			   "line 1: the keyring is larger than 1048576 bytes");
	str_free(&text);
	test_end();
}

/* A NUL must not end the text. */
static void test_keyring_nul(void)
{
	static const char text[] = HEAD SLOT;
	char *copy = i_memdup(text, sizeof(text) - 1);
	struct keyring *keyring;
	const char *error;

	test_begin("keyring with a NUL");
	for (unsigned int i = 0; i < sizeof(text) - 1; i++) {
		char c = copy[i];

		copy[i] = '\0';
		test_assert_idx(keyring_parse(copy, sizeof(text) - 1, &keyring,
					      &error) < 0, i);
		test_assert_idx(i < 20 ||
				strstr(error, "control character") != NULL, i);
		copy[i] = c;
	}
	i_free(copy);
	test_end();
}

static void test_keyring_cut(void)
{
	static const char text[] = HEAD "# a\n\n" SLOT;
	struct keyring *keyring;
	const char *error;

	test_begin("keyring text cut");
	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		test_assert_idx(parse_copy(text, size, &keyring, &error) < 0,
				size);
	}
	test_end();
}

static void test_keyring_secret_of(void)
{
	static const struct {
		const char *password, *secret;
	} tests[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb924"
		      "27ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223"
			 "b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039"
		  "a33ce45964ff2167f6ecedd419db06c1" },
	};
	char secret[KEYRING_SECRET_CHARS + 1];

	test_begin("keyring secret of a password");
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		keyring_secret_of(tests[i].password, secret);
		test_assert_strcmp_idx(secret, tests[i].secret, i);
		test_assert_idx(keyring_secret_is_valid(secret), i);
	}
	test_end();
}

static void test_keyring_secret_is_valid(void)
{
#define DIGITS_62 "0123456789abcdef0123456789abcdef0123456789abcdef01234567" \
	"89abcd"
	static const struct {
		const char *str;
		bool valid;
	} tests[] = {
		{ DIGITS_62"ef", TRUE },
		{ DIGITS_62"00", TRUE },
		{ "", FALSE },
		{ DIGITS_62"e", FALSE },
		{ DIGITS_62"ef0", FALSE },
		{ DIGITS_62"eF", FALSE },
		{ DIGITS_62"eg", FALSE },
		{ DIGITS_62"e ", FALSE },
		{ DIGITS_62"e\n", FALSE },
	};

	test_begin("keyring secret is valid");
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		test_assert_idx(keyring_secret_is_valid(tests[i].str) ==
				tests[i].valid, i);
	}
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_keyring_text,
		test_keyring_slot_lines,
		test_keyring_recipients,
		test_keyring_recipients_limit,
		test_keyring_size_limit,
		test_keyring_nul,
		test_keyring_cut,
		test_keyring_secret_of,
		test_keyring_secret_is_valid,
		NULL
	};

	return test_run(tests);
}
