/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "iso8601-date.h"
#include "time-util.h"
#include "unichar.h"
#include "crypto/secret.h"
#include "age/argon2id.h"
#include "age/armor.h"
#include "age/scrypt.h"
#include "age/small-file.h"
#include "keyring/keyring-private.h"

#include <time.h>

#define DATE_FORMAT "%Y-%m-%dT%H:%M:%SZ"
#define DATE_CHARS 20
#define METHOD_ARGON2ID "argon2id"
#define METHOD_SCRYPT "scrypt"
#define WORD_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"
/* The most that scrypt may cost. It takes about as long as Argon2id with four
   passes over the same memory. */
#define SCRYPT_WORK (((uint64_t)1 << KEYRING_MAX_SCRYPT_LOG_N) * 4)

static const struct {
	const char *name;
	enum keyring_slot_kind kind;
} slot_kinds[] = {
	{ "password", KEYRING_SLOT_PASSWORD },
	{ "recovery", KEYRING_SLOT_RECOVERY },
	{ "escrow", KEYRING_SLOT_ESCROW },
};

static enum keyring_slot_kind slot_kind_find(const char *name)
{
	for (unsigned int i = 0; i < N_ELEMENTS(slot_kinds); i++) {
		if (strcmp(slot_kinds[i].name, name) == 0)
			return slot_kinds[i].kind;
	}
	return KEYRING_SLOT_UNKNOWN;
}

static bool date_is_valid(const char *date)
{
	time_t timestamp;
	int offset;

	return strlen(date) == DATE_CHARS &&
		iso8601_date_parse((const unsigned char *)date, DATE_CHARS,
				   &timestamp, &offset);
}

/* Take a space and the word behind it. */
static const char *parse_word(pool_t pool, const char **line, const char *chars)
{
	const char *word = *line + 1;
	size_t size;

	if (**line != ' ' || (size = strspn(word, chars)) == 0)
		return NULL;
	*line = word + size;
	return p_strndup(pool, word, size);
}

/* Take what stands in quotes. */
static const char *parse_quoted(pool_t pool, const char **line)
{
	string_t *value = str_new(pool, 32);
	const char *p = *line;

	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if (*p == '\\' && *++p != '"' && *p != '\\')
			return NULL;
		if (*p == '\0')
			return NULL;
		str_append_c(value, *p);
	}
	*line = p + 1;
	return str_c(value);
}

/* Take one name="value". */
static int parse_attribute(pool_t pool, const char **line,
			   struct keyring_slot *slot, const char **error_r)
{
	const char *name, *value = NULL;

	name = parse_word(pool, line, WORD_CHARS);
	if (name != NULL && *(*line)++ == '=')
		value = parse_quoted(pool, line);
	if (value == NULL || !uni_utf8_str_is_valid(value)) {
		*error_r = "expected name=\"value\" in UTF-8 behind the date";
		return -1;
	}
	if (strcmp(name, "label") != 0)
		return 0;
	if (slot->label != NULL) {
		*error_r = "second label";
		return -1;
	}
	slot->label = value;
	return 0;
}

int keyring_slot_parse(pool_t pool, const char *line,
		       struct keyring_slot *slot_r, const char **error_r)
{
	const size_t prefix_size = strlen("slot:");

	i_zero(slot_r);
	i_assert(strncmp(line, "slot:", prefix_size) == 0);
	line += prefix_size;
	slot_r->kind_name = parse_word(pool, &line, WORD_CHARS);
	if (slot_r->kind_name != NULL)
		slot_r->method = parse_word(pool, &line, WORD_CHARS);
	if (slot_r->method != NULL)
		slot_r->created = parse_word(pool, &line, "0123456789-:TZ");
	if (slot_r->created == NULL || !date_is_valid(slot_r->created)) {
		*error_r = "expected \"slot: KIND METHOD DATE\" with a date "
			"as in 2026-11-23T10:00:00Z";
		return -1;
	}
	slot_r->kind = slot_kind_find(slot_r->kind_name);
	while (*line != '\0') {
		if (parse_attribute(pool, &line, slot_r, error_r) < 0)
			return -1;
	}
	return 0;
}

bool keyring_slot_takes_password(const struct keyring_slot *slot)
{
	return slot->kind == KEYRING_SLOT_PASSWORD &&
		(strcmp(slot->method, METHOD_ARGON2ID) == 0 ||
		 strcmp(slot->method, METHOD_SCRYPT) == 0);
}

static int
identity_seal(const struct age_x25519_identity *identity, const char *created,
	      const struct age_recipient *recipient,
	      buffer_t *dest, const char **error_r)
{
	const char *comment = t_strdup_printf("# created: %s\n", created);
	const size_t comment_size = strlen(comment);
	char text[64 + AGE_X25519_IDENTITY_CHARS + 1];
	size_t size = comment_size + AGE_X25519_IDENTITY_CHARS + 1;
	int ret;

	i_assert(size <= sizeof(text));
	memcpy(text, comment, comment_size);
	age_x25519_identity_str(identity, text + comment_size);
	text[size - 1] = '\n';

	ret = age_small_file_seal(&recipient, 1, (const uint8_t *)text, size,
				  dest, error_r);
	secret_wipe(text, sizeof(text));
	return ret;
}

int keyring_slot_write_password(const struct age_x25519_identity *identity,
				const char *secret,
				const struct keyring_costs *costs,
				string_t *dest, const char **error_r)
{
	const char *created = t_strfgmtime(DATE_FORMAT, time(NULL));
	struct age_argon2id_recipient recipient;
	buffer_t *file = t_buffer_create(1024);

	age_argon2id_recipient_init(&recipient, secret, costs->passes,
				    costs->memory_kib);
	if (identity_seal(identity, created, &recipient.recipient, file,
			  error_r) < 0)
		return -1;
	str_printfa(dest, "slot: password "METHOD_ARGON2ID" %s\n", created);
	age_armor_encode(file->data, file->used, dest);
	return 0;
}

/* What opening costs, from the header alone. Returns as age_argon2id_costs()
   does. */
static int
stanza_work(const struct age_stanza *stanza, const char *method,
	    uint64_t *work_r, const char **error_r)
{
	uint32_t passes, memory_kib;
	int ret;

	if (strcmp(method, METHOD_SCRYPT) == 0) {
		*work_r = SCRYPT_WORK;
		return strcmp(stanza->args[0], METHOD_SCRYPT) == 0 ? 1 : 0;
	}
	ret = age_argon2id_costs(stanza, &passes, &memory_kib, error_r);
	if (ret > 0)
		*work_r = (uint64_t)memory_kib * passes;
	return ret;
}

static int
slot_work(const struct keyring_slot *slot, const struct age_header *header,
	  uint64_t *work_r, const char **error_r)
{
	int ret;

	if (header->stanzas_count != 1) {
		*error_r = t_strdup_printf("has %u stanzas instead of 1",
					   header->stanzas_count);
		return -1;
	}
	ret = stanza_work(header->stanzas, slot->method, work_r, error_r);
	if (ret == 0) {
		*error_r = t_strdup_printf("is not sealed with %s, as its line "
					   "says", slot->method);
	}
	return ret <= 0 ? -1 : 0;
}

static int
slot_check(const struct keyring_slot *slot, const buffer_t *file,
	   uint64_t *work_left, const char **error_r)
{
	struct age_header header;
	uint64_t work;
	int ret;

	ret = age_header_parse(pool_datastack_create(), file->data, file->used,
			       &header, error_r);
	if (ret == 0)
		*error_r = "header is cut short";
	if (ret <= 0 || slot_work(slot, &header, &work, error_r) < 0)
		return -1;
	if (work > *work_left) {
		*error_r = "costs more than what is left for one login";
		return -1;
	}
	*work_left -= work;
	return 0;
}

static int
file_open(const buffer_t *file, const char *secret,
	  uint8_t **plain_r, size_t *size_r, const char **error_r)
{
	struct age_argon2id_identity argon2id;
	struct age_scrypt_identity scrypt;
	const struct age_identity *const identities[] = {
		&argon2id.identity, &scrypt.identity
	};

	age_argon2id_identity_init(&argon2id, secret);
	age_scrypt_identity_init(&scrypt, secret, KEYRING_MAX_SCRYPT_LOG_N);
	return age_small_file_open(file->data, file->used, identities,
				   N_ELEMENTS(identities), plain_r, size_r,
				   error_r);
}

int keyring_slot_open_password(const struct keyring_slot *slot,
			       const char *secret, uint64_t *work_left,
			       struct age_identities **identities_r,
			       const char **error_r)
{
	buffer_t *file = t_buffer_create(1024);
	struct age_identities *identities;
	uint8_t *plain;
	void *plain_p;
	size_t size;
	int ret;

	if (age_armor_decode(slot->armor, strlen(slot->armor), file,
			     error_r) < 0 ||
	    slot_check(slot, file, work_left, error_r) < 0)
		return -1;
	ret = file_open(file, secret, &plain, &size, error_r);
	if (ret <= 0)
		return ret;

	identities = age_identities_init();
	ret = age_identities_parse(identities, (const char *)plain, size,
				   error_r);
	plain_p = plain;
	secret_free(&plain_p);
	if (ret < 0) {
		age_identities_deinit(&identities);
		return -1;
	}
	*identities_r = identities;
	return 1;
}
