/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "age/chunk.h"
#include "age/small-file.h"
#include "crypto/secret.h"

static void append_payload(const uint8_t file_key[AGE_FILE_KEY_SIZE],
			   const uint8_t *plain, size_t size, buffer_t *dest)
{
	uint8_t nonce[AGE_PAYLOAD_NONCE_SIZE], key[AGE_PAYLOAD_KEY_SIZE];
	struct age_chunk_cipher *cipher;
	uint8_t *sealed;

	secret_random(nonce, sizeof(nonce));
	buffer_append(dest, nonce, sizeof(nonce));
	sealed = buffer_append_space_unsafe(dest, size + AGE_CHUNK_TAG_SIZE);

	age_payload_key(file_key, nonce, key);
	cipher = age_chunk_cipher_init(key);
	secret_wipe(key, sizeof(key));
	age_chunk_seal(cipher, 0, AGE_CHUNK_LAST, plain, size, sealed);
	age_chunk_cipher_deinit(&cipher);
}

int age_small_file_seal(const struct age_recipient *const *recipients,
			unsigned int count,
			const uint8_t *plain, size_t size,
			buffer_t *dest, const char **error_r)
{
	uint8_t file_key[AGE_FILE_KEY_SIZE];
	int ret;

	i_assert(size <= AGE_SMALL_FILE_MAX_SIZE);
	secret_random(file_key, sizeof(file_key));
	ret = age_header_seal(recipients, count, file_key, dest, NULL,
			      error_r);
	if (ret == 0)
		append_payload(file_key, plain, size, dest);
	secret_wipe(file_key, sizeof(file_key));
	return ret;
}

/* Everything that can be checked before a secret exists. */
static int check_sizes(const struct age_header *header, size_t data_size,
		       size_t *size_r, const char **error_r)
{
	uint64_t plain_size;

	if (!age_payload_plain_size(data_size - header->size, &plain_size)) {
		*error_r = t_strdup_printf(
			"The payload has %zu bytes, which no payload can have: "
			"it is cut off or damaged", data_size - header->size);
		return -1;
	}
	if (plain_size > AGE_SMALL_FILE_MAX_SIZE) {
		*error_r = t_strdup_printf(
			"The payload holds %"PRIu64" bytes instead of %u "
			"at most", plain_size, AGE_SMALL_FILE_MAX_SIZE);
		return -1;
	}
	*size_r = plain_size;
	return 0;
}

static bool open_payload(const uint8_t file_key[AGE_FILE_KEY_SIZE],
			 const uint8_t *payload, size_t plain_size,
			 uint8_t *plain_r)
{
	uint8_t key[AGE_PAYLOAD_KEY_SIZE];
	struct age_chunk_cipher *cipher;
	bool opened;

	age_payload_key(file_key, payload, key);
	cipher = age_chunk_cipher_init(key);
	secret_wipe(key, sizeof(key));
	opened = age_chunk_open(cipher, 0, AGE_CHUNK_LAST,
				payload + AGE_PAYLOAD_NONCE_SIZE,
				plain_size + AGE_CHUNK_TAG_SIZE, plain_r);
	age_chunk_cipher_deinit(&cipher);
	return opened;
}

static int small_file_open(const struct age_header *header,
			   const uint8_t *data, size_t data_size,
			   const struct age_identity *const *identities,
			   unsigned int count,
			   uint8_t **plain_r, size_t *size_r,
			   const char **error_r)
{
	uint8_t file_key[AGE_FILE_KEY_SIZE];
	void *plain;
	bool opened;
	int ret;

	if (check_sizes(header, data_size, size_r, error_r) < 0)
		return -1;
	ret = age_header_open(header, identities, count, file_key, error_r);
	if (ret <= 0)
		return ret;
	/* one more for the NUL */
	plain = secret_alloc(*size_r + 1);
	opened = open_payload(file_key, data + header->size, *size_r, plain);
	secret_wipe(file_key, sizeof(file_key));
	if (!opened) {
		secret_free(&plain);
		*error_r = "The payload isn't authentic: it is damaged";
		return -1;
	}
	*plain_r = plain;
	return 1;
}

int age_small_file_open(const uint8_t *data, size_t data_size,
			const struct age_identity *const *identities,
			unsigned int count,
			uint8_t **plain_r, size_t *size_r,
			const char **error_r)
{
	struct age_header header;
	pool_t pool;
	int ret;

	*plain_r = NULL;
	*size_r = 0;
	pool = pool_alloconly_create("age small file", 1024);
	ret = age_header_parse(pool, data, data_size, &header, error_r);
	if (ret == 0) {
		*error_r = "The header is cut off";
		ret = -1;
	} else if (ret > 0) {
		ret = small_file_open(&header, data, data_size,
				      identities, count, plain_r, size_r,
				      error_r);
	}
	pool_unref(&pool);
	return ret;
}
