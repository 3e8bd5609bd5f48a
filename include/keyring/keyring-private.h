/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_KEYRING_PRIVATE_H
#define KEYRING_KEYRING_PRIVATE_H

#include "keyring/keyring.h"
#include "array.h"
#include "crypto/kdf.h"

/* What the files of this layer share. Sizes are bytes. */

#define KEYRING_VERSION_LINE KEYRING_MAGIC "1"
#define KEYRING_DATE_FORMAT "%Y-%m-%dT%H:%M:%SZ"
#define KEYRING_SLOT_PREFIX "slot:"
#define KEYRING_SLOTS_NONE "none"
#define KEYRING_END "end"
#define KEYRING_METHOD_X25519 "x25519"
/* What a slot is listed by, and its base 64. */
#define KEYRING_DIGEST_SIZE 16
#define KEYRING_DIGEST_CHARS AGE_BASE64_ENCODED_SIZE(KEYRING_DIGEST_SIZE)

struct keyring_digest {
	uint8_t data[KEYRING_DIGEST_SIZE];
};

/* What becomes of a header line when the keyring is written anew. */
enum keyring_line_kind {
	/* Kept: the version, comments, names that aren't known. */
	KEYRING_LINE_KEPT,
	KEYRING_LINE_RECIPIENT,
	/* Made anew. */
	KEYRING_LINE_DERIVED
};

struct keyring_line {
	enum keyring_line_kind kind;
	/* With its LF. */
	size_t offset, size;
};

/* Where a slot stands in the text. */
struct keyring_place {
	/* Comments and empty lines before it begin here. */
	size_t gap_offset;
	size_t offset, size;
};

struct keyring {
	pool_t pool;
	/* As it was parsed: writing is to give this back. */
	const char *text;
	size_t size;
	/* All before the first slot line. */
	size_t header_size;
	/* Behind the last slot; and the line "end", if there is one. */
	size_t slots_end_offset, end_offset;
	/* The mac line, with its LF; of size 0 if there is none. */
	size_t mac_offset, mac_size;
	uint8_t mac[KDF_HMAC_SIZE];
	/* There is a list of slots. */
	bool has_list;

	ARRAY(struct keyring_digest) list;
	ARRAY(struct keyring_line) lines;
	ARRAY(struct age_x25519_recipient) recipients;
	ARRAY(struct keyring_earlier) earlier;
	ARRAY(struct keyring_slot) slots;
	ARRAY(struct keyring_place) places;
};

/* The line that is parsed; see keyring-text.c. */
struct keyring_parser {
	struct keyring *keyring;
	/* All lines of the text, without their LF. Ends with a NULL. */
	const char *const *lines;
	/* The current line, and where in the text it begins. */
	unsigned int idx;
	size_t offset;
};

/* Set error_r to "line N: …" and return -1. */
int keyring_parse_error(const struct keyring_parser *parser,
			const char **error_r, const char *format, ...)
	ATTR_FORMAT(3, 4);
/* Parse the current line, which isn't a comment, as "name: value". Returns 0, or
   -1 and error_r. */
int keyring_header_parse_line(struct keyring_parser *parser,
			      enum keyring_line_kind *kind_r,
			      const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* TRUE if the text is a keyring of a later version, as far as can be told. */
bool keyring_version_is_later(const char *text, size_t size);
bool keyring_date_is_valid(const char *date);
/* The date of now, from the data stack. */
const char *keyring_date_now(void);

/* What a slot of this text is listed by. */
void keyring_digest(const char *slot_text, struct keyring_digest *digest_r);

/* Add one slot to counts. */
void keyring_count_slot(const struct keyring_slot *slot,
			struct keyring_slot_counts *counts);

/* The mac over a header without its mac line. */
void keyring_mac(const struct age_x25519_identity *identity,
		 const void *header, size_t size, uint8_t mac_r[KDF_HMAC_SIZE]);
/* Check what is written in the header against the current identity. Returns 0,
   or -1 and error_r if there is no mac, if it doesn't fit, or if the first
   recipient is another one's. */
int keyring_verify(const struct keyring *keyring,
		   const struct age_x25519_identity *identity,
		   const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* The one of these identities whose recipient this is; NULL if none. */
const struct age_x25519_identity *
keyring_find_identity(const struct age_identities *identities,
		      const struct age_x25519_recipient *recipient);
/* Gather the current identity and the earlier ones that the keyring names.
   Returns 0 and the new set; -1 and error_r if one is missing in identities.
   The first of these has been verified. */
int keyring_select_identities(const struct keyring *keyring,
			      const struct age_identities *identities,
			      struct age_identities **identities_r,
			      const char **error_r) ATTR_WARN_UNUSED_RESULT;

/* Parse a slot line without its LF; the strings are allocated from pool.
   Neither line, listed, text nor armor are set. Returns 0, or -1 and error_r. */
int keyring_slot_parse(pool_t pool, const char *line,
		       struct keyring_slot *slot_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* Append name="value" with a space before it. */
void keyring_slot_append_attribute(string_t *dest, const char *name,
				   const char *value);
/* Append all attributes of the slot's line as they are, but for this one. */
void keyring_slot_copy_attributes(const struct keyring_slot *slot,
				  const char *except, string_t *dest);

/* What unlocking may cost at most in all: KiB of memory times passes over
   it. */
#define KEYRING_MAX_WORK \
	((uint64_t)AGE_ARGON2ID_MAX_MEMORY_KIB * AGE_ARGON2ID_MAX_PASSES)

/* TRUE if it is a slot that keyring_slot_open_password() can try. */
bool keyring_slot_takes_password(const struct keyring_slot *slot);
/* TRUE if it is a slot that keyring_slot_open_identities() can try. */
bool keyring_slot_takes_identity(const struct keyring_slot *slot);
/* What trying a password slot costs. Returns 0, or -1 and error_r. */
int keyring_slot_work(const struct keyring_slot *slot, uint64_t *work_r,
		      const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Returns 1 and the identities, which the caller frees; 0 if the secret is not
   the one of this slot; -1 and error_r if it is damaged or would cost more than
   *work_left, from which its cost is subtracted. */
int keyring_slot_open_password(const struct keyring_slot *slot,
			       const char *secret, uint64_t *work_left,
			       struct age_identities **identities_r,
			       const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* The same with the first count of the identities in keys. */
int keyring_slot_open_identities(const struct keyring_slot *slot,
				 const struct age_identities *keys,
				 unsigned int count,
				 struct age_identities **identities_r,
				 const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Append an armored age file whose content are these identities; earlier, one
   for each but the first, says until when they were current. Returns 0, or -1
   and error_r; dest is then unchanged. */
int keyring_slot_seal(const struct age_identities *identities,
		      const struct keyring_earlier *earlier,
		      const struct age_recipient *recipient,
		      string_t *dest, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
