/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "age/base64.h"
#include "keyring/keyring-private.h"

/* The lines "name: value" before the first slot. */

#define RECIPIENT_PREFIX "age1"
#define MAC_CHARS AGE_BASE64_ENCODED_SIZE(KDF_HMAC_SIZE)
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"

/* Bech32 data has no '1', so that the last one ends the kind. */
static const char *recipient_other_kind(const char *str)
{
	const size_t prefix_size = strlen(RECIPIENT_PREFIX);
	const char *p = strrchr(str, '1');

	if (strncmp(str, RECIPIENT_PREFIX, prefix_size) != 0 ||
	    p == str + prefix_size - 1)
		return NULL;
	return t_strdup_until(str, p);
}

static int
parse_key(const struct keyring_parser *parser, const char *name,
	  const char *str, struct age_x25519_recipient *recipient_r,
	  const char **error_r)
{
	const char *kind = recipient_other_kind(str), *error;

	if (kind != NULL) {
		return keyring_parse_error(parser, error_r,
			"recipient of kind %s, this version can seal to X25519 "
			"recipients (age1…) alone: install a newer mail-seal",
			kind);
	}
	if (age_x25519_recipient_parse(str, recipient_r, &error) < 0)
		return keyring_parse_error(parser, error_r, "%s: %s", name,
					   error);
	return 0;
}

static int parse_recipient(const struct keyring_parser *parser, const char *str,
			   const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	struct age_x25519_recipient recipient;
	const struct age_x25519_recipient *other;

	if (parse_key(parser, "recipient", str, &recipient, error_r) < 0)
		return -1;
	array_foreach(&keyring->recipients, other) {
		if (memcmp(other->key, recipient.key,
			   sizeof(recipient.key)) == 0) {
			return keyring_parse_error(parser, error_r,
				"repeats a recipient of the lines above");
		}
	}
	if (array_count(&keyring->recipients) == KEYRING_MAX_RECIPIENTS) {
		return keyring_parse_error(parser, error_r,
					   "more than %d recipients",
					   KEYRING_MAX_RECIPIENTS);
	}
	array_push_back(&keyring->recipients, &recipient);
	return 0;
}

static int parse_earlier(const struct keyring_parser *parser, const char *str,
			 const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	const char *date = strchr(str, ' ');
	struct keyring_earlier earlier;

	if (date == NULL || !keyring_date_is_valid(date + 1)) {
		return keyring_parse_error(parser, error_r,
			"expected \"earlier: RECIPIENT DATE\" with a date as "
			"in 2026-11-23T10:00:00Z");
	}
	if (parse_key(parser, "earlier", t_strdup_until(str, date),
		      &earlier.recipient, error_r) < 0)
		return -1;
	if (array_count(&keyring->earlier) == KEYRING_MAX_EARLIER) {
		return keyring_parse_error(parser, error_r,
					   "more than %d earlier identities",
					   KEYRING_MAX_EARLIER);
	}
	earlier.until = p_strdup(keyring->pool, date + 1);
	array_push_back(&keyring->earlier, &earlier);
	return 0;
}

static int parse_slots(const struct keyring_parser *parser, const char *str,
		       const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	const char *const *word = t_strsplit(str, " ");
	struct keyring_digest digest;

	if (keyring->has_list)
		return keyring_parse_error(parser, error_r, "second list of slots");
	keyring->has_list = TRUE;
	if (strcmp(str, KEYRING_SLOTS_NONE) == 0)
		return 0;
	for (; *word != NULL; word++) {
		if (strlen(*word) != KEYRING_DIGEST_CHARS ||
		    !age_base64_decode(*word, KEYRING_DIGEST_CHARS,
				       digest.data))
			break;
		array_push_back(&keyring->list, &digest);
	}
	if (*word == NULL && !array_is_empty(&keyring->list))
		return 0;
	return keyring_parse_error(parser, error_r,
		"expected \"slots: none\", or for each slot the base 64 of %d "
		"bytes, without padding", KEYRING_DIGEST_SIZE);
}

static int parse_mac(const struct keyring_parser *parser, const char *str,
		     const char **error_r)
{
	struct keyring *keyring = parser->keyring;

	if (keyring->mac_size != 0)
		return keyring_parse_error(parser, error_r, "second mac");
	if (strlen(str) != MAC_CHARS ||
	    !age_base64_decode(str, MAC_CHARS, keyring->mac)) {
		return keyring_parse_error(parser, error_r,
			"mac is not the base 64 of %d bytes, without padding",
			KDF_HMAC_SIZE);
	}
	keyring->mac_offset = parser->offset;
	keyring->mac_size = strlen(parser->lines[parser->idx]) + 1;
	return 0;
}

static const struct {
	const char *name;
	enum keyring_line_kind kind;
	int (*parse)(const struct keyring_parser *parser, const char *value,
		     const char **error_r);
} header_names[] = {
	{ "recipient", KEYRING_LINE_RECIPIENT, parse_recipient },
	{ "earlier", KEYRING_LINE_DERIVED, parse_earlier },
	{ "slots", KEYRING_LINE_DERIVED, parse_slots },
	{ "mac", KEYRING_LINE_DERIVED, parse_mac },
};

int keyring_header_parse_line(struct keyring_parser *parser,
			      enum keyring_line_kind *kind_r,
			      const char **error_r)
{
	const char *line = parser->lines[parser->idx];
	size_t name_size = strspn(line, NAME_CHARS);
	const char *name = t_strndup(line, name_size);

	if (name_size == 0 || strncmp(line + name_size, ": ", 2) != 0) {
		return keyring_parse_error(parser, error_r,
			"expected \"name: value\" or a slot");
	}
	for (unsigned int i = 0; i < N_ELEMENTS(header_names); i++) {
		if (strcmp(name, header_names[i].name) == 0) {
			*kind_r = header_names[i].kind;
			return header_names[i].parse(
				parser, line + name_size + 2, error_r);
		}
	}
	return 0;
}
