/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_KEYFILE_H
#define AGE_KEYFILE_H

#include "age/x25519.h"

/* The text of an identity file, as age-keygen writes it: one identity a line,
   empty lines and lines that begin with '#' in between. The caller reads the
   file; both the text and the result are secrets. */

struct age_identities;

/* An empty set. */
struct age_identities *age_identities_init(void);
/* Wipe and free all, and set *identities to NULL. */
void age_identities_deinit(struct age_identities **identities);

/* Append a copy; the caller keeps and wipes its own. */
void age_identities_add(struct age_identities *identities,
			const struct age_x25519_identity *identity);
/* Append every identity of the text, in order. Lines end in LF or CRLF. Returns
   0, or -1 and error_r with the number of the line (an identity of an unknown
   kind, a wrong checksum, no identity at all); nothing is then added. The text
   is not changed and not kept. */
int age_identities_parse(struct age_identities *identities,
			 const char *text, size_t size, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

unsigned int age_identities_count(const struct age_identities *identities);
/* The idx'th, in the order in which they were added. Valid until the set is
   freed, also when more are added. */
const struct age_x25519_identity *
age_identities_get(const struct age_identities *identities, unsigned int idx);
/* All of them for age_header_open(). Valid until something is added. */
const struct age_identity *const *
age_identities_list(const struct age_identities *identities,
		    unsigned int *count_r);

#endif
