/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_CHUNK_H
#define AGE_CHUNK_H

#include "age/header.h"

/* The age payload (C2SP age.md, "Payload"): a nonce, then a row of chunks, each
   sealed with ChaCha20-Poly1305 under the payload key. The chunk's nonce counts
   the chunks and marks the last one, so chunks cannot be swapped, repeated or
   cut off without being noticed. One call handles one chunk, at any index.
   Files and recipients are not known here. Sizes are bytes. */

/* Plaintext bytes in every chunk but the last, which may hold fewer. */
#define AGE_CHUNK_SIZE (64 * 1024)
#define AGE_CHUNK_TAG_SIZE 16
#define AGE_CHUNK_SEALED_SIZE (AGE_CHUNK_SIZE + AGE_CHUNK_TAG_SIZE)
/* The nonce between the header and the first chunk. */
#define AGE_PAYLOAD_NONCE_SIZE 16
#define AGE_PAYLOAD_KEY_SIZE 32

enum age_chunk_position {
	AGE_CHUNK_MIDDLE = 0,
	AGE_CHUNK_LAST = 1
};

struct age_chunk_cipher;

/* The key of a payload, from the file key and the payload's nonce. The caller
   wipes it. */
void age_payload_key(const uint8_t file_key[AGE_FILE_KEY_SIZE],
		     const uint8_t nonce[AGE_PAYLOAD_NONCE_SIZE],
		     uint8_t key_r[AGE_PAYLOAD_KEY_SIZE]);

/* The caller keeps its copy of the key and wipes it. */
struct age_chunk_cipher *
age_chunk_cipher_init(const uint8_t key[AGE_PAYLOAD_KEY_SIZE]);
/* Wipe the key, free the cipher and set *cipher to NULL. */
void age_chunk_cipher_deinit(struct age_chunk_cipher **cipher);

/* Seal the chunk of this index. size is AGE_CHUNK_SIZE unless it is the last
   one; the last one is empty only if it is also the first. sealed_r has room
   for size + AGE_CHUNK_TAG_SIZE and may be plain. */
void age_chunk_seal(struct age_chunk_cipher *cipher, uint64_t index,
		    enum age_chunk_position position,
		    const uint8_t *plain, size_t size, uint8_t *sealed_r);

/* Open the chunk of this index; plain_r has room for size minus the tag and
   does not overlap sealed. Returns FALSE if the chunk isn't authentic at this
   place or its size is one that no chunk of this position has (empty last
   chunk after others): plain_r then holds no plaintext. */
bool age_chunk_open(struct age_chunk_cipher *cipher, uint64_t index,
		    enum age_chunk_position position,
		    const uint8_t *sealed, size_t size, uint8_t *plain_r)
	ATTR_WARN_UNUSED_RESULT;

/* The plaintext's size, of a payload of payload_size bytes (nonce included).
   Returns FALSE if no payload has this size. */
bool age_payload_plain_size(uint64_t payload_size, uint64_t *plain_size_r)
	ATTR_WARN_UNUSED_RESULT;
/* The other way: nonce and chunks of plain_size bytes. */
uint64_t age_payload_sealed_size(uint64_t plain_size);

#endif
