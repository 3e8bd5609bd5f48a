/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_ARGON2ID_H
#define AGE_ARGON2ID_H

#include "age/recipient.h"

/* A stanza of our own for password slots of keyrings, in the manner of age's
   scrypt stanza but cheap enough for a login:

     -> mail-seal/argon2id SALT T M
     BODY

   SALT is 16 bytes of base64, T the number of passes, M the memory in KiB, both
   in decimal without leading zeros. wrap key = Argon2id(secret, SALT, T, M, one
   lane, 32 bytes); BODY = ChaCha20-Poly1305(wrap key, file key) with a nonce of
   zeros. Like scrypt it must be the only stanza of its header. */

#define AGE_ARGON2ID_TYPE "mail-seal/argon2id"

/* What is accepted on opening; a file that asks for more or less is refused
   before any work is done. */
#define AGE_ARGON2ID_MIN_MEMORY_KIB (8 * 1024)
#define AGE_ARGON2ID_MAX_MEMORY_KIB (1024 * 1024)
#define AGE_ARGON2ID_MIN_PASSES 1
#define AGE_ARGON2ID_MAX_PASSES 16

struct age_argon2id_recipient {
	struct age_recipient recipient;
	/* Not copied: the caller keeps it while the recipient is in use. */
	const char *secret;
	uint32_t passes;
	uint32_t memory_kib;
};

struct age_argon2id_identity {
	struct age_identity identity;
	/* Not copied, likewise. */
	const char *secret;
};

/* passes and memory_kib must lie within the limits above. */
void age_argon2id_recipient_init(struct age_argon2id_recipient *recipient_r,
				 const char *secret,
				 uint32_t passes, uint32_t memory_kib);
void age_argon2id_identity_init(struct age_argon2id_identity *identity_r,
				const char *secret);

/* Read the costs of an argon2id stanza without doing any work. Returns 1; 0 if
   the stanza is of another kind; -1 and error_r if it is malformed or a cost is
   beyond the limits. */
int age_argon2id_costs(const struct age_stanza *stanza,
		       uint32_t *passes_r, uint32_t *memory_kib_r,
		       const char **error_r) ATTR_WARN_UNUSED_RESULT;

#endif
