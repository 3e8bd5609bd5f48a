/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_KEYRING_H
#define KEYRING_KEYRING_H

#include "age/keyfile.h"

/* A keyring: the per-user record of the recipient that new mail is sealed to,
   and of the identities, wrapped in slots. It is a small text that a person
   can read:

     mail-seal keyring 1
     recipient: age1…
     earlier: age1… 2026-11-23T10:00:00Z
     slots: BASE64 BASE64 …
     mac: BASE64
     slot: password argon2id 2026-11-23T10:00:00Z label="phone"
     -----BEGIN AGE ENCRYPTED FILE-----
     …
     -----END AGE ENCRYPTED FILE-----
     slot: recovery x25519 2026-11-23T10:00:00Z recipient="age1…"
     …
     end

   - Lines end in LF alone. There are no control characters but tabs.
   - The header is every line before the first slot line: the version, then
     "name: value" lines in any order. At least one recipient, each an X25519
     one: mail must not be sealed to fewer than the keyring asks for because
     this version knows only some of them. Names that it doesn't know are kept
     when the text is written again, and ignored; so are empty lines and lines
     that begin with '#', here and between slots.
   - "earlier" names the recipient of an identity that was current until that
     date, the latest first: what the slots hold beside the current one.
   - "slots" lists the slots that were written here, each by the base 64 (no
     padding) of the first 16 bytes of the SHA-256 of its text, from the slot
     line to the LF of the armor's last line; or it is "none". A keyring that
     has this line ends in the line "end", so that one that was cut short
     between two slots is noticed. A slot may be removed by hand. One that isn't
     in the list was damaged or put there by someone else: it may open the
     keyring, but nothing is wrapped to it, and no change is made before it is
     removed. A keyring without this line is of an earlier version; its first
     change adds it.
   - A slot line has the words KIND METHOD DATE, then any number of
     name="value", where '"' and '\' have a '\' before them. One armored age
     file follows. Kinds and names that this version doesn't know are kept and
     ignored. There is at least one slot, unless "slots" says none.
   - A slot's content is an age identity file: the current identity first, then
     every earlier one; comments say what they are.
   - label="…" is a name for the person. recipient="age1…" stands in slots whose
     method is x25519: their content is sealed to this recipient, which age
     itself doesn't show. With it they are written anew after a rotation,
     without the recovery code or the escrow identity.
   - Kinds: "password"; "recovery" and "escrow"; and "link", which nobody was
     given, for slots that a rotation could not write anew because their secret
     was not at hand. Those are marked with identity="age1…", the recipient of
     the identity that they still hold in the first place; the content of the
     link slot is sealed to that recipient. Whoever opens the marked slot opens
     the link slot next and has all identities; the first one who unlocks with
     the secret of the marked slot writes it anew. So whoever knows the earlier
     identity can get the new one as long as slots are marked: remove them after
     a rotation that was made because an identity leaked.
   - The mac makes an exchanged recipient be noticed when the keyring is
     unlocked. It is the base 64 (no padding) of
       HMAC-SHA-256(key, all lines of the header but the mac line)
       key = HKDF-SHA-256(secret key of the current identity, 32 bytes;
                          empty salt; info "mail-seal/keyring")
     each line with its LF, from the first byte of the text on. The first
     recipient is that of the current identity.

   This module knows the text; where it is kept is the store's business, and how
   it is changed stands in edit.h. Needs crypto_init(). */

#define KEYRING_MAGIC "mail-seal keyring "
#define KEYRING_VERSION 1
/* A larger text is refused before it is parsed. */
#define KEYRING_MAX_SIZE (1024 * 1024)
/* More recipients than this are refused: every message carries a stanza for
   each. */
#define KEYRING_MAX_RECIPIENTS 64
#define KEYRING_MAX_SLOTS 255
#define KEYRING_MAX_EARLIER 255
/* Bytes of a label, which is never empty. */
#define KEYRING_MAX_LABEL_SIZE 100
/* Password slots that are tried, and the highest base-two logarithm of the work
   factor of those that are scrypt. Argon2id has its limits in age/argon2id.h.
   All slots that are tried may together cost as much as a single Argon2id slot
   may, and no more: a login must not be stalled by planted slots. */
#define KEYRING_MAX_PASSWORD_SLOTS 16
#define KEYRING_MAX_SCRYPT_LOG_N 18

enum keyring_slot_kind {
	KEYRING_SLOT_PASSWORD,
	KEYRING_SLOT_RECOVERY,
	KEYRING_SLOT_ESCROW,
	KEYRING_SLOT_LINK,
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
	/* To whom the content is sealed, "age1…"; NULL if that isn't told. */
	const char *recipient;
	/* A rotation could not write this slot anew: it still holds the
	   identity of this recipient in the first place. Else NULL. */
	const char *identity;
	/* FALSE if the keyring has a list of slots and this one isn't in it. */
	bool listed;
	/* The text of the slot: the slot line, and the armored age file that
	   follows it, which armor points to. */
	const char *text, *armor;
};

/* How many slots there are of each kind. */
struct keyring_slot_counts {
	unsigned int password, recovery, escrow, link, unknown;
	/* How many of them a rotation could not write anew. */
	unsigned int marked;
	/* How many of them are not listed. */
	unsigned int unlisted;
};

struct keyring_earlier {
	struct age_x25519_recipient recipient;
	/* Until when it was current, as written. */
	const char *until;
};

/* Costs of a password slot, for new ones within the limits of
   age/argon2id.h. */
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
   Argon2id). Takes as long as the costs say. For other slots see edit.h. */
int keyring_create(const char *secret, const struct keyring_costs *costs,
		   struct keyring **keyring_r,
		   struct age_identities **identities_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* The idx of an opened keyring that no slot was needed for. */
#define KEYRING_NO_SLOT UINT_MAX

struct keyring_opened {
	/* The current one first, then the earlier ones that the keyring names;
	   if it has no list of slots, all that were found. The caller frees. */
	struct age_identities *identities;
	/* The slot that opened, as counted by keyring_slots(). */
	unsigned int slot_idx;
	/* This slot doesn't hold just these identities, since its secret was
	   not at hand when they changed: replace it
	   (keyring_edit_set_password()) while the secret is here. */
	bool outdated;
};

/* Try the secret on the password slots, in their order. Returns 1 and the
   identities as soon as a slot opens, with a link slot if need be, and the mac
   and the first recipient fit its current identity; 0 if the secret opens none
   (error_r then says "no password slot" or "wrong password for N slots"); -1
   and error_r if none opens and one of them is damaged, too expensive, or opens
   and does not fit: then nothing in the keyring is to be believed. opened_r is
   zeroed unless 1 is returned. Takes as long as the costs of the slots say. */
int keyring_open_password(const struct keyring *keyring, const char *secret,
			  struct keyring_opened *opened_r,
			  const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Open with identities: a recovery code, an escrow identity, or those of the
   keyring itself, which open it without a slot. Returns likewise; 0 and error_r
   ("none of N slots is for this identity") if nothing fits; -1 and error_r also
   if the current identity was given without an earlier one that the keyring
   names, which no slot holds for it: error_r says which. */
int keyring_open_identities(const struct keyring *keyring,
			    const struct age_identities *keys,
			    struct keyring_opened *opened_r,
			    const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* keyring_open_password() for those who only read. */
int keyring_unlock(const struct keyring *keyring, const char *secret,
		   struct age_identities **identities_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* TRUE if these identities, current one first, are the ones of the keyring: a
   cheap check that it is still the one that was opened, for the verify callback
   of keyring_store_update(). */
bool keyring_fits(const struct keyring *keyring,
		  const struct age_identities *identities)
	ATTR_WARN_UNUSED_RESULT;

/* What new mail is to be sealed to: one or more, never none. Valid as long as
   the keyring. */
const struct age_x25519_recipient *
keyring_recipients(const struct keyring *keyring, unsigned int *count_r);
/* The identities that are kept beside the current one. */
const struct keyring_earlier *
keyring_earlier(const struct keyring *keyring, unsigned int *count_r);
const struct keyring_slot *
keyring_slots(const struct keyring *keyring, unsigned int *count_r);
void keyring_count(const struct keyring *keyring,
		   struct keyring_slot_counts *counts_r);

/* What opening a password slot costs. Returns 1; 0 if it isn't an Argon2id
   slot; -1 and error_r if it is damaged or beyond the limits. */
int keyring_slot_costs(const struct keyring_slot *slot,
		       struct keyring_costs *costs_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Characters of a secret, without the final NUL. */
#define KEYRING_SECRET_CHARS 64
/* The secret of a password, as the passdb hands it on: its SHA-256 in lower case
   hex. The caller wipes secret_r. */
void keyring_secret_of(const char *password,
		       char secret_r[KEYRING_SECRET_CHARS + 1]);
/* TRUE if str is a secret as the passdb hands it on: exactly 64 hex digits in
   lower case. */
bool keyring_secret_is_valid(const char *str) ATTR_WARN_UNUSED_RESULT;
/* Returns 0 if str can be the label of a slot: 1 to KEYRING_MAX_LABEL_SIZE bytes
   of UTF-8 without control characters. Else -1 and error_r. */
int keyring_label_check(const char *str, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
