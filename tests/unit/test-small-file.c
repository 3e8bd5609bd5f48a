/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "test-common.h"
#include "age/chunk.h"
#include "age/small-file.h"
#include "age/x25519.h"
#include "crypto/secret.h"
#include "hex.h"

/* Made with Python for the secret of 32 times 0x42; the stock age opens it. */
#define HEADER \
	"age-encryption.org/v1\n" \
	"-> X25519 Z13VdO13iTELPS52gfN5C0ZsdzsVIf7PNld5WDcepS8\n" \
	"CDQTZMz/cyLVoEo+akXDqYCu4A/7UHJ+vcxkdwcmut0\n" \
	"--- eXxz/JGSeCcCayQzY3/SeI9YE8Joc1rzt13teqyHiDw\n"
#define PAYLOAD \
	"202122232425262728292a2b2c2d2e2f" \
	"1ae6af48444745d428602491c5acb0714fa1b7bdd5a1f699a2d115"

static struct age_x25519_identity id42, id43;
static const struct age_identity *const list42[] = { &id42.identity };
static const struct age_identity *const list43[] = { &id43.identity };

static buffer_t *known_file(void)
{
	buffer_t *file = buffer_create_dynamic(default_pool, 256);

	buffer_append(file, HEADER, strlen(HEADER));
	hex_append(file, PAYLOAD);
	return file;
}

static void free_plain(uint8_t **plain)
{
	void *secret = *plain;

	secret_free(&secret);
	*plain = NULL;
}

/* Open, expecting a failure, which must give nothing. */
static bool is_refused(const void *data, size_t size, const char **error_r)
{
	uint8_t *plain = (uint8_t *)"x";
	size_t plain_size = 1;
	int ret;

	*error_r = NULL;
	ret = age_small_file_open(data, size, list42, 1, &plain, &plain_size,
				  error_r);
	return ret == -1 && *error_r != NULL && plain == NULL;
}

static void test_small_file_known(void)
{
	buffer_t *file = known_file();
	const char *error;
	uint8_t *plain;
	size_t size;

	test_begin("small file: known answer");
	test_assert(age_small_file_open(file->data, file->used, list42, 1,
					&plain, &size, &error) == 1);
	test_assert(size == 11 && memcmp(plain, "Hello, age!", 12) == 0);
	free_plain(&plain);
	test_assert(age_small_file_open(file->data, file->used, list43, 1,
					&plain, &size, &error) == 0);
	test_assert(plain == NULL);
	buffer_free(&file);
	test_end();
}

static void test_small_file_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, 65535, 65536 };
	uint8_t *data = i_malloc(AGE_SMALL_FILE_MAX_SIZE), *plain;
	struct age_x25519_recipient recipient;
	const struct age_recipient *list[] = { &recipient.recipient };
	buffer_t *file = buffer_create_dynamic(default_pool, 256);
	const char *error;
	unsigned int i;
	size_t size;

	age_x25519_identity_recipient(&id42, &recipient);
	secret_random(data, AGE_SMALL_FILE_MAX_SIZE);
	for (i = 0; i < N_ELEMENTS(sizes); i++) {
		test_begin(t_strdup_printf("small file: %zu bytes", sizes[i]));
		buffer_set_used_size(file, 0);
		buffer_append(file, "before", 6);
		test_assert(age_small_file_seal(list, 1, data, sizes[i], file,
						&error) == 0);
		test_assert(memcmp(file->data, "before", 6) == 0);
		test_assert(age_small_file_open(
			CONST_PTR_OFFSET(file->data, 6), file->used - 6,
			list42, 1, &plain, &size, &error) == 1);
		test_assert(size == sizes[i]);
		test_assert(memcmp(plain, data, size) == 0);
		test_assert(plain[size] == '\0');
		free_plain(&plain);
		test_end();
	}
	buffer_free(&file);
	i_free(data);
}

static void test_small_file_damage(void)
{
	buffer_t *file = known_file();
	uint8_t *data = buffer_get_modifiable_data(file, NULL), *plain, *copy;
	const char *error;
	size_t bit, size;
	int ret;

	test_begin("small file: flip every bit");
	for (bit = 0; bit < file->used * 8; bit++) {
		data[bit / 8] ^= 1 << bit % 8;
		ret = age_small_file_open(data, file->used, list42, 1, &plain,
					  &size, &error);
		/* damage to the stanza may make it another's */
		test_assert_idx(ret < 0 ||
				(ret == 0 && bit / 8 < strlen(HEADER)), bit);
		test_assert_idx(plain == NULL, bit);
		data[bit / 8] ^= 1 << bit % 8;
	}
	test_end();

	test_begin("small file: cut at every length");
	for (size = 0; size < file->used; size++) {
		copy = i_malloc(I_MAX(size, 1));
		memcpy(copy, data, size);
		test_assert_idx(is_refused(copy, size, &error), size);
		i_free(copy);
	}
	test_end();

	test_begin("small file: bytes behind it");
	for (size = 1; size <= 100; size++) {
		buffer_append_c(file, 0);
		test_assert_idx(is_refused(file->data, file->used, &error),
				size);
	}
	buffer_free(&file);
	test_end();
}

static void test_small_file_errors(void)
{
	static const struct {
		const char *name;
		/* Bytes behind the header. */
		size_t payload_size;
		const char *error;
	} tests[] = {
		{ "no payload", 0, "The payload has 0 bytes, which no payload "
		  "can have: it is cut off or damaged" },
		{ "tag cut off", 31, "The payload has 31 bytes, which no "
		  "payload can have: it is cut off or damaged" },
		{ "junk", 40, "The payload isn't authentic: it is damaged" },
		{ "two chunks, the last empty", 16 + 65552 + 16,
		  "The payload has 65584 bytes, which no payload can have: "
		  "it is cut off or damaged" },
		{ "two chunks", 16 + 65552 + 17, "The payload holds 65537 "
		  "bytes instead of 65536 at most" },
		{ "a megabyte", 1048576, "The payload holds 1048304 bytes "
		  "instead of 65536 at most" },
	};
	buffer_t *file = buffer_create_dynamic(default_pool, 256);
	const char *error;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("small file: %s", tests[i].name));
		buffer_set_used_size(file, 0);
		buffer_append(file, HEADER, strlen(HEADER));
		buffer_write_zero(file, file->used, tests[i].payload_size);
		test_assert(is_refused(file->data, file->used, &error));
		test_assert_strcmp(error, tests[i].error);
		test_end();
	}
	buffer_free(&file);

	test_begin("small file: header cut off");
	test_assert(is_refused(HEADER, strlen(HEADER) - 1, &error));
	test_assert_strcmp(error, "The header is cut off");
	test_end();
}

/* A chunk that is authentic, but says that others follow. */
static void test_small_file_middle_chunk(void)
{
	uint8_t key[AGE_PAYLOAD_KEY_SIZE];
	uint8_t nonce[AGE_PAYLOAD_NONCE_SIZE] = { 0 };
	uint8_t *chunk = i_malloc(AGE_CHUNK_SEALED_SIZE);
	buffer_t *file = buffer_create_dynamic(default_pool, 256);
	struct age_chunk_cipher *cipher;
	const char *error;

	test_begin("small file: the only chunk isn't the last");
	age_payload_key(hex_bytes("000102030405060708090a0b0c0d0e0f"), nonce,
			key);
	cipher = age_chunk_cipher_init(key);
	age_chunk_seal(cipher, 0, AGE_CHUNK_MIDDLE, chunk, AGE_CHUNK_SIZE,
		       chunk);
	buffer_append(file, HEADER, strlen(HEADER));
	buffer_append(file, nonce, sizeof(nonce));
	buffer_append(file, chunk, AGE_CHUNK_SEALED_SIZE);
	test_assert(is_refused(file->data, file->used, &error));
	test_assert_strcmp(error, "The payload isn't authentic: it is damaged");
	age_chunk_cipher_deinit(&cipher);
	buffer_free(&file);
	i_free(chunk);
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_small_file_known,
		test_small_file_sizes,
		test_small_file_damage,
		test_small_file_errors,
		test_small_file_middle_chunk,
		NULL
	};
	uint8_t secret[AGE_X25519_KEY_SIZE];
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	memset(secret, 0x42, sizeof(secret));
	age_x25519_identity_from_secret(secret, &id42);
	memset(secret, 0x43, sizeof(secret));
	age_x25519_identity_from_secret(secret, &id43);
	return test_run(tests);
}
