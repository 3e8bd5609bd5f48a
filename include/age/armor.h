/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_ARMOR_H
#define AGE_ARMOR_H

/* The ASCII armor of age files (C2SP age.md, "ASCII armor"): strict PEM of RFC
   7468 with the label AGE ENCRYPTED FILE. Works line by line, so that a file of
   any size can be read in little memory. Sizes are bytes. */

#define AGE_ARMOR_BEGIN "-----BEGIN AGE ENCRYPTED FILE-----"
#define AGE_ARMOR_END "-----END AGE ENCRYPTED FILE-----"
/* Bytes that one full line of 64 characters carries. */
#define AGE_ARMOR_LINE_SIZE 48

/* State of a decoder; initialise with zeros. */
struct age_armor_decoder {
	/* Lines seen, counting also white space before the first one. */
	unsigned int line;
	bool begun, short_line, ended;
};

/* Feed the next line, without its line end (LF or CRLF). Bytes that it carries
   are written to data_r, which has room for AGE_ARMOR_LINE_SIZE. Returns 0, or
   -1 and error_r with the number of the line. Once decoder->ended is set only
   lines of white space are accepted. The caller refuses an input that ends
   while ended is not set. */
int age_armor_decode_line(struct age_armor_decoder *decoder,
			  const char *line, size_t line_size,
			  uint8_t data_r[AGE_ARMOR_LINE_SIZE],
			  size_t *data_size_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Decode a whole armored file in memory. Returns 0, or -1 and error_r; dest
   then holds what was decoded before. */
int age_armor_decode(const char *text, size_t size, buffer_t *dest,
		     const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Append the armored form of data, all lines ending in LF. */
void age_armor_encode(const uint8_t *data, size_t size, string_t *dest);

#endif
