/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STREAM_ISTREAM_AGE_H
#define STREAM_ISTREAM_AGE_H

#include "crypto/hash.h"
#include "age/chunk.h"

/* The plaintext of one age file, as a seekable stream over the stream of the
   file. Any position can be sought: only the chunks that are read are opened.
   Sizes and offsets are bytes.

   - No byte leaves a chunk that has not been authenticated, whatever the reader
     asks for and wherever it stops. End of file comes after the last chunk
     only, and the last chunk must carry its mark.
   - The parent must be seekable to seek backwards (or for partial reads); its
     buffer grows to one sealed chunk at most. The plaintext buffer is one
     chunk, wiped when the stream is destroyed.
   - One read hands out at most max_buffer_size, at first that of the parent;
     i_stream_set_max_buffer_size() sets it for this stream alone. Where it is
     AGE_CHUNK_SIZE or more, one read gives the rest of a chunk.
   - get_size and stat give the plaintext's size, computed from the file's. With
     exact=TRUE the last chunk is authenticated first. The size is not known
     where the parent's isn't, nor exactly where the parent can't be sought.
   - Failures set stream_errno and i_stream_get_error(): EINVAL for anything
     that is wrong with the file, the parent's errno for anything that is wrong
     with reading it. i_stream_age_failure() tells them apart. After a failure
     the stream stays failed, also when it is sought. */

enum age_istream_failure {
	AGE_ISTREAM_OK,
	/* The header is malformed, of another version, or its MAC is wrong. */
	AGE_ISTREAM_BAD_HEADER,
	/* The header is well-formed and no identity opens it. */
	AGE_ISTREAM_NO_IDENTITY,
	/* The payload is damaged, cut or continued. */
	AGE_ISTREAM_BAD_PAYLOAD,
	/* The parent failed. */
	AGE_ISTREAM_IO
};

/* Called once, with the parsed header, when the first byte is wanted. Returns
   as age_header_open() does: 1 and the file key after verifying the header's
   MAC, 0 if there is no identity for it, -1 and error_r. The stream wipes the
   key. error_r may be set with 0 too, to say more than "no identity". */
typedef int age_istream_open_key_t(const struct age_header *header,
				   uint8_t file_key_r[AGE_FILE_KEY_SIZE],
				   const char **error_r, void *context);

/* References input. context must live as long as the stream, or until the
   first read returned. */
struct istream *i_stream_create_age(struct istream *input,
				    age_istream_open_key_t *open_key,
				    void *context);

/* What is remembered of a file that was opened before: the hash of its header
   and its payload's nonce (BLAKE2b, 32 bytes), and the payload's key, which is a
   secret. */
struct age_istream_known {
	uint8_t header_hash[HASH_SIZE];
	uint8_t payload_key[AGE_PAYLOAD_KEY_SIZE];
};

/* If the header's hash turns out to be the known one, bit by bit it is the
   header that was verified then: take the key, and don't call open_key. Before
   the first read; known is copied, and the copy wiped with the stream. */
void i_stream_age_set_known(struct istream *input,
			    const struct age_istream_known *known);
/* The hash and the key of a stream whose header was opened, to be remembered:
   the caller wipes known_r. Returns FALSE if it wasn't opened. */
bool i_stream_age_get_known(struct istream *input,
			    struct age_istream_known *known_r);
/* The hash alone, which is no secret. NULL if the header wasn't opened. It lives
   until the stream is closed. */
const uint8_t *i_stream_age_header_hash(struct istream *input);

/* Deliver a whole authentic chunk also where a file was cut or continued right
   after it, and fail behind it. For programs that save what can be saved: by
   default the stream fails before such a chunk, so that a reader who stops at
   the size it knows learns of the damage. */
void i_stream_age_set_rescue(struct istream *input);

/* Authenticate the whole file from the first to the last chunk, without moving
   the stream. For readers that must promise all bytes before they send the
   first; costs as much as reading. input is blocking and seekable. Returns 0,
   or -1 with the stream failed as if it had been read. */
int i_stream_age_verify(struct istream *input) ATTR_WARN_UNUSED_RESULT;

/* What kind of failure the stream has come to, if any. input is a stream of
   i_stream_create_age(), not a filter above it. */
enum age_istream_failure i_stream_age_failure(struct istream *input);

/* Look whether the stream, at its beginning, starts as an age file of whatever
   version. Reads no further than it must and leaves the offset where it was.
   Returns 1 if so, 0 if not (also if it ends before), -1 if reading failed
   (stream_errno is set). Not for nonblocking streams. */
int i_stream_starts_as_age(struct istream *input) ATTR_WARN_UNUSED_RESULT;
/* Look likewise whether a stored message is sealed, rather than plain: also
   where damage has changed its first line, or left nothing behind it. */
int i_stream_is_sealed_mail(struct istream *input) ATTR_WARN_UNUSED_RESULT;

#endif
