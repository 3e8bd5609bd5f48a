/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_X25519_H
#define AGE_X25519_H

#include "age/recipient.h"

/* The X25519 recipient type (C2SP age.md, "The X25519 recipient type"). */

#define AGE_X25519_KEY_SIZE 32
/* Characters of "age1…" and "AGE-SECRET-KEY-1…", without the final NUL. */
#define AGE_X25519_RECIPIENT_CHARS 62
#define AGE_X25519_IDENTITY_CHARS 74

struct age_x25519_recipient {
	/* First, so that a pointer to it is one to the whole. */
	struct age_recipient recipient;
	uint8_t key[AGE_X25519_KEY_SIZE];
};

/* A secret: lives in secret_alloc() memory and is freed with secret_free().
   Holds its own public key, which halves the cost of opening. */
struct age_x25519_identity {
	struct age_identity identity;
	uint8_t secret[AGE_X25519_KEY_SIZE];
	uint8_t public[AGE_X25519_KEY_SIZE];
};

/* Parse "age1…". Returns 0, or -1 and error_r. */
int age_x25519_recipient_parse(const char *str,
			       struct age_x25519_recipient *recipient_r,
			       const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* "age1…" from the data stack: it is not a secret. */
const char *
age_x25519_recipient_str(const struct age_x25519_recipient *recipient);
/* The same of several, separated by spaces. */
const char *
age_x25519_recipients_str(const struct age_x25519_recipient *recipients,
			  unsigned int count);

/* Parse "AGE-SECRET-KEY-1…" and compute the public key. Returns 0, or -1 and
   error_r, which does not repeat the string; identity_r is then zeroed. */
int age_x25519_identity_parse(const char *str,
			      struct age_x25519_identity *identity_r,
			      const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* A new identity from the system's randomness. */
void age_x25519_identity_generate(struct age_x25519_identity *identity_r);
/* From the raw secret key, which the caller keeps and wipes. */
void age_x25519_identity_from_secret(const uint8_t secret[AGE_X25519_KEY_SIZE],
				     struct age_x25519_identity *identity_r);
/* "AGE-SECRET-KEY-1…" and a NUL. The caller wipes str_r. */
void age_x25519_identity_str(const struct age_x25519_identity *identity,
			     char str_r[AGE_X25519_IDENTITY_CHARS + 1]);
/* The recipient of this identity. */
void age_x25519_identity_recipient(const struct age_x25519_identity *identity,
				   struct age_x25519_recipient *recipient_r);

#endif
