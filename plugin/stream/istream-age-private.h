/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ISTREAM_AGE_PRIVATE_H
#define ISTREAM_AGE_PRIVATE_H

#include "istream-private.h"
#include "age/chunk.h"
#include "stream/istream-age.h"

/* What the parts of the stream share: sealed.c reads the file from the parent,
   plain.c holds the plaintext, istream-age.c hands it to the reader. Functions
   that return int give 1 if done, 0 if the parent has no more input yet, and -1
   if the stream has failed, with everything set that tells why. */

struct age_plain;

struct age_istream {
	struct istream_private istream;

	age_istream_open_key_t *open_key;
	void *context;

	enum age_istream_failure failure;
	int failure_errno;

	/* What was known before, or NULL; then what is known now. */
	struct age_istream_known *known;
	/* NULL if there is none. */
	struct age_chunk_cache *cache;
	/* NULL until the header was opened. */
	struct age_chunk_cipher *cipher;
	/* The parent's offset of the first chunk. */
	uoff_t chunks_offset;
	/* The chunk that comes next where the parent can't be sought. */
	uint64_t next_index;

	/* The first plain_size bytes of the stream's buffer are the plaintext
	   from plain_offset on, also those that were skipped already. Not
	   valid while w_buffer is NULL. */
	struct age_plain *plain;
	uoff_t plain_offset;
	size_t plain_size;
	/* Set when a chunk was rescued: there is nothing to read behind it. */
	uoff_t damage_offset;

	bool rescue:1;
};

/* input is a stream of i_stream_create_age(). */
struct age_istream *age_istream_cast(struct istream *input);

/* Fail for good, with EINVAL or with the parent's error. Return -1. */
int age_istream_fail(struct age_istream *astream,
		     enum age_istream_failure failure, const char *fmt, ...)
	ATTR_FORMAT(3, 4);
int age_istream_fail_io(struct age_istream *astream);

/* known.c: room for what is known of this file; wiped at the end. */
struct age_istream_known *age_istream_known_init(struct age_istream *astream);
void age_istream_known_deinit(struct age_istream *astream);

/* Read and open the header, if that wasn't done yet. */
int age_istream_open_header(struct age_istream *astream)
	ATTR_WARN_UNUSED_RESULT;

/* Have the parent buffer a whole sealed chunk. size_r is 0 if the file ends
   before it; more_r tells if the file goes on after it. */
int age_istream_read_sealed(struct age_istream *astream, uint64_t index,
			    const unsigned char **sealed_r, size_t *size_r,
			    bool *more_r) ATTR_WARN_UNUSED_RESULT;
/* Open what was read. plain_r has room for size minus the tag. Sets
   cached_stream_size once the last chunk is authenticated. Never returns 0. */
int age_istream_open_chunk(struct age_istream *astream, uint64_t index,
			   const unsigned char *sealed, size_t size, bool more,
			   unsigned char *plain_r) ATTR_WARN_UNUSED_RESULT;

/* Put a chunk's plaintext behind what the reader has not skipped yet.
   found_r is FALSE if the file ends before it. */
int age_istream_load_chunk(struct age_istream *astream, uint64_t index,
			   bool *found_r) ATTR_WARN_UNUSED_RESULT;
/* Authenticate a chunk and leave the stream's buffer to its reader. */
int age_istream_check_chunk(struct age_istream *astream, uint64_t index,
			    bool *found_r) ATTR_WARN_UNUSED_RESULT;

/* The plaintext's size as the file's size tells it. Returns 0 if it doesn't. */
int age_istream_expect_size(struct age_istream *astream, bool exact,
			    uoff_t *size_r) ATTR_WARN_UNUSED_RESULT;

#endif
