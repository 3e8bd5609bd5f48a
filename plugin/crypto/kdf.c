/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

#include <sodium.h>

#define SCRYPT_R 8
#define SCRYPT_P 1

/* HMAC of two pieces of data, of which either may be empty. */
static void hmac(const void *key, size_t key_size,
		 const void *data, size_t size,
		 const void *tail, size_t tail_size,
		 uint8_t mac_r[KDF_HMAC_SIZE])
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, key_size);
	crypto_auth_hmacsha256_update(&state, data, size);
	crypto_auth_hmacsha256_update(&state, tail, tail_size);
	crypto_auth_hmacsha256_final(&state, mac_r);
	secret_wipe(&state, sizeof(state));
}

void kdf_hkdf_sha256(const void *secret, size_t secret_size,
		     const void *salt, size_t salt_size,
		     const char *info, uint8_t key_r[KDF_KEY_SIZE])
{
	/* the counter of the first, and here only, block of output */
	static const uint8_t first = 1;
	uint8_t extracted[KDF_HMAC_SIZE];

	hmac(salt, salt_size, secret, secret_size, "", 0, extracted);
	hmac(extracted, sizeof(extracted), info, strlen(info),
	     &first, sizeof(first), key_r);
	secret_wipe(extracted, sizeof(extracted));
}

void kdf_hmac_sha256(const uint8_t key[KDF_KEY_SIZE],
		     const void *data, size_t size,
		     uint8_t mac_r[KDF_HMAC_SIZE])
{
	hmac(key, KDF_KEY_SIZE, data, size, "", 0, mac_r);
}

int kdf_argon2id(const void *secret, size_t secret_size,
		 const uint8_t salt[KDF_ARGON2ID_SALT_SIZE],
		 uint32_t memory_kib, uint32_t passes,
		 uint8_t key_r[KDF_KEY_SIZE])
{
	i_assert(passes >= crypto_pwhash_argon2id_OPSLIMIT_MIN);
	i_assert(memory_kib >= crypto_pwhash_argon2id_MEMLIMIT_MIN / 1024);

	/* maps its memory and unmaps it again: none stays in the heap */
	return crypto_pwhash_argon2id(key_r, KDF_KEY_SIZE,
				      secret, secret_size, salt, passes,
				      (size_t)memory_kib * 1024,
				      crypto_pwhash_argon2id_ALG_ARGON2ID13);
}

int kdf_scrypt(const void *secret, size_t secret_size,
	       const void *salt, size_t salt_size, unsigned int log_n,
	       uint8_t key_r[KDF_KEY_SIZE])
{
	i_assert(log_n > 0 && log_n < 32);

	return crypto_pwhash_scryptsalsa208sha256_ll(
		secret, secret_size, salt, salt_size,
		(uint64_t)1 << log_n, SCRYPT_R, SCRYPT_P,
		key_r, KDF_KEY_SIZE);
}
