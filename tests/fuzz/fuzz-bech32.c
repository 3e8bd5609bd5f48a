/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "fuzzer.h"
#include "age/bech32.h"
#include "age/x25519.h"
#include "crypto/secret.h"

/* Aims at age_bech32_decode(), which must accept what age_bech32_encode() gives
   and nothing else. As a checksum is not found by chance, the data is also
   encoded, and then one character of it changed. */

#define MAX_SIZE 64
#define RECIPIENT_HRP "age"
#define IDENTITY_HRP "AGE-SECRET-KEY-"

static bool decode(const char *str, const char *hrp, uint8_t *data_r,
		   size_t size)
{
	char again[AGE_BECH32_ENCODED_SIZE(sizeof(IDENTITY_HRP), MAX_SIZE) + 1];
	const char *error = NULL;

	if (age_bech32_decode(str, hrp, data_r, size, &error) < 0) {
		i_assert(error != NULL);
		for (; size > 0; size--)
			i_assert(data_r[size - 1] == 0);
		return FALSE;
	}
	i_assert(error == NULL);
	age_bech32_encode(hrp, data_r, size, again);
	i_assert(strcmp(again, str) == 0);
	return TRUE;
}

static void check_mutated(const uint8_t *data, size_t size, const char *hrp)
{
	char str[AGE_BECH32_ENCODED_SIZE(sizeof(IDENTITY_HRP), MAX_SIZE) + 1];
	uint8_t decoded[MAX_SIZE];
	size_t chars;

	size = I_MIN(size, MAX_SIZE);
	age_bech32_encode(hrp, data, size, str);
	chars = strlen(str);
	i_assert(chars == AGE_BECH32_ENCODED_SIZE(strlen(hrp), size));
	i_assert(decode(str, hrp, decoded, size));
	i_assert(memcmp(decoded, data, size) == 0);
	if (size < 2 || str[data[0] % chars] == (char)data[1])
		return;
	str[data[0] % chars] = (char)data[1];
	i_assert(!decode(str, hrp, decoded, size));
}

static void check_keys(const char *str)
{
	struct age_x25519_recipient recipient;
	struct age_x25519_identity identity;
	char again[AGE_X25519_IDENTITY_CHARS + 1];
	const char *error;

	if (age_x25519_recipient_parse(str, &recipient, &error) == 0) {
		i_assert(strcmp(age_x25519_recipient_str(&recipient),
				str) == 0);
	}
	if (age_x25519_identity_parse(str, &identity, &error) == 0) {
		age_x25519_identity_str(&identity, again);
		i_assert(strcmp(again, str) == 0);
	}
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	const char *str = t_strndup(data, size), *error;
	uint8_t decoded[MAX_SIZE];
	size_t i;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	for (i = 0; i <= MAX_SIZE; i++)
		(void)decode(str, RECIPIENT_HRP, decoded, i);
	check_keys(str);
	check_mutated(data, size, RECIPIENT_HRP);
	check_mutated(data, size, IDENTITY_HRP);
}
FUZZ_END
