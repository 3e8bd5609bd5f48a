/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_FILE_H
#define AGE_FILE_H

#include "age/chunk.h"

/* Age files for tests, made without the streams that are tested, and a parent
   stream that is as awkward as one can be. */

extern const uint8_t age_file_key[AGE_FILE_KEY_SIZE];

/* size bytes that don't repeat and are the same in every run. Newlines are
   among them. */
uint8_t *age_file_plain(size_t size);
/* Append a header with one stanza, whose body has body_size bytes. */
void age_file_header(buffer_t *dest, size_t body_size);
/* Append one sealed chunk. */
void age_file_chunk(buffer_t *dest, uint64_t index,
		    enum age_chunk_position position,
		    const uint8_t *plain, size_t size);
/* Append a whole file. Returns the size of its header and nonce. */
size_t age_file_seal(buffer_t *dest, const uint8_t *plain, size_t size);

/* For i_stream_create_age(). context is NULL or an unsigned int that counts the
   calls. */
int age_file_open_key(const struct age_header *header,
		      uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		      const char **error_r, void *context);

struct dribble_set {
	/* Most bytes that one read gives; 0: all that fit the buffer. */
	size_t step;
	/* Every other read gives nothing. */
	bool pause;
	bool unseekable;
	/* Neither stat nor get_size know the size. */
	bool unsized;
	/* What get_size says if not exact; 0: the size. */
	uoff_t size_guess;
	/* Reading from here on fails with EIO; 0: never. */
	uoff_t fail_offset;
	size_t max_buffer_size;
	/* Counted: bytes that were read, highest offset, largest buffer. */
	uoff_t bytes_read, high_offset;
	size_t high_buffer_size;
};

/* A stream over data. set and data must live as long as it. */
struct istream *i_stream_create_dribble(struct dribble_set *set,
					const void *data, size_t size);

#endif
