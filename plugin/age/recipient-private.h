/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_RECIPIENT_PRIVATE_H
#define AGE_RECIPIENT_PRIVATE_H

#include "age/recipient.h"

/* What the kinds of recipients share: all of them seal the file key with
   ChaCha20-Poly1305 under a wrap key that serves only once, hence with a nonce
   of zeros. Sizes are bytes. */

#define AGE_WRAP_KEY_SIZE 32
/* The file key and its tag. */
#define AGE_WRAPPED_SIZE (AGE_FILE_KEY_SIZE + 16)

/* A stanza allocated from pool. args is a list of strings, ending in NULL; the
   body is the sealed file key. */
void age_wrap_stanza(pool_t pool, const char *const *args,
		     const uint8_t wrap_key[AGE_WRAP_KEY_SIZE],
		     const uint8_t file_key[AGE_FILE_KEY_SIZE],
		     struct age_stanza *stanza_r);
/* Open a body, whose size was checked by age_wrap_check(). Returns FALSE if
   wrap_key doesn't open it; file_key_r is then zeroed. */
bool age_wrap_open(const uint8_t wrap_key[AGE_WRAP_KEY_SIZE],
		   const struct age_stanza *stanza,
		   uint8_t file_key_r[AGE_FILE_KEY_SIZE])
	ATTR_WARN_UNUSED_RESULT;

/* Whether the stanza has as many arguments, with the type, as it must have, and
   a body of the size of a sealed file key. Returns 1; 0 if it is of another
   type; -1 and error_r. */
int age_wrap_check(const struct age_stanza *stanza, const char *type,
		   unsigned int args_count, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* base64 of exactly size bytes, canonical. */
bool age_wrap_parse_bytes(const char *arg, uint8_t *data_r, size_t size)
	ATTR_WARN_UNUSED_RESULT;
/* A decimal number without sign or leading zeros, 1 or more. A number that is
   too large for the result gives UINT32_MAX, which is beyond every limit. */
bool age_wrap_parse_number(const char *arg, uint32_t *number_r)
	ATTR_WARN_UNUSED_RESULT;
/* base64 from the data stack. */
const char *age_wrap_print_bytes(const uint8_t *data, size_t size);

#endif
