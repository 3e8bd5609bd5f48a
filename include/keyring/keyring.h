/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_KEYRING_H
#define KEYRING_KEYRING_H

#include "age/keyfile.h"

/* A keyring: the per-user record of the recipient that new mail is sealed to,
   and of the identities, wrapped in slots. It is a small text that a person
   can read:

     mail-seal keyring 1
     recipient: age1…
     mac: BASE64
     slot: password argon2id 2026-11-23T10:00:00Z
     -----BEGIN AGE ENCRYPTED FILE-----
     …
     -----END AGE ENCRYPTED FILE-----

   - Lines end in LF alone. There are no control characters but tabs.
   - The header is every line before the first slot line: the version, then
     "name: value" lines in any order. At least one recipient, each an X25519
     one: mail must not be sealed to fewer than the keyring asks for because
     this version knows only some of them. Names that it doesn't know are kept
     when the text is written again, and ignored; so are empty lines and lines
     that begin with '#', here and between slots.
   - A slot line has the words KIND METHOD DATE, then any number of
     name="value", where '"' and '\' have a '\' before them. One armored age
     file follows. There is at least one slot. Kinds and names that this
     version doesn't know are kept and ignored.
   - A slot's content is an age identity file: the current identity first, then
     every earlier one; comments say what they are.
   - The mac makes an exchanged recipient be noticed when the keyring is
     unlocked. It is the base 64 (no padding) of
       HMAC-SHA-256(key, all lines of the header but the mac line)
       key = HKDF-SHA-256(secret key of the current identity, 32 bytes;
                          empty salt; info "mail-seal/keyring")
     each line with its LF, from the first byte of the text on. The first
     recipient is that of the current identity.

   This module knows the text; where it is kept is the store's business. Needs
   crypto_init(). */

#define KEYRING_MAGIC "mail-seal keyring "
#define KEYRING_VERSION 1
/* A larger text is refused before it is parsed. */
#define KEYRING_MAX_SIZE (1024 * 1024)
/* More recipients than this are refused: every message carries a stanza for
   each. */
#define KEYRING_MAX_RECIPIENTS 64
/* Password slots that keyring_unlock() tries, and the highest base-two
   logarithm of the work factor of those that are scrypt. Argon2id has its
   limits in age/argon2id.h. All slots that are tried may together cost as much
   as a single Argon2id slot may, and no more: a login must not be stalled by
   planted slots. */
#define KEYRING_MAX_PASSWORD_SLOTS 16
#define KEYRING_MAX_SCRYPT_LOG_N 18

enum keyring_slot_kind {
	KEYRING_SLOT_PASSWORD,
	KEYRING_SLOT_RECOVERY,
	KEYRING_SLOT_ESCROW,
	/* Of a later version: kept and ignored. */
	KEYRING_SLOT_UNKNOWN
};

struct keyring_slot {
	enum keyring_slot_kind kind;
	/* The line of the text at which it begins, from 1 on. */
	unsigned int line;
	/* The words of the slot line, e.g. "password", "argon2id". */
	const char *kind_name, *method;
	/* As written, e.g. "2026-11-23T10:00:00Z". */
	const char *created;
	/* NULL if there is none. */
	const char *label;
	/* The armored age file, for slots of known and unknown kinds alike. */
	const char *armor;
};

/* Costs of a new password slot, within the limits of age/argon2id.h. */
struct keyring_costs {
	uint32_t memory_kib;
	uint32_t passes;
};

struct keyring;

/* Parse a text, which needn't end in a NUL. Returns 0, or -1 and error_r, which
   names the line and what was expected ("line 1: format of version 2, this
   program reads version 1: …", "line 9: ends within slot 1", …). A keyring
   without a mac is parsed, so that mail can be delivered, but not unlocked. */
int keyring_parse(const char *text, size_t size, struct keyring **keyring_r,
		  const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Append the text. A keyring that was parsed and not changed gives the same
   bytes. */
void keyring_write(const struct keyring *keyring, string_t *dest);
/* Free and set *keyring to NULL. A keyring holds no open secret. */
void keyring_free(struct keyring **keyring);

/* A new keyring with a new identity and one password slot. secret is the 64
   hex digits of the password's SHA-256. Returns 0, the keyring and the open
   identities (one), which the caller frees; or -1 and error_r (no memory for
   Argon2id). Takes as long as the costs say. */
int keyring_create(const char *secret, const struct keyring_costs *costs,
		   struct keyring **keyring_r,
		   struct age_identities **identities_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Try the secret on the password slots, in their order. Returns 1 and the
   identities, current one first, which the caller frees, as soon as a slot
   opens and the mac and the first recipient fit its current identity; 0 if the
   secret opens none (error_r then says "no password slot" or "wrong password
   for N slots"); -1 and error_r if none opens and one of them is damaged, too
   expensive, or opens and does not fit: then nothing in the keyring is to be
   believed. Takes as long as the costs of the slots say. */
int keyring_unlock(const struct keyring *keyring, const char *secret,
		   struct age_identities **identities_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* What new mail is to be sealed to: one or more, never none. Valid as long as
   the keyring. */
const struct age_x25519_recipient *
keyring_recipients(const struct keyring *keyring, unsigned int *count_r);
const struct keyring_slot *
keyring_slots(const struct keyring *keyring, unsigned int *count_r);

/* TRUE if str is a secret as the passdb hands it on: exactly 64 hex digits in
   lower case. */
bool keyring_secret_is_valid(const char *str) ATTR_WARN_UNUSED_RESULT;

#endif
