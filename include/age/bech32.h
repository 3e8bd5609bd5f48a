/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_BECH32_H
#define AGE_BECH32_H

/* Bech32 of BIP 173 without its limit on the length of the data, as the age
   specification uses it for recipients and identities. Since identities are
   secrets, results go to memory of the caller and nothing is kept elsewhere.
   Sizes are bytes. */

/* Characters of an encoding, without the final NUL. */
#define AGE_BECH32_ENCODED_SIZE(hrp_size, data_size) \
	((hrp_size) + 1 + ((data_size) * 8 + 4) / 5 + 6)

/* Write the encoding and a NUL to str_r, which has room for both. A hrp in
   upper case gives a string in upper case. */
void age_bech32_encode(const char *hrp, const uint8_t *data, size_t size,
		       char *str_r);
/* Decode str, whose human-readable part must be hrp and whose data must be
   exactly size bytes. hrp is given in the case in which str has to be written
   (the age specification: lower case for recipients, upper for identities).
   Returns 0, or -1 and error_r, which names what is wrong (wrong prefix, mixed
   case, a character that is not of the alphabet and its position, a wrong
   checksum, a wrong length) and never repeats the string; data_r is then
   zeroed. */
int age_bech32_decode(const char *str, const char *hrp,
		      uint8_t *data_r, size_t size, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
