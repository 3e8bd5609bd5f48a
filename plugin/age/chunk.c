/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "age/chunk.h"
#include "crypto/aead.h"
#include "crypto/kdf.h"

/* The nonce: eleven bytes of counter, big-endian, then the mark. */
#define COUNTER_SIZE (AEAD_NONCE_SIZE - 1)

struct age_chunk_cipher {
	struct aead *aead;
};

void age_payload_key(const uint8_t file_key[AGE_FILE_KEY_SIZE],
		     const uint8_t nonce[AGE_PAYLOAD_NONCE_SIZE],
		     uint8_t key_r[AGE_PAYLOAD_KEY_SIZE])
{
	kdf_hkdf_sha256(file_key, AGE_FILE_KEY_SIZE,
			nonce, AGE_PAYLOAD_NONCE_SIZE, "payload", key_r);
}

struct age_chunk_cipher *
age_chunk_cipher_init(const uint8_t key[AGE_PAYLOAD_KEY_SIZE])
{
	struct age_chunk_cipher *cipher = i_new(struct age_chunk_cipher, 1);

	cipher->aead = aead_init(key);
	return cipher;
}

void age_chunk_cipher_deinit(struct age_chunk_cipher **_cipher)
{
	struct age_chunk_cipher *cipher = *_cipher;

	if (cipher == NULL)
		return;
	*_cipher = NULL;
	aead_deinit(&cipher->aead);
	i_free(cipher);
}

static void chunk_nonce(uint64_t index, enum age_chunk_position position,
			uint8_t nonce_r[AEAD_NONCE_SIZE])
{
	unsigned int i;

	memset(nonce_r, 0, AEAD_NONCE_SIZE);
	for (i = COUNTER_SIZE; index > 0; index >>= 8)
		nonce_r[--i] = index & 0xff;
	nonce_r[COUNTER_SIZE] = position == AGE_CHUNK_LAST ? 1 : 0;
}

/* Whether there can be a chunk of this size at this place. */
static bool chunk_size_is_valid(uint64_t index,
				enum age_chunk_position position, size_t size)
{
	if (position == AGE_CHUNK_MIDDLE)
		return size == AGE_CHUNK_SIZE;
	return size <= AGE_CHUNK_SIZE && (size > 0 || index == 0);
}

void age_chunk_seal(struct age_chunk_cipher *cipher, uint64_t index,
		    enum age_chunk_position position,
		    const uint8_t *plain, size_t size, uint8_t *sealed_r)
{
	uint8_t nonce[AEAD_NONCE_SIZE];

	i_assert(chunk_size_is_valid(index, position, size));
	chunk_nonce(index, position, nonce);
	aead_seal(cipher->aead, nonce, plain, size, sealed_r);
}

bool age_chunk_open(struct age_chunk_cipher *cipher, uint64_t index,
		    enum age_chunk_position position,
		    const uint8_t *sealed, size_t size, uint8_t *plain_r)
{
	uint8_t nonce[AEAD_NONCE_SIZE];

	if (size < AGE_CHUNK_TAG_SIZE ||
	    !chunk_size_is_valid(index, position, size - AGE_CHUNK_TAG_SIZE))
		return FALSE;
	chunk_nonce(index, position, nonce);
	return aead_open(cipher->aead, nonce, sealed, size, plain_r);
}

bool age_payload_plain_size(uint64_t payload_size, uint64_t *plain_size_r)
{
	uint64_t size, full_count, last_size;

	if (payload_size < AGE_PAYLOAD_NONCE_SIZE + AGE_CHUNK_TAG_SIZE)
		return FALSE;
	size = payload_size - AGE_PAYLOAD_NONCE_SIZE;
	full_count = size / AGE_CHUNK_SEALED_SIZE;
	last_size = size % AGE_CHUNK_SEALED_SIZE;
	if (last_size > 0) {
		/* only the first chunk may hold nothing but its tag */
		if (last_size < AGE_CHUNK_TAG_SIZE ||
		    (last_size == AGE_CHUNK_TAG_SIZE && full_count > 0))
			return FALSE;
		last_size -= AGE_CHUNK_TAG_SIZE;
	}
	*plain_size_r = full_count * AGE_CHUNK_SIZE + last_size;
	return TRUE;
}

uint64_t age_payload_sealed_size(uint64_t plain_size)
{
	uint64_t chunks_count = plain_size / AGE_CHUNK_SIZE;

	if (plain_size == 0 || plain_size % AGE_CHUNK_SIZE != 0)
		chunks_count++;
	return AGE_PAYLOAD_NONCE_SIZE + plain_size +
		chunks_count * AGE_CHUNK_TAG_SIZE;
}
