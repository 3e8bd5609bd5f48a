/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CACHE_HEADER_H
#define CACHE_HEADER_H

#include "cache/record.h"

/* The items of header fields (RFC 5322). A field that clients often ask for has
   a code in place of its name. Its item holds every line of that name, as they
   stand in the message but with LF for each end of line, and where in the header
   they stand. That there is no such field is worth knowing, too.

	header         = code (1 byte) | [name | NUL, if code is 0]
	                 | lines (number) | line number and size (numbers) of each
	                 | text
	absent headers = code (1 byte), for each; with code 0: name | NUL */

/* Codes are 1 to CACHE_HEADER_CODE_COUNT - 1. */
#define CACHE_HEADER_CODE_COUNT 64
/* Up to this one they are asked for by most clients. */
#define CACHE_HEADER_COMMON_MAX 18
/* A longer name isn't cached: Dovecot 2.4 cuts it. */
#define CACHE_HEADER_NAME_MAX_SIZE 99

/* 0 if the name has none. Names are compared without regard to case. */
uint8_t cache_header_code(const char *name);
/* NULL if there is no such code. */
const char *cache_header_name(uint8_t code);

struct cache_header_line {
	/* In the header, from 1. */
	uint32_t number;
	/* "Name: value\n", with further lines of it */
	const unsigned char *text;
	size_t size;
};
ARRAY_DEFINE_TYPE(cache_header_line, struct cache_header_line);

/* Append the item of the lines of this name, at least one, or none for a field
   that is absent. Nothing is appended if the name is too long. Both names and
   lines are the caller's. */
void cache_header_add(buffer_t *items, const char *name,
		      const struct cache_header_line *lines,
		      unsigned int count);

/* Append a name to those of a CACHE_ITEM_ABSENT_HEADERS. As above if it's too
   long. */
void cache_header_add_absent(buffer_t *names, const char *name);

/* The name that a header's item is about: a code, or 0 and name_r. data and size
   are those of the item, and are moved past it. FALSE if it isn't one. For
   CACHE_ITEM_ABSENT_HEADERS call it until size is 0. */
bool cache_header_next_name(const unsigned char **data, size_t *size,
			    uint8_t *code_r, const char **name_r)
	ATTR_WARN_UNUSED_RESULT;
/* Append the lines of a header's item, of which data and size are what
   cache_header_next_name() left. They point there. FALSE if it isn't one: some
   lines may have been appended. */
bool cache_header_get_lines(const unsigned char *data, size_t size,
			    ARRAY_TYPE(cache_header_line) *lines)
	ATTR_WARN_UNUSED_RESULT;

#endif
