/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "aead-private.h"
#include "pages.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#define SONAME_OF(version) "libcrypto.so." #version
#define SONAME(version) SONAME_OF(version)

/* What is used of OpenSSL, by the names that it has there. */
#define FUNCTION(name) __typeof__(name) *name
static struct {
	FUNCTION(OSSL_LIB_CTX_new);
	FUNCTION(EVP_CIPHER_fetch);
	FUNCTION(EVP_CIPHER_CTX_new);
	FUNCTION(EVP_CIPHER_CTX_free);
	FUNCTION(EVP_CIPHER_CTX_ctrl);
	FUNCTION(EVP_CipherInit_ex2);
	FUNCTION(EVP_CipherUpdate);
	FUNCTION(EVP_CipherFinal_ex);
} openssl;
#undef FUNCTION

static bool find_functions(void *library)
{
#define FIND(name) ((openssl.name = dlsym(library, #name)) != NULL)
	return FIND(OSSL_LIB_CTX_new) &&
		FIND(EVP_CIPHER_fetch) &&
		FIND(EVP_CIPHER_CTX_new) &&
		FIND(EVP_CIPHER_CTX_free) &&
		FIND(EVP_CIPHER_CTX_ctrl) &&
		FIND(EVP_CipherInit_ex2) &&
		FIND(EVP_CipherUpdate) &&
		FIND(EVP_CipherFinal_ex);
#undef FIND
}

static EVP_CIPHER_CTX *
create_context(EVP_CIPHER *cipher, const uint8_t key[AEAD_KEY_SIZE])
{
	EVP_CIPHER_CTX *ctx = openssl.EVP_CIPHER_CTX_new();

	if (ctx == NULL)
		i_fatal_status(FATAL_OUTOFMEM, "EVP_CIPHER_CTX_new() failed");
	/* the direction comes with each nonce */
	if (openssl.EVP_CipherInit_ex2(ctx, cipher, key, NULL, 1, NULL) != 1)
		i_panic("OpenSSL refuses a ChaCha20-Poly1305 key");
	return ctx;
}

static EVP_CIPHER *fetch_cipher(void)
{
	static const uint8_t no_key[AEAD_KEY_SIZE] = { 0 };
	/* A context of our own: what openssl.cnf says of providers is for TLS,
	   and must not keep anyone from their mail. Dovecot's own use of
	   OpenSSL in this process isn't touched either. */
	OSSL_LIB_CTX *libctx = openssl.OSSL_LIB_CTX_new();
	EVP_CIPHER *cipher;

	if (libctx == NULL)
		return NULL;
	cipher = openssl.EVP_CIPHER_fetch(libctx, "ChaCha20-Poly1305", NULL);
	if (cipher != NULL) {
		/* the first use still starts something */
		openssl.EVP_CIPHER_CTX_free(create_context(cipher, no_key));
	}
	return cipher;
}

/* Loading OpenSSL makes 4 MiB of it resident, three quarters of which serve
   only to start it (relocations, error strings, tables of all algorithms). They
   would stay so in a process that is small otherwise, hence what each step
   leaves is given back. If something else has loaded OpenSSL it is left alone:
   it may be in full use, and costs nothing more. */
static EVP_CIPHER *load_cipher(void)
{
	static const char soname[] = SONAME(OPENSSL_SHLIB_VERSION);
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
	bool loaded = library != NULL;
	EVP_CIPHER *cipher;

	if (!loaded) {
		library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
		if (library == NULL)
			return NULL;
		crypto_pages_release(soname);
	}
	if (!find_functions(library))
		return NULL;
	cipher = fetch_cipher();
	if (!loaded)
		crypto_pages_release(soname);
	return cipher;
}

/* Fetched once: it takes a thousand times longer than to use it. Neither it
   nor the library is freed before the process ends. */
static EVP_CIPHER *get_cipher(void)
{
	static EVP_CIPHER *cipher = NULL;
	static bool tried = FALSE;

	if (!tried) {
		cipher = load_cipher();
		tried = TRUE;
	}
	return cipher;
}

struct aead_openssl *aead_openssl_init(const uint8_t key[AEAD_KEY_SIZE])
{
	EVP_CIPHER *cipher = get_cipher();

	if (cipher == NULL)
		return NULL;
	return (struct aead_openssl *)create_context(cipher, key);
}

void aead_openssl_deinit(struct aead_openssl **_aead)
{
	EVP_CIPHER_CTX *ctx = (EVP_CIPHER_CTX *)*_aead;

	if (ctx == NULL)
		return;
	*_aead = NULL;
	/* wipes the key */
	openssl.EVP_CIPHER_CTX_free(ctx);
}

static void start(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, int encrypt)
{
	if (openssl.EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, encrypt,
				       NULL) != 1)
		i_panic("OpenSSL refuses a ChaCha20-Poly1305 nonce");
}

static void update(EVP_CIPHER_CTX *ctx, const uint8_t *src, size_t size,
		   uint8_t *dest)
{
	int done;

	if (openssl.EVP_CipherUpdate(ctx, dest, &done, src, (int)size) != 1 ||
	    (size_t)done != size)
		i_panic("OpenSSL fails in ChaCha20-Poly1305");
}

void aead_openssl_seal(struct aead_openssl *aead,
		       const uint8_t nonce[AEAD_NONCE_SIZE],
		       const uint8_t *plain, size_t size, uint8_t *sealed_r)
{
	EVP_CIPHER_CTX *ctx = (EVP_CIPHER_CTX *)aead;
	uint8_t *tag = sealed_r + size;
	int done;

	start(ctx, nonce, 1);
	update(ctx, plain, size, sealed_r);
	if (openssl.EVP_CipherFinal_ex(ctx, tag, &done) != 1 ||
	    openssl.EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG,
					AEAD_TAG_SIZE, tag) != 1)
		i_panic("OpenSSL gives no ChaCha20-Poly1305 tag");
}

bool aead_openssl_open(struct aead_openssl *aead,
		       const uint8_t nonce[AEAD_NONCE_SIZE],
		       const uint8_t *sealed, size_t size, uint8_t *plain_r)
{
	EVP_CIPHER_CTX *ctx = (EVP_CIPHER_CTX *)aead;
	uint8_t tag[AEAD_TAG_SIZE], none;
	int done;

	/* OpenSSL takes the tag as something it might write to */
	memcpy(tag, sealed + size, sizeof(tag));
	start(ctx, nonce, 0);
	if (openssl.EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG,
					sizeof(tag), tag) != 1)
		i_panic("OpenSSL refuses a ChaCha20-Poly1305 tag");
	update(ctx, sealed, size, plain_r);
	if (openssl.EVP_CipherFinal_ex(ctx, &none, &done) != 1) {
		secret_wipe(plain_r, size);
		return FALSE;
	}
	return TRUE;
}
