/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_RECIPIENT_H
#define AGE_RECIPIENT_H

#include "age/header.h"

/* The two interfaces that every kind of key implements: a recipient wraps a
   file key into a stanza, an identity unwraps it. "Not for me" is a result of
   its own, not an error. */

struct age_recipient {
	/* What error texts call this kind, e.g. "X25519". */
	const char *kind;
	/* Wrap file_key into a stanza allocated from pool. Returns 0, or -1
	   and error_r (a low-order recipient, no memory for a password hash).*/
	int (*wrap)(const struct age_recipient *recipient, pool_t pool,
		    const uint8_t file_key[AGE_FILE_KEY_SIZE],
		    struct age_stanza *stanza_r, const char **error_r);
	/* TRUE if the stanza must be the only one of its header. */
	bool alone;
};

struct age_identity {
	const char *kind;
	/* Unwrap the file key from one stanza of the header. Returns 1 and
	   file_key_r, which the caller wipes; 0 if the stanza isn't of this
	   kind or isn't for this identity; -1 and error_r if it is of this
	   kind and malformed, so that the header must be rejected. */
	int (*unwrap)(const struct age_identity *identity,
		      const struct age_header *header,
		      const struct age_stanza *stanza,
		      uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		      const char **error_r);
};

/* Wrap file_key to each recipient and append the header to dest. A recipient
   that must be alone is refused beside others. If mac_r isn't NULL the MAC is
   written there too. Returns 0, or -1 and error_r; dest is then unchanged. */
int age_header_seal(const struct age_recipient *const *recipients,
		    unsigned int count,
		    const uint8_t file_key[AGE_FILE_KEY_SIZE],
		    buffer_t *dest, uint8_t *mac_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Try the identities in their order on all stanzas. Returns 1 and file_key_r,
   which the caller wipes, once the header's MAC was verified; 0 if no identity
   opens it; -1 and error_r if a stanza is malformed, a stanza that must be
   alone isn't, or the MAC is wrong. Stanzas behind the one that opens aren't
   looked at: the MAC vouches for them. file_key_r is zeroed unless 1 is
   returned. */
int age_header_open(const struct age_header *header,
		    const struct age_identity *const *identities,
		    unsigned int count,
		    uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		    const char **error_r) ATTR_WARN_UNUSED_RESULT;

#endif
