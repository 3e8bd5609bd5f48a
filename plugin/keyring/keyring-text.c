/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "age/armor.h"
#include "age/base64.h"
#include "keyring/keyring-private.h"

#define KEYRING_VERSION_LINE KEYRING_MAGIC "1"
/* As much of the first line is looked at as the version of a later program may
   need. */
#define VERSION_LINE_MAX_SIZE 32
#define RECIPIENT_PREFIX "age1"
#define MAC_CHARS AGE_BASE64_ENCODED_SIZE(KDF_HMAC_SIZE)

struct keyring_parser {
	struct keyring *keyring;
	/* All lines of the text, without their LF. Ends with a NULL. */
	const char *const *lines;
	/* The current line, and where in the text it begins. */
	unsigned int idx;
	size_t offset;
};

static int ATTR_FORMAT(3, 4)
parse_error(const struct keyring_parser *parser, const char **error_r,
	    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	*error_r = t_strdup_printf("line %u: %s", parser->idx + 1,
				   t_strdup_vprintf(format, args));
	va_end(args);
	return -1;
}

static const char *parser_line(const struct keyring_parser *parser)
{
	return parser->lines[parser->idx];
}

static void parser_next(struct keyring_parser *parser)
{
	parser->offset += strlen(parser_line(parser)) + 1;
	parser->idx++;
}

static bool line_begins(const char *line, const char *prefix)
{
	return strncmp(line, prefix, strlen(prefix)) == 0;
}

static bool line_is_comment(const char *line)
{
	return line[0] == '\0' || line[0] == '#';
}

/* Comes before all other checks: what they refuse a later version may allow. */
static int check_version(const char *text, size_t size, const char **error_r)
{
	const size_t magic_size = strlen(KEYRING_MAGIC);
	const char *line, *version;

	if (size == 0) {
		*error_r = "line 1: the keyring is empty, expected \""
			KEYRING_VERSION_LINE"\"";
		return -1;
	}
	line = t_strcut(t_strndup(text, I_MIN(size, VERSION_LINE_MAX_SIZE)),
			'\n');
	if (strcmp(line, KEYRING_VERSION_LINE) == 0)
		return 0;
	version = line + magic_size;
	if (line_begins(line, KEYRING_MAGIC) &&
	    version[0] >= '1' && version[0] <= '9' &&
	    strspn(version, "0123456789") == strlen(version)) {
		*error_r = t_strdup_printf(
			"line 1: format of version %s, this program reads "
			"version %d: install a newer mail-seal (the keyring is "
			"left as it is)", version, KEYRING_VERSION);
	} else {
		*error_r = "line 1: expected \""KEYRING_VERSION_LINE"\"";
	}
	return -1;
}

static int check_bytes(const char *text, size_t size, const char **error_r)
{
	unsigned int line = 1;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = text[i];

		if (c == '\n')
			line++;
		else if (c == '\r') {
			*error_r = t_strdup_printf(
				"line %u: has a carriage return, expected "
				"lines that end in LF alone", line);
			return -1;
		} else if ((c < 0x20 && c != '\t') || c == 0x7f) {
			*error_r = t_strdup_printf(
				"line %u: has a control character (0x%02x)",
				line, c);
			return -1;
		}
	}
	if (text[size - 1] != '\n') {
		*error_r = t_strdup_printf(
			"line %u: ends without a line end, the keyring is cut "
			"short", line);
		return -1;
	}
	return 0;
}

/* Bech32 data has no '1', so that the last one ends the kind. */
static const char *recipient_other_kind(const char *str)
{
	const char *p = strrchr(str, '1');

	if (!line_begins(str, RECIPIENT_PREFIX) ||
	    p == str + strlen(RECIPIENT_PREFIX) - 1)
		return NULL;
	return t_strdup_until(str, p);
}

static int parse_recipient(struct keyring_parser *parser, const char *str,
			   const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	struct age_x25519_recipient recipient;
	const struct age_x25519_recipient *other;
	const char *kind = recipient_other_kind(str), *error;

	if (kind != NULL) {
		return parse_error(parser, error_r,
			"recipient of kind %s, this version can seal to X25519 "
			"recipients (age1…) alone: install a newer mail-seal",
			kind);
	}
	if (age_x25519_recipient_parse(str, &recipient, &error) < 0)
		return parse_error(parser, error_r, "recipient: %s", error);
	array_foreach(&keyring->recipients, other) {
		if (memcmp(other->key, recipient.key,
			   sizeof(recipient.key)) == 0) {
			return parse_error(parser, error_r,
				"repeats a recipient of the lines above");
		}
	}
	if (array_count(&keyring->recipients) == KEYRING_MAX_RECIPIENTS) {
		return parse_error(parser, error_r,
				   "more than %d recipients",
				   KEYRING_MAX_RECIPIENTS);
	}
	array_push_back(&keyring->recipients, &recipient);
	return 0;
}

static int parse_mac(struct keyring_parser *parser, const char *str,
		     const char **error_r)
{
	struct keyring *keyring = parser->keyring;

	if (keyring->mac_size != 0)
		return parse_error(parser, error_r, "second mac");
	if (strlen(str) != MAC_CHARS ||
	    !age_base64_decode(str, MAC_CHARS, keyring->mac)) {
		return parse_error(parser, error_r,
			"mac is not the base 64 of %d bytes, without padding",
			KDF_HMAC_SIZE);
	}
	keyring->mac_offset = parser->offset;
	keyring->mac_size = strlen(parser_line(parser)) + 1;
	return 0;
}

static int parse_header_line(struct keyring_parser *parser,
			     const char **error_r)
{
	const char *line = parser_line(parser);
	size_t name_size =
		strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789-");
	const char *name = t_strndup(line, name_size);

	if (name_size == 0 || !line_begins(line + name_size, ": ")) {
		return parse_error(parser, error_r,
				   "expected \"name: value\" or a slot");
	}
	line += name_size + 2;
	if (strcmp(name, "recipient") == 0)
		return parse_recipient(parser, line, error_r);
	if (strcmp(name, "mac") == 0)
		return parse_mac(parser, line, error_r);
	return 0;
}

static int parse_header(struct keyring_parser *parser, const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	int ret = 0;

	/* the version line, checked already */
	parser_next(parser);
	while (parser->offset < keyring->size && ret == 0 &&
	       !line_begins(parser_line(parser), "slot:")) {
		if (!line_is_comment(parser_line(parser))) T_BEGIN {
			ret = parse_header_line(parser, error_r);
		} T_END_PASS_STR_IF(ret < 0, error_r);
		if (ret == 0)
			parser_next(parser);
	}
	if (ret < 0)
		return -1;
	keyring->header_size = parser->offset;
	if (array_is_empty(&keyring->recipients)) {
		return parse_error(parser, error_r,
			"expected a recipient before the first slot");
	}
	if (parser->offset == keyring->size) {
		return parse_error(parser, error_r,
			"ends without a slot, the keyring is cut short");
	}
	return 0;
}

/* The armored file that begins at the current line. Whether what is in it is an
   age file is seen when it is opened. */
static int parse_armor(struct keyring_parser *parser, const char **armor_r,
		       const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	struct age_armor_decoder decoder;
	uint8_t data[AGE_ARMOR_LINE_SIZE];
	size_t data_size, start = parser->offset;
	unsigned int slot = array_count(&keyring->slots) + 1;
	const char *error;

	i_zero(&decoder);
	while (!decoder.ended) {
		const char *line = parser_line(parser);

		if (parser->offset == keyring->size) {
			return parse_error(parser, error_r, "ends within slot "
				"%u, the keyring is cut short", slot);
		}
		/* The decoder would skip white space before it. */
		if (!decoder.begun && strcmp(line, AGE_ARMOR_BEGIN) != 0) {
			return parse_error(parser, error_r,
				"slot %u: expected \""AGE_ARMOR_BEGIN"\"",
				slot);
		}
		if (age_armor_decode_line(&decoder, line, strlen(line), data,
					  &data_size, &error) < 0) {
			return parse_error(parser, error_r,
				"slot %u: armored file: %s", slot, error);
		}
		parser_next(parser);
	}
	*armor_r = p_strndup(keyring->pool, keyring->text + start,
			     parser->offset - start);
	return 0;
}

static int parse_slot(struct keyring_parser *parser, const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	struct keyring_slot slot;
	const char *error;

	if (!line_begins(parser_line(parser), "slot:")) {
		return parse_error(parser, error_r,
			"expected a slot, as nothing else follows slots");
	}
	if (keyring_slot_parse(keyring->pool, parser_line(parser), &slot,
			       &error) < 0) {
		return parse_error(parser, error_r, "slot %u: %s",
				   array_count(&keyring->slots) + 1, error);
	}
	slot.line = parser->idx + 1;
	parser_next(parser);
	if (parse_armor(parser, &slot.armor, error_r) < 0)
		return -1;
	array_push_back(&keyring->slots, &slot);
	return 0;
}

static int parse_slots(struct keyring_parser *parser, const char **error_r)
{
	int ret = 0;

	while (parser->offset < parser->keyring->size && ret == 0) {
		if (line_is_comment(parser_line(parser))) {
			parser_next(parser);
			continue;
		}
		T_BEGIN {
			ret = parse_slot(parser, error_r);
		} T_END_PASS_STR_IF(ret < 0, error_r);
	}
	return ret;
}

static struct keyring *keyring_alloc(const char *text, size_t size)
{
	pool_t pool = pool_alloconly_create("keyring", 2 * size + 1024);
	struct keyring *keyring = p_new(pool, struct keyring, 1);

	keyring->pool = pool;
	keyring->text = p_strndup(pool, text, size);
	keyring->size = size;
	p_array_init(&keyring->recipients, pool, 1);
	p_array_init(&keyring->slots, pool, 4);
	return keyring;
}

int keyring_parse(const char *text, size_t size, struct keyring **keyring_r,
		  const char **error_r)
{
	struct keyring_parser parser;
	int ret;

	if (size > KEYRING_MAX_SIZE) {
		*error_r = t_strdup_printf("line 1: the keyring is larger than "
					   "%d bytes", KEYRING_MAX_SIZE);
		return -1;
	}
	if (check_version(text, size, error_r) < 0 ||
	    check_bytes(text, size, error_r) < 0)
		return -1;

	i_zero(&parser);
	parser.keyring = keyring_alloc(text, size);
	T_BEGIN {
		parser.lines = t_strsplit(parser.keyring->text, "\n");
		ret = parse_header(&parser, error_r);
		if (ret == 0)
			ret = parse_slots(&parser, error_r);
	} T_END_PASS_STR_IF(ret < 0, error_r);
	if (ret < 0)
		keyring_free(&parser.keyring);
	*keyring_r = parser.keyring;
	return ret;
}

void keyring_write(const struct keyring *keyring, string_t *dest)
{
	str_append_data(dest, keyring->text, keyring->size);
}
