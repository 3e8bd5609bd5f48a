/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_KEYRING_PRIVATE_H
#define KEYRING_KEYRING_PRIVATE_H

#include "keyring/keyring.h"
#include "array.h"
#include "crypto/kdf.h"

/* What the files of this layer share. Sizes are bytes. */

struct keyring {
	pool_t pool;
	/* As it was parsed: writing is to give this back. */
	const char *text;
	size_t size;
	/* All before the first slot line. */
	size_t header_size;
	/* The mac line in it, with its LF; of size 0 if there is none. */
	size_t mac_offset, mac_size;
	uint8_t mac[KDF_HMAC_SIZE];

	ARRAY(struct age_x25519_recipient) recipients;
	ARRAY(struct keyring_slot) slots;
};

/* The mac over a header without its mac line. */
void keyring_mac(const struct age_x25519_identity *identity,
		 const void *header, size_t size, uint8_t mac_r[KDF_HMAC_SIZE]);
/* Check what is written in the header against the current identity. Returns 0,
   or -1 and error_r if there is no mac, if it doesn't fit, or if the first
   recipient is another one's. */
int keyring_verify(const struct keyring *keyring,
		   const struct age_x25519_identity *identity,
		   const char **error_r) ATTR_WARN_UNUSED_RESULT;

/* Parse a slot line without its LF; the strings are allocated from pool.
   Neither line nor armor are set. Returns 0, or -1 and error_r. */
int keyring_slot_parse(pool_t pool, const char *line,
		       struct keyring_slot *slot_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* What unlocking may cost at most in all: KiB of memory times passes over
   it. */
#define KEYRING_MAX_WORK \
	((uint64_t)AGE_ARGON2ID_MAX_MEMORY_KIB * AGE_ARGON2ID_MAX_PASSES)

/* TRUE if it is a slot that keyring_slot_open_password() can try. */
bool keyring_slot_takes_password(const struct keyring_slot *slot);
/* Append a password slot whose content is this identity: the slot line and the
   armored file. Returns 0, or -1 and error_r; dest is then unchanged. */
int keyring_slot_write_password(const struct age_x25519_identity *identity,
				const char *secret,
				const struct keyring_costs *costs,
				string_t *dest, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* Returns 1 and the identities, which the caller frees; 0 if the secret is not
   the one of this slot; -1 and error_r if it is damaged or would cost more than
   *work_left, from which its cost is subtracted. */
int keyring_slot_open_password(const struct keyring_slot *slot,
			       const char *secret, uint64_t *work_left,
			       struct age_identities **identities_r,
			       const char **error_r) ATTR_WARN_UNUSED_RESULT;

#endif
