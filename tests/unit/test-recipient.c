/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "test-common.h"
#include "age/argon2id.h"
#include "age/scrypt.h"
#include "age/x25519.h"
#include "crypto/secret.h"
#include "hex.h"

#define ID42 "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZ" \
	"GFPYYSJZGFPQ4EGAEX"
#define ID43 "AGE-SECRET-KEY-1GDP5XS6RGDP5XS6RGDP5XS6RGDP5XS6RGDP5XS6R" \
	"GDP5XS6RGDPSST380Y"
#define PASSWORD "correct horse"
#define FILE_KEY "000102030405060708090a0b0c0d0e0f"

#define V1 "age-encryption.org/v1\n"
#define X_SHARE "Z13VdO13iTELPS52gfN5C0ZsdzsVIf7PNld5WDcepS8"
#define X_BODY "CDQTZMz/cyLVoEo+akXDqYCu4A/7UHJ+vcxkdwcmut0\n"
#define X_MAC "--- eXxz/JGSeCcCayQzY3/SeI9YE8Joc1rzt13teqyHiDw\n"
#define SALT "EBESExQVFhcYGRobHB0eHw"
#define S_BODY "dmZtOe1qRhfLfXgvY7jkPfklqwZPIDgBiClYojBWEuo\n"
#define S_MAC "--- V0YIuWwlcoj9jSGkTAFWF37zex9wSU2uBP9MLYss/c4\n"
#define A_BODY "3TDGr/frztpTc8V0nQ3wvLvd326XzhBaQy0shzLXuq4\n"
#define A_MAC "--- +H8vBBznaAKS/RPt6AHSut3TRI0dGSJzoh75iLrrs2E\n"
#define OTHER "-> example.org/other\n\n"
#define A_TYPE AGE_ARGON2ID_TYPE

static struct age_x25519_identity id42, id43;
static struct age_scrypt_identity scrypt_identity, scrypt_wrong;
static struct age_argon2id_identity argon2id_identity, argon2id_wrong;

static const struct age_identity *const identities[] = {
	&id42.identity, &id43.identity,
	&scrypt_identity.identity, &scrypt_wrong.identity,
	&argon2id_identity.identity, &argon2id_wrong.identity,
};
/* Bits of a set of them. */
enum {
	USE_42 = 1, USE_43 = 2, USE_SCRYPT = 4, USE_SCRYPT_WRONG = 8,
	USE_ARGON2ID = 16, USE_ARGON2ID_WRONG = 32, USE_ALL = 63,
};

static int open_header(const void *data, size_t size, unsigned int use,
		       uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		       const char **error_r)
{
	pool_t pool = pool_alloconly_create("test recipient", 1024);
	const struct age_identity *list[N_ELEMENTS(identities)];
	struct age_header header;
	unsigned int i, count = 0;
	int ret;

	for (i = 0; i < N_ELEMENTS(identities); i++) {
		if ((use & 1 << i) != 0)
			list[count++] = identities[i];
	}
	*error_r = NULL;
	memset(file_key_r, 0xff, AGE_FILE_KEY_SIZE);
	if (age_header_parse(pool, data, size, &header, error_r) != 1)
		i_panic("the test's header is wrong: %s", *error_r);
	ret = age_header_open(&header, list, count, file_key_r, error_r);
	pool_unref(&pool);
	return ret;
}

static const struct {
	const char *name, *header;
	unsigned int use;
	int ret;
	const char *error;
} stanzas[] = {
	/* Made with Python; the stock age opens the first. */
	{ "X25519", V1"-> X25519 "X_SHARE"\n"X_BODY X_MAC,
	  USE_42, 1, NULL },
	{ "X25519, behind others",
	  V1"-> X25519 "X_SHARE"\n"X_BODY X_MAC, USE_ALL, 1, NULL },
	{ "scrypt", V1"-> scrypt "SALT" 4\n"S_BODY S_MAC,
	  USE_SCRYPT, 1, NULL },
	{ "scrypt, behind others", V1"-> scrypt "SALT" 4\n"S_BODY S_MAC,
	  USE_ALL, 1, NULL },
	{ "argon2id", V1"-> "A_TYPE" "SALT" 2 8192\n"A_BODY A_MAC,
	  USE_ARGON2ID, 1, NULL },
	{ "stanzas of others", V1
	  "-> example.org/kind a b!~\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"
	  "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n\n"
	  "-> X25519 Z13VdO13iTELPS52gfN5C0ZsdzsVIf7PNld5WDcepS8\n"
	  "/cIpoFWzwbkbmav9SRPVdhwTlFj1nWwO2vHtsDiIwb0\n"
	  "-> X25519 ST6C/HRGSlkmiBdiPSBTxeuOLMSpiLT+4XnsawENUx0\n"
	  "B9wMVnwqPD/kjCGBwJKkOKYsh4WzPBlgZ7lELtydNN4\n"
	  "--- GyEKwO52X8ZDvj9jro+av8aNKo/ntTOgN01yaE0lduQ\n",
	  USE_42, 1, NULL },

	{ "no identity", V1"-> X25519 "X_SHARE"\n"X_BODY X_MAC,
	  0, 0, NULL },
	{ "another's", V1"-> X25519 "X_SHARE"\n"X_BODY X_MAC,
	  USE_ALL & ~USE_42, 0, NULL },
	{ "wrong passphrase", V1"-> scrypt "SALT" 4\n"S_BODY S_MAC,
	  USE_ALL & ~USE_SCRYPT, 0, NULL },
	{ "wrong salt",
	  V1"-> scrypt EBESExQVFhcYGRobHB0eHQ 4\n"S_BODY S_MAC,
	  USE_SCRYPT, 0, NULL },
	{ "wrong work factor", V1"-> scrypt "SALT" 5\n"S_BODY S_MAC,
	  USE_SCRYPT, 0, NULL },
	{ "wrong password", V1"-> "A_TYPE" "SALT" 2 8192\n"A_BODY A_MAC,
	  USE_ALL & ~USE_ARGON2ID, 0, NULL },
	{ "wrong passes", V1"-> "A_TYPE" "SALT" 3 8192\n"A_BODY A_MAC,
	  USE_ARGON2ID, 0, NULL },
	{ "wrong memory", V1"-> "A_TYPE" "SALT" 2 8193\n"A_BODY A_MAC,
	  USE_ARGON2ID, 0, NULL },
	{ "wrong tag", V1"-> X25519 "X_SHARE"\n"
	  "CDQTZMz/cyLVoEo+akXDqYCu4A/7UHJ+vcxkdwcmut4\n"X_MAC,
	  USE_42, 0, NULL },
	{ "type in lower case", V1"-> x25519 "X_SHARE"\n"X_BODY X_MAC,
	  USE_ALL, 0, NULL },
	{ "longer type", V1"-> X25519a "X_SHARE"\n"X_BODY X_MAC,
	  USE_ALL, 0, NULL },

	{ "wrong MAC", V1"-> X25519 "X_SHARE"\n"X_BODY S_MAC,
	  USE_42, -1, "The header's MAC is wrong" },
	{ "wrong MAC for scrypt", V1"-> scrypt "SALT" 4\n"S_BODY X_MAC,
	  USE_SCRYPT, -1, "The header's MAC is wrong" },
	{ "a stanza added", V1"-> X25519 "X_SHARE"\n"X_BODY OTHER X_MAC,
	  USE_42, -1, "The header's MAC is wrong" },
	{ "X25519 without share", V1"-> X25519\n"X_BODY X_MAC,
	  USE_42, -1, "The X25519 stanza has 1 arguments instead of 2" },
	{ "X25519 with another argument",
	  V1"-> X25519 "X_SHARE" a\n"X_BODY X_MAC,
	  USE_42, -1, "The X25519 stanza has 3 arguments instead of 2" },
	{ "short share", V1"-> X25519 Z13VdO13iTELPS52gfN5C0Zsdzs\n"
	  X_BODY X_MAC, USE_42, -1, "The X25519 stanza's share isn't "
	  "canonical base64 of 32 bytes" },
	{ "long share", V1"-> X25519 "X_SHARE"A\n"X_BODY X_MAC,
	  USE_42, -1, "The X25519 stanza's share isn't canonical "
	  "base64 of 32 bytes" },
	{ "leftover bits of the share",
	  V1"-> X25519 Z13VdO13iTELPS52gfN5C0ZsdzsVIf7PNld5WDcepS9\n"
	  X_BODY X_MAC, USE_42, -1, "The X25519 stanza's share isn't "
	  "canonical base64 of 32 bytes" },
	{ "share of low order", V1"-> X25519 "
	  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"X_BODY X_MAC,
	  USE_42, -1,
	  "The X25519 stanza's share is a point of low order" },
	{ "no body", V1"-> X25519 "X_SHARE"\n\n"X_MAC, USE_42, -1,
	  "The X25519 stanza has a body of 0 bytes instead of 32" },
	{ "long body", V1"-> X25519 "X_SHARE"\nCDQTZMz/cyLVoEo+akXDqYCu"
	  "4A/7UHJ+vcxkdwcmut0A\n"X_MAC, USE_42, -1,
	  "The X25519 stanza has a body of 33 bytes instead of 32" },
	{ "malformed before one that would open",
	  V1"-> X25519\n\n-> X25519 "X_SHARE"\n"X_BODY X_MAC, USE_42, -1,
	  "The X25519 stanza has 1 arguments instead of 2" },

	{ "scrypt beside another", V1"-> scrypt "SALT" 4\n"S_BODY OTHER
	  S_MAC, USE_SCRYPT, -1, "The scrypt stanza must be the only "
	  "one, here it is one of 2" },
	{ "scrypt twice", V1"-> scrypt "SALT" 4\n"S_BODY"-> scrypt "SALT
	  " 4\n"S_BODY S_MAC, USE_SCRYPT, -1, "The scrypt stanza must "
	  "be the only one, here it is one of 2" },
	{ "X25519 beside scrypt", V1"-> X25519 "X_SHARE"\n"X_BODY
	  "-> scrypt "SALT" 4\n"S_BODY X_MAC, USE_42, -1,
	  "The scrypt stanza must be the only one, "
	  "here it is one of 2" },
	{ "argon2id beside another", V1 OTHER"-> "A_TYPE" "SALT
	  " 2 8192\n"A_BODY A_MAC, USE_42, -1, "The "A_TYPE" stanza "
	  "must be the only one, here it is one of 2" },
	{ "scrypt without work factor", V1"-> scrypt "SALT"\n"S_BODY
	  S_MAC, USE_SCRYPT, -1,
	  "The scrypt stanza has 2 arguments instead of 3" },
	{ "scrypt with short salt", V1"-> scrypt EBESExQVFhcYGRobHB0e 4"
	  "\n"S_BODY S_MAC, USE_SCRYPT, -1, "The scrypt stanza's salt "
	  "isn't canonical base64 of 16 bytes" },
	{ "scrypt with long body", V1"-> scrypt "SALT" 4\n"
	  "dmZtOe1qRhfLfXgvY7jkPfklqwZPIDgBiClYojBWEuoA\n"S_MAC,
	  USE_SCRYPT, -1,
	  "The scrypt stanza has a body of 33 bytes instead of 32" },
	{ "work factor 0", V1"-> scrypt "SALT" 0\n"S_BODY S_MAC,
	  USE_SCRYPT, -1,
	  "The scrypt stanza's work factor isn't a decimal number" },
	{ "work factor 04", V1"-> scrypt "SALT" 04\n"S_BODY S_MAC,
	  USE_SCRYPT, -1,
	  "The scrypt stanza's work factor isn't a decimal number" },
	{ "work factor +4", V1"-> scrypt "SALT" +4\n"S_BODY S_MAC,
	  USE_SCRYPT, -1,
	  "The scrypt stanza's work factor isn't a decimal number" },
	{ "work factor 4x", V1"-> scrypt "SALT" 4x\n"S_BODY S_MAC,
	  USE_SCRYPT, -1,
	  "The scrypt stanza's work factor isn't a decimal number" },
	{ "work factor above ours", V1"-> scrypt "SALT" 15\n"S_BODY
	  S_MAC, USE_SCRYPT, -1, "The scrypt stanza's work factor is "
	  "higher than the highest allowed, 2^14" },
	{ "work factor above all", V1"-> scrypt "SALT
	  " 18446744073709551620\n"S_BODY S_MAC, USE_SCRYPT, -1,
	  "The scrypt stanza's work factor is higher than the highest "
	  "allowed, 2^14" },
	{ "argon2id without memory", V1"-> "A_TYPE" "SALT" 2\n"A_BODY
	  A_MAC, USE_ARGON2ID, -1,
	  "The "A_TYPE" stanza has 3 arguments instead of 4" },
	{ "argon2id with long salt", V1"-> "A_TYPE" "SALT"A 2 8192\n"
	  A_BODY A_MAC, USE_ARGON2ID, -1, "The "A_TYPE" stanza's salt "
	  "isn't canonical base64 of 16 bytes" },
	{ "argon2id with short body", V1"-> "A_TYPE" "SALT" 2 8192\nAQ\n"
	  A_MAC, USE_ARGON2ID, -1,
	  "The "A_TYPE" stanza has a body of 1 bytes instead of 32" },
	{ "no passes", V1"-> "A_TYPE" "SALT" 0 8192\n"A_BODY A_MAC,
	  USE_ARGON2ID, -1, "The "A_TYPE" stanza's number of passes "
	  "isn't a number from 1 to 16" },
	{ "17 passes", V1"-> "A_TYPE" "SALT" 17 8192\n"A_BODY A_MAC,
	  USE_ARGON2ID, -1, "The "A_TYPE" stanza's number of passes "
	  "isn't a number from 1 to 16" },
	{ "passes beyond 32 bits", V1"-> "A_TYPE" "SALT" 4294967297 8192"
	  "\n"A_BODY A_MAC, USE_ARGON2ID, -1, "The "A_TYPE" stanza's "
	  "number of passes isn't a number from 1 to 16" },
	{ "little memory", V1"-> "A_TYPE" "SALT" 2 8191\n"A_BODY A_MAC,
	  USE_ARGON2ID, -1, "The "A_TYPE" stanza's memory in KiB "
	  "isn't a number from 8192 to 1048576" },
	{ "much memory", V1"-> "A_TYPE" "SALT" 2 1048577\n"A_BODY A_MAC,
	  USE_ARGON2ID, -1, "The "A_TYPE" stanza's memory in KiB "
	  "isn't a number from 8192 to 1048576" },
	{ "memory in hex", V1"-> "A_TYPE" "SALT" 2 0x2000\n"A_BODY A_MAC,
	  USE_ARGON2ID, -1, "The "A_TYPE" stanza's memory in KiB "
	  "isn't a number from 8192 to 1048576" },
};

static void test_recipient_table(void)
{
	uint8_t file_key[AGE_FILE_KEY_SIZE];
	const char *error;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(stanzas); i++) {
		test_begin(t_strdup_printf("recipient: %s", stanzas[i].name));
		test_assert(open_header(
			stanzas[i].header, strlen(stanzas[i].header),
			stanzas[i].use, file_key, &error) == stanzas[i].ret);
		test_assert_strcmp(error, stanzas[i].error);
		test_assert(stanzas[i].ret > 0 ?
			    hex_equals(file_key, sizeof(file_key), FILE_KEY) :
			    is_zeroed(file_key, sizeof(file_key)));
		test_end();
	}
}

static void test_recipient_round_trip(void)
{
	struct age_x25519_recipient r42, r43;
	struct age_scrypt_recipient scrypt;
	struct age_argon2id_recipient argon2id;
	const struct age_recipient *lists[][2] = {
		{ &r42.recipient, NULL },
		{ &r42.recipient, &r43.recipient },
		{ &r43.recipient, &r42.recipient },
		{ &scrypt.recipient, NULL },
		{ &argon2id.recipient, NULL },
	};
	static const unsigned int uses[] = {
		USE_42, USE_42 | USE_43, USE_42 | USE_43, USE_SCRYPT,
		USE_ARGON2ID,
	};
	uint8_t file_key[AGE_FILE_KEY_SIZE], mac[AGE_HEADER_MAC_SIZE];
	buffer_t *dest = t_buffer_create(1024);
	unsigned int i, use;
	const char *error;

	age_x25519_identity_recipient(&id42, &r42);
	age_x25519_identity_recipient(&id43, &r43);
	age_scrypt_recipient_init(&scrypt, PASSWORD, 3);
	age_argon2id_recipient_init(&argon2id, PASSWORD, 1,
				    AGE_ARGON2ID_MIN_MEMORY_KIB);
	for (i = 0; i < N_ELEMENTS(lists); i++) {
		test_begin(t_strdup_printf("recipient: seal to %s%s",
			lists[i][0]->kind,
			lists[i][1] == NULL ? "" : " twice"));
		buffer_set_used_size(dest, 0);
		test_assert(age_header_seal(
			lists[i], lists[i][1] == NULL ? 1 : 2,
			hex_bytes(FILE_KEY), dest, mac, &error) == 0);
		for (use = 1; use < USE_ALL; use <<= 1) {
			test_assert_idx(open_header(dest->data, dest->used, use,
						    file_key, &error) ==
					((uses[i] & use) != 0 ? 1 : 0), use);
			test_assert_idx((uses[i] & use) == 0 ||
				hex_equals(file_key, sizeof(file_key),
					   FILE_KEY), use);
		}
		test_end();
	}
}

static void test_recipient_fresh(void)
{
	struct age_x25519_recipient r42;
	const struct age_recipient *list[] = { &r42.recipient };
	buffer_t *first = t_buffer_create(256), *second = t_buffer_create(256);
	uint8_t mac[AGE_HEADER_MAC_SIZE];
	struct age_header header;
	const char *error;
	pool_t pool = pool_alloconly_create("test recipient", 1024);

	test_begin("recipient: a new share each time");
	age_x25519_identity_recipient(&id42, &r42);
	test_assert(age_header_seal(list, 1, hex_bytes(FILE_KEY), first, NULL,
				    &error) == 0);
	test_assert(age_header_seal(list, 1, hex_bytes(FILE_KEY), second, mac,
				    &error) == 0);
	test_assert(first->used == second->used);
	test_assert(!buffer_cmp(first, second));
	test_assert(age_header_parse(pool, second->data, second->used, &header,
				     &error) == 1);
	test_assert(memcmp(mac, header.mac, sizeof(mac)) == 0);
	pool_unref(&pool);
	test_end();
}

static void test_recipient_refused(void)
{
	struct age_x25519_recipient r42, low;
	struct age_scrypt_recipient scrypt;
	struct age_argon2id_recipient argon2id;
	const struct {
		const char *name;
		const struct age_recipient *list[2];
		const char *error;
	} tests[] = {
		{ "scrypt beside X25519",
		  { &r42.recipient, &scrypt.recipient },
		  "A recipient of kind scrypt must be the only one, "
		  "here it is one of 2" },
		{ "argon2id beside scrypt",
		  { &argon2id.recipient, &scrypt.recipient },
		  "A recipient of kind "A_TYPE" must be the only one, "
		  "here it is one of 2" },
		{ "low order", { &r42.recipient, &low.recipient },
		  "The X25519 recipient is a point of low order" },
	};
	uint8_t mac[AGE_HEADER_MAC_SIZE];
	buffer_t *dest = t_buffer_create(256);
	const char *error;
	unsigned int i;

	age_x25519_identity_recipient(&id42, &r42);
	if (age_x25519_recipient_parse("age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"
				       "qqqqqqqqqqqqqqqqqq5cu47z", &low,
				       &error) < 0)
		i_panic("%s", error);
	age_scrypt_recipient_init(&scrypt, PASSWORD, 3);
	age_argon2id_recipient_init(&argon2id, PASSWORD, 1,
				    AGE_ARGON2ID_MIN_MEMORY_KIB);
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("recipient: refuse %s",
					   tests[i].name));
		buffer_set_used_size(dest, 0);
		str_append(dest, "before");
		test_assert(age_header_seal(tests[i].list, 2,
					    hex_bytes(FILE_KEY), dest, mac,
					    &error) == -1);
		test_assert_strcmp(error, tests[i].error);
		test_assert_strcmp(str_c(dest), "before");
		test_end();
	}
}

/* Whatever happens to a header, its file key comes out or none does. */
static void test_recipient_damage(void)
{
	static const char *const headers[] = {
		V1"-> X25519 "X_SHARE"\n"X_BODY X_MAC,
		V1"-> scrypt "SALT" 4\n"S_BODY S_MAC,
	};
	pool_t pool = pool_alloconly_create("test recipient", 1024);
	uint8_t file_key[AGE_FILE_KEY_SIZE], *data;
	const struct age_identity *list[] = {
		&id42.identity, &scrypt_identity.identity
	};
	struct age_header header;
	const char *error;
	unsigned int i;
	size_t bit, size;

	for (i = 0; i < N_ELEMENTS(headers); i++) {
		test_begin(t_strdup_printf("recipient: flip every bit, %u", i));
		size = strlen(headers[i]);
		data = p_memdup(pool, headers[i], size);
		for (bit = 0; bit < size * 8; bit++) {
			data[bit / 8] ^= 1 << bit % 8;
			if (age_header_parse(pool, data, size, &header,
					     &error) == 1) {
				test_assert_idx(age_header_open(
					&header, list, 2, file_key,
					&error) <= 0, bit);
				test_assert_idx(is_zeroed(file_key,
						sizeof(file_key)), bit);
			}
			data[bit / 8] ^= 1 << bit % 8;
		}
		test_end();
	}
	pool_unref(&pool);
}

static void test_recipient_costs(void)
{
	static const struct {
		const char *name, *args;
		int ret;
	} tests[] = {
		{ "the least", A_TYPE" "SALT" 1 8192", 1 },
		{ "the most", A_TYPE" "SALT" 16 1048576", 1 },
		{ "too many passes", A_TYPE" "SALT" 17 8192", -1 },
		{ "too few arguments", A_TYPE" "SALT" 17", -1 },
		{ "another kind", "scrypt "SALT" 1", 0 },
	};
	struct age_stanza stanza = { .body = (const uint8_t *)FILE_KEY };
	uint32_t passes, memory_kib;
	const char *error;
	unsigned int i;

	stanza.body_size = 32;
	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("argon2id costs: %s",
					   tests[i].name));
		passes = memory_kib = 0;
		stanza.args = t_strsplit(tests[i].args, " ");
		stanza.args_count = str_array_length(stanza.args);
		test_assert(age_argon2id_costs(&stanza, &passes, &memory_kib,
					       &error) == tests[i].ret);
		test_assert_strcmp(t_strdup_printf(A_TYPE" "SALT" %u %u",
						   passes, memory_kib),
				   tests[i].ret > 0 ? tests[i].args :
				   A_TYPE" "SALT" 0 0");
		test_end();
	}
}

static void init_identities(void)
{
	const char *error;

	if (crypto_init(&error) < 0 ||
	    age_x25519_identity_parse(ID42, &id42, &error) < 0 ||
	    age_x25519_identity_parse(ID43, &id43, &error) < 0)
		i_fatal("%s", error);
	age_scrypt_identity_init(&scrypt_identity, PASSWORD, 14);
	age_scrypt_identity_init(&scrypt_wrong, PASSWORD"s", 14);
	age_argon2id_identity_init(&argon2id_identity, PASSWORD);
	age_argon2id_identity_init(&argon2id_wrong, PASSWORD"s");
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_recipient_table,
		test_recipient_round_trip,
		test_recipient_fresh,
		test_recipient_refused,
		test_recipient_damage,
		test_recipient_costs,
		NULL
	};

	init_identities();
	return test_run(tests);
}
