/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "sha2.h"
#include "str.h"
#include "age/armor.h"
#include "keyring/keyring-private.h"

/* As much of the first line is looked at as the version of a later program may
   need. */
#define VERSION_LINE_MAX_SIZE 32

int keyring_parse_error(const struct keyring_parser *parser,
			const char **error_r, const char *format, ...)
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

/* The version in the first line, or NULL if it isn't of a keyring. */
static const char *text_version(const char *text, size_t size)
{
	const char *line, *version;

	line = t_strcut(t_strndup(text, I_MIN(size, VERSION_LINE_MAX_SIZE)),
			'\n');
	if (!line_begins(line, KEYRING_MAGIC))
		return NULL;
	version = line + strlen(KEYRING_MAGIC);
	if (version[0] < '1' || version[0] > '9' ||
	    strspn(version, "0123456789") != strlen(version))
		return NULL;
	return version;
}

bool keyring_version_is_later(const char *text, size_t size)
{
	const char *version = text_version(text, size);

	return version != NULL && strcmp(version, "1") != 0;
}

/* Comes before all other checks: what they refuse a later version may allow. */
static int check_version(const char *text, size_t size, const char **error_r)
{
	const char *version = text_version(text, size);

	if (size == 0) {
		*error_r = "line 1: the keyring is empty, expected \""
			KEYRING_VERSION_LINE"\"";
		return -1;
	}
	if (version == NULL) {
		*error_r = "line 1: expected \""KEYRING_VERSION_LINE"\"";
		return -1;
	}
	if (strcmp(version, "1") != 0) {
		*error_r = t_strdup_printf(
			"line 1: format of version %s, this program reads "
			"version %d: install a newer mail-seal (the keyring is "
			"left as it is)", version, KEYRING_VERSION);
		return -1;
	}
	return 0;
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

static bool line_ends_header(const char *line)
{
	return line_begins(line, KEYRING_SLOT_PREFIX) ||
		strcmp(line, KEYRING_END) == 0;
}

static int parse_header_line(struct keyring_parser *parser,
			     const char **error_r)
{
	struct keyring_line *line = array_append_space(&parser->keyring->lines);
	int ret = 0;

	line->kind = KEYRING_LINE_KEPT;
	line->offset = parser->offset;
	line->size = strlen(parser_line(parser)) + 1;
	if (!line_is_comment(parser_line(parser))) T_BEGIN {
		ret = keyring_header_parse_line(parser, &line->kind, error_r);
	} T_END_PASS_STR_IF(ret < 0, error_r);
	if (ret == 0)
		parser_next(parser);
	return ret;
}

static int parse_header(struct keyring_parser *parser, const char **error_r)
{
	struct keyring *keyring = parser->keyring;

	/* the version line, checked already */
	parser_next(parser);
	while (parser->offset < keyring->size &&
	       !line_ends_header(parser_line(parser))) {
		if (parse_header_line(parser, error_r) < 0)
			return -1;
	}
	keyring->header_size = parser->offset;
	if (array_is_empty(&keyring->recipients)) {
		return keyring_parse_error(parser, error_r,
			"expected a recipient before the first slot");
	}
	if (parser->offset == keyring->size) {
		return keyring_parse_error(parser, error_r,
			"ends without a slot, the keyring is cut short");
	}
	return 0;
}

/* The armored file that begins at the current line. Whether what is in it is an
   age file is seen when it is opened. */
static int parse_armor(struct keyring_parser *parser, const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	struct age_armor_decoder decoder;
	uint8_t data[AGE_ARMOR_LINE_SIZE];
	unsigned int slot = array_count(&keyring->slots) + 1;
	size_t data_size;
	const char *error;

	i_zero(&decoder);
	while (!decoder.ended) {
		const char *line = parser_line(parser);

		if (parser->offset == keyring->size) {
			return keyring_parse_error(parser, error_r,
				"ends within slot %u, the keyring is cut short",
				slot);
		}
		/* The decoder would skip white space before it. */
		if (!decoder.begun && strcmp(line, AGE_ARMOR_BEGIN) != 0) {
			return keyring_parse_error(parser, error_r,
				"slot %u: expected \""AGE_ARMOR_BEGIN"\"",
				slot);
		}
		if (age_armor_decode_line(&decoder, line, strlen(line), data,
					  &data_size, &error) < 0) {
			return keyring_parse_error(parser, error_r,
				"slot %u: armored file: %s", slot, error);
		}
		parser_next(parser);
	}
	return 0;
}

void keyring_digest(const char *slot_text, struct keyring_digest *digest_r)
{
	uint8_t hash[SHA256_RESULTLEN];

	sha256_get_digest(slot_text, strlen(slot_text), hash);
	memcpy(digest_r->data, hash, sizeof(digest_r->data));
}

static bool
slot_is_listed(const struct keyring *keyring, const struct keyring_slot *slot)
{
	const struct keyring_digest *listed;
	struct keyring_digest digest;

	/* What only this version writes has been listed by it. */
	if (!keyring->has_list)
		return slot->recipient == NULL && slot->identity == NULL;
	keyring_digest(slot->text, &digest);
	array_foreach(&keyring->list, listed) {
		if (memcmp(listed->data, digest.data, sizeof(digest.data)) == 0)
			return TRUE;
	}
	return FALSE;
}

static int parse_slot_line(struct keyring_parser *parser,
			   struct keyring_slot *slot_r, const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	unsigned int count = array_count(&keyring->slots);
	const char *error;

	if (!line_begins(parser_line(parser), KEYRING_SLOT_PREFIX)) {
		return keyring_parse_error(parser, error_r,
			"expected a slot, as nothing else follows slots");
	}
	if (count == KEYRING_MAX_SLOTS) {
		return keyring_parse_error(parser, error_r,
					   "more than %d slots", count);
	}
	if (keyring_slot_parse(keyring->pool, parser_line(parser), slot_r,
			       &error) < 0) {
		return keyring_parse_error(parser, error_r, "slot %u: %s",
					   count + 1, error);
	}
	slot_r->line = parser->idx + 1;
	return 0;
}

static int parse_slot(struct keyring_parser *parser, const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	struct keyring_slot slot;
	struct keyring_place place = {
		.gap_offset = keyring->slots_end_offset,
		.offset = parser->offset,
	};
	size_t line_size = strlen(parser_line(parser)) + 1;

	if (parse_slot_line(parser, &slot, error_r) < 0)
		return -1;
	parser_next(parser);
	if (parse_armor(parser, error_r) < 0)
		return -1;
	place.size = parser->offset - place.offset;
	slot.text = p_strndup(keyring->pool, keyring->text + place.offset,
			      place.size);
	slot.armor = slot.text + line_size;
	slot.listed = slot_is_listed(keyring, &slot);
	array_push_back(&keyring->slots, &slot);
	array_push_back(&keyring->places, &place);
	keyring->slots_end_offset = parser->offset;
	return 0;
}

static void parse_comments(struct keyring_parser *parser)
{
	while (parser->offset < parser->keyring->size &&
	       line_is_comment(parser_line(parser)))
		parser_next(parser);
}

static bool parser_at_end_line(const struct keyring_parser *parser)
{
	return parser->offset < parser->keyring->size &&
		strcmp(parser_line(parser), KEYRING_END) == 0;
}

static int parse_slots(struct keyring_parser *parser, const char **error_r)
{
	struct keyring *keyring = parser->keyring;
	int ret = 0;

	keyring->slots_end_offset = parser->offset;
	while (ret == 0) {
		parse_comments(parser);
		if (parser->offset == keyring->size ||
		    parser_at_end_line(parser))
			break;
		T_BEGIN {
			ret = parse_slot(parser, error_r);
		} T_END_PASS_STR_IF(ret < 0, error_r);
	}
	return ret;
}

/* What follows the last slot. */
static int parse_end(struct keyring_parser *parser, const char **error_r)
{
	struct keyring *keyring = parser->keyring;

	keyring->end_offset = parser->offset;
	if (array_is_empty(&keyring->slots) &&
	    (!keyring->has_list || !array_is_empty(&keyring->list))) {
		return keyring_parse_error(parser, error_r,
			"ends without a slot, the keyring is cut short");
	}
	if (!parser_at_end_line(parser)) {
		if (!keyring->has_list)
			return 0;
		return keyring_parse_error(parser, error_r,
			"expected a slot or \""KEYRING_END"\", the keyring is "
			"cut short");
	}
	parser_next(parser);
	parse_comments(parser);
	if (parser->offset < keyring->size) {
		return keyring_parse_error(parser, error_r,
			"expected nothing behind \""KEYRING_END"\"");
	}
	return 0;
}

static struct keyring *keyring_alloc(const char *text, size_t size)
{
	pool_t pool = pool_alloconly_create("keyring", 2 * size + 1024);
	struct keyring *keyring = p_new(pool, struct keyring, 1);

	keyring->pool = pool;
	keyring->text = p_strndup(pool, text, size);
	keyring->size = size;
	p_array_init(&keyring->list, pool, 4);
	p_array_init(&keyring->lines, pool, 4);
	p_array_init(&keyring->recipients, pool, 1);
	p_array_init(&keyring->earlier, pool, 1);
	p_array_init(&keyring->slots, pool, 4);
	p_array_init(&keyring->places, pool, 4);
	return keyring;
}

static int keyring_parse_lines(struct keyring *keyring, const char **error_r)
{
	struct keyring_parser parser = {
		.keyring = keyring,
		.lines = t_strsplit(keyring->text, "\n"),
	};

	if (parse_header(&parser, error_r) < 0 ||
	    parse_slots(&parser, error_r) < 0)
		return -1;
	return parse_end(&parser, error_r);
}

int keyring_parse(const char *text, size_t size, struct keyring **keyring_r,
		  const char **error_r)
{
	struct keyring *keyring;
	int ret;

	*keyring_r = NULL;
	if (size > KEYRING_MAX_SIZE) {
		*error_r = t_strdup_printf("line 1: the keyring is larger than "
					   "%d bytes", KEYRING_MAX_SIZE);
		return -1;
	}
	if (check_version(text, size, error_r) < 0 ||
	    check_bytes(text, size, error_r) < 0)
		return -1;

	keyring = keyring_alloc(text, size);
	T_BEGIN {
		ret = keyring_parse_lines(keyring, error_r);
	} T_END_PASS_STR_IF(ret < 0, error_r);
	if (ret < 0)
		keyring_free(&keyring);
	*keyring_r = keyring;
	return ret;
}

void keyring_write(const struct keyring *keyring, string_t *dest)
{
	str_append_data(dest, keyring->text, keyring->size);
}
