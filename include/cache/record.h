/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CACHE_RECORD_H
#define CACHE_RECORD_H

#include "cache/key.h"

/* A record of what is cached of one message: a list of items, sealed as a whole
   with XChaCha20-Poly1305 under a random nonce. Which mailbox, message and slot
   it belongs to is authenticated with it, so that a record in another one's
   place is none. Its size tells the size of the items to 64 bytes. Sizes are
   bytes; numbers are written as LEB128 (7 bits a byte, the lowest first).

	record = version (1 byte) | nonce (24) | sealed items and padding
	item   = type (1 byte, not 0) | size (number) | data

   Zeros after the last item are padding. Items of a type that a reader doesn't
   know are passed over. */

struct cache_record_place {
	/* The UID is 0 where it's about no message alone. */
	uint32_t uid_validity, uid;
	/* A message has several slots, each of which is written once. */
	uint8_t slot;
};

/* Seal the items, and append the record to dest. */
void cache_record_seal(const struct cache_key *key,
		       const struct cache_record_place *place,
		       const void *items, size_t size, buffer_t *dest);
/* Append the items of a record, and the padding: what is read of items ends
   there, so each record has a buffer of its own. With room for as much as the
   record has, it doesn't grow and leave a copy. Returns FALSE if it isn't an
   authentic record of this place: nothing is appended then. The caller wipes
   items, which are as confidential as the message. */
bool cache_record_open(const struct cache_key *key,
		       const struct cache_record_place *place,
		       const void *record, size_t size, buffer_t *items)
	ATTR_WARN_UNUSED_RESULT;

/* What the items are about. The numbers stand in files: they never change. */
enum cache_item_type {
	/* A byte of CACHE_SEAL_*, and unless it's plain, the state of the store
	   (mail/unsealing.h), 8 bytes, and struct age_istream_known */
	CACHE_ITEM_SEAL = 1,
	/* The strings of Dovecot's cache, each with a NUL behind it. */
	CACHE_ITEM_ENVELOPE = 2,
	CACHE_ITEM_BODY = 3,
	CACHE_ITEM_BODYSTRUCTURE = 4,
	CACHE_ITEM_SNIPPET = 5,
	/* message_part_serialize() */
	CACHE_ITEM_PARTS = 6,
	/* Numbers: seconds, size, MAIL_CACHE_FLAG_* of index-mail.h */
	CACHE_ITEM_RECEIVED_DATE = 7,
	/* 8 is not used. */
	CACHE_ITEM_VIRTUAL_SIZE = 9,
	CACHE_ITEM_PHYSICAL_SIZE = 10,
	CACHE_ITEM_FLAGS = 11,
	/* See cache/header.h. */
	CACHE_ITEM_HEADER = 12,
	CACHE_ITEM_ABSENT_HEADERS = 13,
	/* Two numbers: seconds, and minutes east of UTC plus 1440 */
	CACHE_ITEM_SENT_DATE = 14,
	/* See cache/ranks.h; not of a message. */
	CACHE_ITEM_RANKS = 15,

	CACHE_ITEM_TYPE_COUNT = 16
};

/* The message was sealed to the recipient of then. */
#define CACHE_SEAL_CURRENT 0x01
/* It was sealed once, and isn't any more. */
#define CACHE_SEAL_PLAIN 0x02

struct cache_item {
	enum cache_item_type type;
	const unsigned char *data;
	size_t size;
};

/* Append an item. */
void cache_item_add(buffer_t *items, enum cache_item_type type,
		    const void *data, size_t size);
/* Append a string's item, with its NUL. */
void cache_item_add_str(buffer_t *items, enum cache_item_type type,
			const char *str);
/* Append one of a number. */
void cache_item_add_number(buffer_t *items, enum cache_item_type type,
			   uint64_t number);

/* Take the next item from *data, of *size bytes, and move these past it.
   Returns 1 and item_r, whose data point there; 0 at the end; -1 if there is
   none, as what follows isn't one. */
int cache_item_next(const unsigned char **data, size_t *size,
		    struct cache_item *item_r) ATTR_WARN_UNUSED_RESULT;
/* The string of an item. NULL if it isn't one. */
const char *cache_item_str(const struct cache_item *item);
/* The number of an item of one. FALSE if it isn't one. */
bool cache_item_number(const struct cache_item *item, uint64_t *number_r)
	ATTR_WARN_UNUSED_RESULT;

/* Numbers within data. */
void cache_number_add(buffer_t *dest, uint64_t number);
/* Take a number from *data, of *size bytes, and move these past it. FALSE if
   there is none of up to 64 bits, in its only spelling. */
bool cache_number_next(const unsigned char **data, size_t *size,
		       uint64_t *number_r) ATTR_WARN_UNUSED_RESULT;

#endif
