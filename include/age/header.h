/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_HEADER_H
#define AGE_HEADER_H

/* The textual header of an age file (C2SP age.md, "Header"): a version line,
   stanzas that each wrap the file key, and a MAC. This module parses, writes
   and authenticates; it knows no kind of stanza. Parsing accepts exactly what
   the ABNF allows, so that what is parsed and written again is the same bytes.
   Sizes are bytes. */

#define AGE_VERSION_LINE "age-encryption.org/v1"
/* Every age file of any version begins with this. */
#define AGE_MAGIC "age-encryption.org/"
#define AGE_MAGIC_SIZE (sizeof(AGE_MAGIC) - 1)

#define AGE_FILE_KEY_SIZE 16
#define AGE_HEADER_MAC_SIZE 32
/* A header that is larger is refused before it is read whole: room for about
   two thousand X25519 stanzas. */
#define AGE_HEADER_MAX_SIZE (256 * 1024)

/* One stanza: arguments, of which the first is its type, and a body. */
struct age_stanza {
	const char *const *args;
	unsigned int args_count;
	const uint8_t *body;
	size_t body_size;
};

struct age_header {
	const struct age_stanza *stanzas;
	unsigned int stanzas_count;
	uint8_t mac[AGE_HEADER_MAC_SIZE];
	/* The whole header including its last line feed. The payload's nonce
	   follows. */
	size_t size;
	/* The bytes that the MAC covers: up to and including "---". */
	const uint8_t *authenticated;
	size_t authenticated_size;
};

/* Parse the header at the start of data, of which more may follow. Everything
   in header_r is allocated from pool, nothing points into data.
   Returns 1 if parsed; 0 if all of data is a correct beginning and more is
   needed (a caller at the end of its file takes this for a truncated header);
   -1 and error_r if it is malformed, of another version, or larger than
   AGE_HEADER_MAX_SIZE. The error says what was found at which line and what
   the specification wants.

   Wrong bytes are noticed as soon as they come, and nothing is allocated before
   the header is whole. But each call starts anew: a caller that gets 0 calls
   again with twice as much, or at the end, not with every byte. */
int age_header_parse(pool_t pool, const uint8_t *data, size_t size,
		     struct age_header *header_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Append a header with these stanzas, and the MAC under file_key, to dest. If
   mac_r isn't NULL the MAC is written there too. */
void age_header_write(const struct age_stanza *stanzas, unsigned int count,
		      const uint8_t file_key[AGE_FILE_KEY_SIZE],
		      buffer_t *dest, uint8_t *mac_r);

/* TRUE if the header's MAC is the one that file_key gives. */
bool age_header_verify(const struct age_header *header,
		       const uint8_t file_key[AGE_FILE_KEY_SIZE])
	ATTR_WARN_UNUSED_RESULT;

#endif
