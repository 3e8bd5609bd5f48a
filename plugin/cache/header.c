/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "cache/header.h"

#include <ctype.h>

/* By code, which never changes: new ones come at the end. What mail clients ask
   for to show lists of messages, what SORT, THREAD and ENVELOPE need. */
static const char *const header_names[CACHE_HEADER_CODE_COUNT] = {
	NULL,
	"Date", "From", "To", "Cc", "Bcc", "Subject", "Sender", "Reply-To",
	"Message-ID", "In-Reply-To", "References", "Content-Type",
	"Content-Transfer-Encoding", "MIME-Version", "Priority", "X-Priority",
	"Importance", "Newsgroups",
	/* CACHE_HEADER_COMMON_MAX */
	"List-ID", "List-Post", "List-Unsubscribe",
	"List-Help", "List-Archive", "List-Owner", "Disposition-Notification-To",
	"Return-Receipt-To", "X-Confirm-Reading-To", "Return-Path",
	"Delivered-To", "X-Original-To", "Envelope-To", "Resent-Date",
	"Resent-From", "Resent-To", "Resent-Cc", "Auto-Submitted", "Precedence",
	"User-Agent", "X-Mailer", "Organization", "X-Spam-Flag", "X-Spam-Status",
	"X-MSMail-Priority", "X-Draft-Info", "X-Mozilla-Draft-Info",
	"X-Uniform-Type-Identifier", "X-Universally-Unique-Identifier",
	"Chat-Version", "Autocrypt", "Mail-Followup-To", "Mail-Reply-To",
	"Content-Language", "X-Forwarded-Message-Id", "Followup-To",
	"Content-Class", "X-Label", "Thread-Topic", "X-K9mail-Identity",
	"BIMI-Indicator", "BIMI-Location", "X-BIMI-Indicator-Hash",
	"X-Identity", "Content-Description",
};

uint8_t cache_header_code(const char *name)
{
	char first = i_toupper(name[0]);
	size_t size = strlen(name);
	unsigned int i;

	/* All begin with a capital letter. */
	for (i = 1; i < CACHE_HEADER_CODE_COUNT; i++) {
		if (header_names[i][0] == first &&
		    strncasecmp(header_names[i], name, size + 1) == 0)
			return i;
	}
	return 0;
}

const char *cache_header_name(uint8_t code)
{
	return code < CACHE_HEADER_CODE_COUNT ? header_names[code] : NULL;
}

static void add_name(buffer_t *dest, const char *name)
{
	uint8_t code = cache_header_code(name);

	buffer_append_c(dest, code);
	if (code == 0)
		buffer_append(dest, name, strlen(name) + 1);
}

void cache_header_add(buffer_t *items, const char *name,
		      const struct cache_header_line *lines,
		      unsigned int count)
{
	buffer_t *data;
	unsigned int i;

	if (strlen(name) > CACHE_HEADER_NAME_MAX_SIZE)
		return;
	data = t_buffer_create(256);
	add_name(data, name);
	if (count == 0) {
		cache_item_add(items, CACHE_ITEM_ABSENT_HEADERS, data->data,
			       data->used);
		return;
	}
	cache_number_add(data, count);
	for (i = 0; i < count; i++) {
		cache_number_add(data, lines[i].number);
		cache_number_add(data, lines[i].size);
	}
	for (i = 0; i < count; i++)
		buffer_append(data, lines[i].text, lines[i].size);
	cache_item_add(items, CACHE_ITEM_HEADER, data->data, data->used);
}

void cache_header_add_absent(buffer_t *names, const char *name)
{
	if (strlen(name) <= CACHE_HEADER_NAME_MAX_SIZE)
		add_name(names, name);
}

bool cache_header_next_name(const unsigned char **data, size_t *size,
			    uint8_t *code_r, const char **name_r)
{
	const unsigned char *end;

	if (*size == 0 || **data >= CACHE_HEADER_CODE_COUNT)
		return FALSE;
	*code_r = **data;
	*name_r = NULL;
	*data += 1;
	*size -= 1;
	if (*code_r != 0)
		return TRUE;
	end = memchr(*data, '\0', *size);
	if (end == NULL)
		return FALSE;
	*name_r = (const char *)*data;
	*size -= end + 1 - *data;
	*data = end + 1;
	return TRUE;
}

/* Give the lines their texts, one after the other. */
static bool
set_texts(struct cache_header_line *lines, unsigned int count,
	  const unsigned char *text, size_t size)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (lines[i].size > size)
			return FALSE;
		lines[i].text = text;
		text += lines[i].size;
		size -= lines[i].size;
	}
	return size == 0;
}

bool cache_header_get_lines(const unsigned char *data, size_t size,
			    ARRAY_TYPE(cache_header_line) *lines)
{
	unsigned int first = array_count(lines), i;
	struct cache_header_line *line;
	uint64_t count, number, line_size;

	/* Each line has two numbers. */
	if (!cache_number_next(&data, &size, &count) || count == 0 ||
	    count > size / 2)
		return FALSE;
	for (i = 0; i < count; i++) {
		if (!cache_number_next(&data, &size, &number) ||
		    !cache_number_next(&data, &size, &line_size) ||
		    number == 0 || number > UINT32_MAX || line_size > size)
			return FALSE;
		line = array_append_space(lines);
		line->number = number;
		line->size = line_size;
	}
	return set_texts(array_idx_modifiable(lines, first), count, data,
			 size);
}
