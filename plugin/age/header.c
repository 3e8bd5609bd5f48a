/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "age/base64.h"
#include "age/header.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

/* Characters and bytes of a full line of a stanza's body. */
#define COLUMNS 64
#define BYTES_PER_LINE (COLUMNS * 3 / 4)

#define STANZA_PREFIX "-> "
#define END_PREFIX "--- "
/* The MAC covers the dashes but not the space. */
#define END_MARK_SIZE (sizeof(END_PREFIX) - 2)
#define MAC_CHARS AGE_BASE64_ENCODED_SIZE(AGE_HEADER_MAC_SIZE)

/* The first round over a header: check the grammar and count, so that nothing
   is allocated for a header that isn't correct or isn't whole. Each step
   returns 1 if it moved on, 0 if all that is there is correct and there is too
   little of it, -1 if it is wrong. */
struct header_reader {
	const uint8_t *pos, *end;
	unsigned int line;
	const char *error;

	unsigned int stanzas_count, args_count;
	size_t bodies_size;
	uint8_t mac[AGE_HEADER_MAC_SIZE];
	const uint8_t *authenticated_end;
};

/* The second round: copy what is known to be correct. */
struct header_copier {
	pool_t pool;
	const uint8_t *pos, *end;
	const char **args;
	uint8_t *body;
};

static const char version_line[] = AGE_VERSION_LINE"\n";

static bool is_vchar(uint8_t c)
{
	return c > 0x20 && c < 0x7f;
}

static const char *char_name(uint8_t c)
{
	switch (c) {
	case '\n':
		return "a line feed";
	case '\r':
		return "a carriage return";
	case ' ':
		return "a space";
	}
	return is_vchar(c) ? t_strdup_printf("'%c'", c) :
		t_strdup_printf("the byte 0x%02x", c);
}

static int header_error(struct header_reader *reader, const char *error)
{
	reader->error = t_strdup_printf("Line %u of the header %s",
					reader->line, error);
	return -1;
}

static int header_error_char(struct header_reader *reader, uint8_t found,
			     const char *expected)
{
	return header_error(reader, t_strdup_printf(
		"has %s where %s", char_name(found), expected));
}

static int read_literal(struct header_reader *reader, const char *literal,
			const char *error)
{
	for (; *literal != '\0'; literal++, reader->pos++) {
		if (reader->pos == reader->end)
			return 0;
		if (*reader->pos != (uint8_t)*literal)
			return header_error(reader, error);
	}
	return 1;
}

static int read_version_line(struct header_reader *reader)
{
	int ret;

	ret = read_literal(reader, AGE_MAGIC, "doesn't begin with "
			   "\""AGE_MAGIC"\": this is no age file");
	if (ret <= 0)
		return ret;
	ret = read_literal(reader, &version_line[AGE_MAGIC_SIZE],
			   "isn't \""AGE_VERSION_LINE"\": "
			   "no other version can be read");
	if (ret > 0)
		reader->line++;
	return ret;
}

static int read_args(struct header_reader *reader)
{
	bool empty = TRUE;
	uint8_t c;

	for (; reader->pos < reader->end; reader->pos++) {
		c = *reader->pos;
		if (is_vchar(c)) {
			empty = FALSE;
			continue;
		}
		if (empty || (c != ' ' && c != '\n')) {
			return header_error_char(
				reader, c, "an argument is expected");
		}
		reader->args_count++;
		empty = TRUE;
		if (c == '\n') {
			reader->pos++;
			reader->line++;
			return 1;
		}
	}
	return 0;
}

static bool is_base64_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* Read the rest of a line, which is base64 of at most max_chars characters. */
static int read_base64(struct header_reader *reader, size_t max_chars,
		       uint8_t *data_r, size_t *chars_r)
{
	const uint8_t *start = reader->pos;
	size_t chars;

	for (; reader->pos < reader->end; reader->pos++) {
		chars = reader->pos - start;
		if (*reader->pos == '\n') {
			if (!age_base64_decode((const char *)start, chars,
					       data_r)) {
				return header_error(
					reader, "isn't canonical base64");
			}
			reader->pos++;
			*chars_r = chars;
			return 1;
		}
		if (!is_base64_char(*reader->pos)) {
			return header_error_char(reader, *reader->pos,
						 "only base64 may stand");
		}
		if (chars == max_chars) {
			return header_error(reader, t_strdup_printf(
				"has more than %zu characters of base64",
				max_chars));
		}
	}
	return 0;
}

/* The body of a stanza: full lines, then a shorter one, perhaps empty. */
static int read_body(struct header_reader *reader)
{
	uint8_t scratch[BYTES_PER_LINE];
	size_t chars;
	int ret;

	do {
		ret = read_base64(reader, COLUMNS, scratch, &chars);
		if (ret <= 0)
			return ret;
		reader->bodies_size += AGE_BASE64_DECODED_SIZE(chars);
		reader->line++;
	} while (chars == COLUMNS);
	return 1;
}

static int read_stanza(struct header_reader *reader)
{
	int ret;

	ret = read_literal(reader, STANZA_PREFIX,
			   "doesn't begin with \"-> \" or \"--- \"");
	if (ret > 0)
		ret = read_args(reader);
	if (ret > 0)
		ret = read_body(reader);
	if (ret > 0)
		reader->stanzas_count++;
	return ret;
}

static int read_end(struct header_reader *reader)
{
	size_t chars;
	int ret;

	if (reader->stanzas_count == 0)
		return header_error(reader, "ends it without any stanza");
	reader->authenticated_end = reader->pos + END_MARK_SIZE;
	ret = read_literal(reader, END_PREFIX,
			   "doesn't begin with \"--- \" and a MAC");
	if (ret <= 0)
		return ret;
	ret = read_base64(reader, MAC_CHARS, reader->mac, &chars);
	if (ret > 0 && chars != MAC_CHARS) {
		return header_error(reader, t_strdup_printf(
			"has %zu characters of MAC instead of %zu",
			chars, (size_t)MAC_CHARS));
	}
	return ret;
}

static int read_header(struct header_reader *reader)
{
	int ret;

	ret = read_version_line(reader);
	while (ret > 0) {
		/* "->" or "--": the second character tells */
		if (reader->end - reader->pos >= 2 &&
		    reader->pos[0] == '-' && reader->pos[1] == '-')
			return read_end(reader);
		ret = read_stanza(reader);
	}
	return ret;
}

static void copy_args(struct header_copier *copier, struct age_stanza *stanza)
{
	const uint8_t *word, *p = copier->pos + strlen(STANZA_PREFIX);

	stanza->args = copier->args;
	do {
		for (word = p; is_vchar(*p); p++) ;
		*copier->args++ = p_strdup_until(copier->pool, word, p);
		stanza->args_count++;
	} while (*p++ == ' ');
	copier->pos = p;
}

static void copy_body(struct header_copier *copier, struct age_stanza *stanza)
{
	const uint8_t *lf;
	size_t chars;

	stanza->body = copier->body;
	do {
		lf = memchr(copier->pos, '\n', copier->end - copier->pos);
		chars = lf - copier->pos;
		if (!age_base64_decode((const char *)copier->pos, chars,
				       copier->body))
			i_unreached();
		copier->body += AGE_BASE64_DECODED_SIZE(chars);
		copier->pos = lf + 1;
	} while (chars == COLUMNS);
	stanza->body_size = copier->body - stanza->body;
}

static void copy_header(pool_t pool, const struct header_reader *reader,
			const uint8_t *data, struct age_header *header_r)
{
	struct age_stanza *stanzas;
	struct header_copier copier = {
		.pool = pool,
		.pos = data + strlen(version_line),
		.end = reader->end,
		.args = p_new(pool, const char *, reader->args_count),
		/* one more, as no pool gives 0 bytes */
		.body = p_malloc(pool, reader->bodies_size + 1),
	};
	unsigned int i;

	stanzas = p_new(pool, struct age_stanza, reader->stanzas_count);
	for (i = 0; i < reader->stanzas_count; i++) {
		copy_args(&copier, &stanzas[i]);
		copy_body(&copier, &stanzas[i]);
	}

	i_zero(header_r);
	header_r->stanzas = stanzas;
	header_r->stanzas_count = reader->stanzas_count;
	memcpy(header_r->mac, reader->mac, sizeof(header_r->mac));
	header_r->size = reader->pos - data;
	header_r->authenticated_size = reader->authenticated_end - data;
	header_r->authenticated =
		p_memdup(pool, data, header_r->authenticated_size);
}

int age_header_parse(pool_t pool, const uint8_t *data, size_t size,
		     struct age_header *header_r, const char **error_r)
{
	struct header_reader reader = {
		.pos = data,
		.end = data + I_MIN(size, AGE_HEADER_MAX_SIZE),
		.line = 1,
	};
	int ret;

	ret = read_header(&reader);
	if (ret == 0 && size >= AGE_HEADER_MAX_SIZE) {
		*error_r = t_strdup_printf("The header is larger than %u bytes",
					   AGE_HEADER_MAX_SIZE);
		return -1;
	}
	if (ret < 0)
		*error_r = reader.error;
	if (ret > 0)
		copy_header(pool, &reader, data, header_r);
	return ret;
}

static void header_mac(const uint8_t file_key[AGE_FILE_KEY_SIZE],
		       const void *data, size_t size,
		       uint8_t mac_r[AGE_HEADER_MAC_SIZE])
{
	uint8_t key[KDF_KEY_SIZE];

	kdf_hkdf_sha256(file_key, AGE_FILE_KEY_SIZE, "", 0, "header", key);
	kdf_hmac_sha256(key, data, size, mac_r);
	secret_wipe(key, sizeof(key));
}

static void write_stanza(const struct age_stanza *stanza, buffer_t *dest)
{
	size_t pos = 0, size;
	unsigned int i;

	i_assert(stanza->args_count > 0);
	str_append(dest, "->");
	for (i = 0; i < stanza->args_count; i++) {
		i_assert(stanza->args[i][0] != '\0');
		str_append_c(dest, ' ');
		str_append(dest, stanza->args[i]);
	}
	str_append_c(dest, '\n');
	do {
		size = I_MIN(stanza->body_size - pos, BYTES_PER_LINE);
		age_base64_encode(stanza->body + pos, size, dest);
		str_append_c(dest, '\n');
		pos += size;
	} while (size == BYTES_PER_LINE);
}

void age_header_write(const struct age_stanza *stanzas, unsigned int count,
		      const uint8_t file_key[AGE_FILE_KEY_SIZE],
		      buffer_t *dest, uint8_t *mac_r)
{
	uint8_t mac[AGE_HEADER_MAC_SIZE];
	size_t start = dest->used;
	unsigned int i;

	i_assert(count > 0);
	str_append(dest, version_line);
	for (i = 0; i < count; i++)
		write_stanza(&stanzas[i], dest);
	str_append_data(dest, END_PREFIX, END_MARK_SIZE);
	header_mac(file_key, CONST_PTR_OFFSET(dest->data, start),
		   dest->used - start, mac);
	str_append_c(dest, ' ');
	age_base64_encode(mac, sizeof(mac), dest);
	str_append_c(dest, '\n');
	if (mac_r != NULL)
		memcpy(mac_r, mac, sizeof(mac));
}

bool age_header_verify(const struct age_header *header,
		       const uint8_t file_key[AGE_FILE_KEY_SIZE])
{
	uint8_t mac[AGE_HEADER_MAC_SIZE];

	header_mac(file_key, header->authenticated, header->authenticated_size,
		   mac);
	return secret_equals(mac, header->mac, sizeof(mac));
}
