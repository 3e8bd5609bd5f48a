/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include "guid.h"
#include "age/x25519.h"

/* The key that seals what is cached of one mailbox's messages: derived from an
   identity of its owner and the mailbox's GUID (HKDF-SHA-256, RFC 5869), so that
   nothing has to be kept, and whoever has the identity has it. */

struct cache_key;

/* The caller keeps its identity. */
struct cache_key *cache_key_init(const struct age_x25519_identity *identity,
				 const guid_128_t mailbox_guid);
/* Wipe, free and set *key to NULL. */
void cache_key_deinit(struct cache_key **key);

/* What tells fields of this key from those of other mailboxes and identities: 16
   hex digits. It is no secret, and says nothing of the key. */
const char *cache_key_name(const struct cache_key *key);

#endif
