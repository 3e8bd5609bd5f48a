/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H

/* Keys from keys (HKDF, HMAC) and keys from passwords (Argon2id, scrypt). All
   results are secrets of fixed size that the caller wipes. Sizes are bytes
   unless the name says KiB. */

#define KDF_KEY_SIZE 32
#define KDF_HMAC_SIZE 32
#define KDF_ARGON2ID_SALT_SIZE 16

/* HKDF-SHA-256, RFC 5869: extract with salt, expand with info to 32 bytes. */
void kdf_hkdf_sha256(const void *secret, size_t secret_size,
		     const void *salt, size_t salt_size,
		     const char *info, uint8_t key_r[KDF_KEY_SIZE]);
/* HMAC-SHA-256, RFC 2104. */
void kdf_hmac_sha256(const uint8_t key[KDF_KEY_SIZE],
		     const void *data, size_t size,
		     uint8_t mac_r[KDF_HMAC_SIZE]);

/* Argon2id version 0x13, RFC 9106, with one lane. memory_kib is at least 8,
   passes at least 1; the caller has checked both against its own upper limit.
   The memory goes back to the system before this returns. Returns 0, or -1 if
   there isn't that much memory. */
int kdf_argon2id(const void *secret, size_t secret_size,
		 const uint8_t salt[KDF_ARGON2ID_SALT_SIZE],
		 uint32_t memory_kib, uint32_t passes,
		 uint8_t key_r[KDF_KEY_SIZE]) ATTR_WARN_UNUSED_RESULT;
/* scrypt, RFC 7914, with N = 2^log_n, r = 8, p = 1. Needs 2^log_n KiB. Returns
   0, or -1 if there isn't that much memory. */
int kdf_scrypt(const void *secret, size_t secret_size,
	       const void *salt, size_t salt_size, unsigned int log_n,
	       uint8_t key_r[KDF_KEY_SIZE]) ATTR_WARN_UNUSED_RESULT;

#endif
