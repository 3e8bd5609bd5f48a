/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CACHE_KEY_PRIVATE_H
#define CACHE_KEY_PRIVATE_H

#include "crypto/xaead.h"
#include "cache/key.h"

struct cache_key {
	uint8_t key[XAEAD_KEY_SIZE];
	guid_128_t mailbox_guid;
	char name[2 * 8 + 1];
};

#endif
