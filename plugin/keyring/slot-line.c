/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "iso8601-date.h"
#include "time-util.h"
#include "unichar.h"
#include "keyring/keyring-private.h"

#include <time.h>

/* The line that a slot begins with: slot: KIND METHOD DATE NAME="VALUE" … */

#define DATE_CHARS 20
#define WORD_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define DATE_WORD_CHARS "0123456789-:TZ"

static const struct {
	const char *name;
	enum keyring_slot_kind kind;
} slot_kinds[] = {
	{ "password", KEYRING_SLOT_PASSWORD },
	{ "recovery", KEYRING_SLOT_RECOVERY },
	{ "escrow", KEYRING_SLOT_ESCROW },
	{ "link", KEYRING_SLOT_LINK },
};

static enum keyring_slot_kind slot_kind_find(const char *name)
{
	for (unsigned int i = 0; i < N_ELEMENTS(slot_kinds); i++) {
		if (strcmp(slot_kinds[i].name, name) == 0)
			return slot_kinds[i].kind;
	}
	return KEYRING_SLOT_UNKNOWN;
}

bool keyring_date_is_valid(const char *date)
{
	time_t timestamp;
	int offset;

	return strlen(date) == DATE_CHARS &&
		iso8601_date_parse((const unsigned char *)date, DATE_CHARS,
				   &timestamp, &offset);
}

const char *keyring_date_now(void)
{
	return t_strfgmtime(KEYRING_DATE_FORMAT, time(NULL));
}

int keyring_label_check(const char *str, const char **error_r)
{
	if (*str == '\0') {
		*error_r = "a label must not be empty";
		return -1;
	}
	if (strlen(str) > KEYRING_MAX_LABEL_SIZE) {
		*error_r = t_strdup_printf("a label of %zu bytes is too long, "
			"%d are allowed", strlen(str), KEYRING_MAX_LABEL_SIZE);
		return -1;
	}
	if (!uni_utf8_str_is_valid(str)) {
		*error_r = "a label must be UTF-8";
		return -1;
	}
	for (; *str != '\0'; str++) {
		unsigned char c = *str;

		if (c < 0x20 || c == 0x7f) {
			*error_r = t_strdup_printf("a label must not have a "
				"control character (0x%02x)", c);
			return -1;
		}
	}
	return 0;
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
static int parse_attribute(pool_t pool, const char **line, const char **name_r,
			   const char **value_r, const char **error_r)
{
	*value_r = NULL;
	*name_r = parse_word(pool, line, WORD_CHARS);
	if (*name_r != NULL && *(*line)++ == '=')
		*value_r = parse_quoted(pool, line);
	if (*value_r == NULL || !uni_utf8_str_is_valid(*value_r)) {
		*error_r = "expected name=\"value\" in UTF-8 behind the date";
		return -1;
	}
	return 0;
}

static const char **
slot_attribute(struct keyring_slot *slot, const char *name)
{
	if (strcmp(name, "label") == 0)
		return &slot->label;
	if (strcmp(name, "recipient") == 0)
		return &slot->recipient;
	if (strcmp(name, "identity") == 0)
		return &slot->identity;
	return NULL;
}

static int parse_attributes(pool_t pool, const char *line,
			    struct keyring_slot *slot, const char **error_r)
{
	while (*line != '\0') {
		const char *name, *value, **dest;

		if (parse_attribute(pool, &line, &name, &value, error_r) < 0)
			return -1;
		dest = slot_attribute(slot, name);
		if (dest == NULL)
			continue;
		if (*dest != NULL) {
			*error_r = t_strconcat("second ", name, NULL);
			return -1;
		}
		*dest = value;
	}
	return 0;
}

/* Take the words before the attributes. */
static int parse_words(pool_t pool, const char **line,
		       struct keyring_slot *slot)
{
	*line += strlen(KEYRING_SLOT_PREFIX);
	slot->kind_name = parse_word(pool, line, WORD_CHARS);
	if (slot->kind_name != NULL)
		slot->method = parse_word(pool, line, WORD_CHARS);
	if (slot->method != NULL)
		slot->created = parse_word(pool, line, DATE_WORD_CHARS);
	return slot->created == NULL ? -1 : 0;
}

int keyring_slot_parse(pool_t pool, const char *line,
		       struct keyring_slot *slot_r, const char **error_r)
{
	i_zero(slot_r);
	i_assert(strncmp(line, KEYRING_SLOT_PREFIX,
			 strlen(KEYRING_SLOT_PREFIX)) == 0);
	if (parse_words(pool, &line, slot_r) < 0 ||
	    !keyring_date_is_valid(slot_r->created)) {
		*error_r = "expected \"slot: KIND METHOD DATE\" with a date "
			"as in 2026-11-23T10:00:00Z";
		return -1;
	}
	slot_r->kind = slot_kind_find(slot_r->kind_name);
	return parse_attributes(pool, line, slot_r, error_r);
}

void keyring_slot_append_attribute(string_t *dest, const char *name,
				   const char *value)
{
	str_printfa(dest, " %s=\"", name);
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			str_append_c(dest, '\\');
		str_append_c(dest, *value);
	}
	str_append_c(dest, '"');
}

void keyring_slot_copy_attributes(const struct keyring_slot *slot,
				  const char *except, string_t *dest)
{
	const char *line = t_strcut(slot->text, '\n');
	struct keyring_slot words;
	const char *name, *value, *error;
	int ret;

	ret = parse_words(pool_datastack_create(), &line, &words);
	while (ret == 0 && *line != '\0') {
		const char *start = line;

		ret = parse_attribute(pool_datastack_create(), &line, &name,
				      &value, &error);
		if (ret == 0 && strcmp(name, except) != 0)
			str_append_data(dest, start, line - start);
	}
	/* it was parsed before */
	i_assert(ret == 0);
}
