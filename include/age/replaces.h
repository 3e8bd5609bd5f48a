/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_REPLACES_H
#define AGE_REPLACES_H

#include "crypto/hash.h"
#include "age/x25519.h"

/* A stanza of ours beside those of the recipients, by which a file that was
   rewritten tells which one it stands in the place of:

	-> mail-seal/replaces
	old header's hash (32 bytes) | tag (32 bytes), base64

   The tag is HMAC-SHA-256 of the hash, with a key that HKDF-SHA-256 derives from
   the identity's secret key and the file key as salt: it is made by who has the
   identity, and is good for this file alone. It wraps no key, and other programs
   pass over it (C2SP age.md, "Recipient stanza"). */

struct age_replaces {
	/* First: a recipient for age_header_seal(). */
	struct age_recipient recipient;
	const struct age_x25519_identity *identity;
	/* hash_blake2b() of header and nonce */
	uint8_t old_hash[HASH_SIZE];
};

/* Neither is copied: the identity must live as long. */
void age_replaces_init(struct age_replaces *replaces,
		       const struct age_x25519_identity *identity,
		       const uint8_t old_hash[HASH_SIZE]);

/* TRUE if a stanza of the header says that it replaces the one of old_hash, and
   has the identity's tag. */
bool age_replaces_verify(const struct age_header *header,
			 const struct age_x25519_identity *identity,
			 const uint8_t file_key[AGE_FILE_KEY_SIZE],
			 const uint8_t old_hash[HASH_SIZE])
	ATTR_WARN_UNUSED_RESULT;

#endif
