/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "crypto/secret.h"
#include "cache/record.h"
#include "key-private.h"

#define RECORD_VERSION 1
#define RECORD_HEADER_SIZE (1 + XAEAD_NONCE_SIZE)
#define RECORD_OVERHEAD (RECORD_HEADER_SIZE + XAEAD_TAG_SIZE)
#define RECORD_PADDING 64

/* What is authenticated with the items. */
struct record_ad {
	guid_128_t mailbox_guid;
	uint8_t uid_validity[4], uid[4];
	uint8_t version, slot;
};
_Static_assert(sizeof(struct record_ad) == 26, "record_ad has holes");

static void put_uint32(uint8_t dest[4], uint32_t number)
{
	dest[0] = number >> 24;
	dest[1] = number >> 16;
	dest[2] = number >> 8;
	dest[3] = number;
}

static void
make_ad(const struct cache_key *key, const struct cache_record_place *place,
	struct record_ad *ad_r)
{
	guid_128_copy(ad_r->mailbox_guid, key->mailbox_guid);
	put_uint32(ad_r->uid_validity, place->uid_validity);
	put_uint32(ad_r->uid, place->uid);
	ad_r->version = RECORD_VERSION;
	ad_r->slot = place->slot;
}

void cache_record_seal(const struct cache_key *key,
		       const struct cache_record_place *place,
		       const void *items, size_t size, buffer_t *dest)
{
	size_t padded = (size + RECORD_PADDING - 1) / RECORD_PADDING *
		RECORD_PADDING;
	struct record_ad ad;
	uint8_t *record, *sealed;

	make_ad(key, place, &ad);
	record = buffer_append_space_unsafe(dest, RECORD_OVERHEAD + padded);
	sealed = record + RECORD_HEADER_SIZE;
	record[0] = RECORD_VERSION;
	secret_random(record + 1, XAEAD_NONCE_SIZE);
	memcpy(sealed, items, size);
	memset(sealed + size, 0, padded - size);
	xaead_seal(key->key, record + 1, &ad, sizeof(ad), sealed, padded,
		   sealed);
}

bool cache_record_open(const struct cache_key *key,
		       const struct cache_record_place *place,
		       const void *_record, size_t size, buffer_t *items)
{
	const uint8_t *record = _record;
	size_t old_size = items->used;
	struct record_ad ad;
	uint8_t *plain;

	if (size < RECORD_OVERHEAD || record[0] != RECORD_VERSION)
		return FALSE;
	make_ad(key, place, &ad);
	plain = buffer_append_space_unsafe(items, size - RECORD_OVERHEAD);
	if (xaead_open(key->key, record + 1, &ad, sizeof(ad),
		       record + RECORD_HEADER_SIZE, size - RECORD_HEADER_SIZE,
		       plain))
		return TRUE;
	buffer_set_used_size(items, old_size);
	return FALSE;
}
