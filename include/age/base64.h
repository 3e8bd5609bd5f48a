/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_BASE64_H
#define AGE_BASE64_H

/* Base 64 of RFC 4648, section 4, without padding and in its one canonical
   spelling, as the age specification demands. Dovecot's own codec accepts
   other spellings, hence this one. Sizes are bytes. */

/* Characters that size bytes become. */
#define AGE_BASE64_ENCODED_SIZE(size) (((size) * 4 + 2) / 3)
/* Bytes that chars characters become, if they are canonical. */
#define AGE_BASE64_DECODED_SIZE(chars) ((chars) * 3 / 4)

/* Append the encoding of data to dest. */
void age_base64_encode(const uint8_t *data, size_t size, string_t *dest);
/* Decode exactly chars characters into data_r, which has room for
   AGE_BASE64_DECODED_SIZE(chars) bytes. Returns FALSE on any character that is
   not of the alphabet, on padding, on a length that no data has and on
   leftover bits that aren't zero; data_r is then undefined. */
bool age_base64_decode(const char *src, size_t chars, uint8_t *data_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
