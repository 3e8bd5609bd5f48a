/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "fuzzer.h"
#include "age/keyfile.h"
#include "crypto/secret.h"

/* Aims at age_identities_parse(): what is accepted must be identities and
   comments, in order, and nothing else; what isn't must add nothing. Since the
   checksum of an identity is not found by chance, a byte 0x80 in the data
   stands for a good one. */

#define IDENTITY "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZ" \
	"GFPYYSJZGFPQ4EGAEX"

static void expand(const uint8_t *data, size_t size, string_t *text)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (data[i] == 0x80)
			str_append(text, IDENTITY);
		else
			str_append_c(text, data[i]);
	}
}

/* Compare with the text, line by line, in another way than the parser. */
static void check_identities(const struct age_identities *identities,
			     const char *text, size_t size)
{
	const char *const *lines = t_strsplit(t_strndup(text, size), "\n");
	char str[AGE_X25519_IDENTITY_CHARS + 1];
	unsigned int idx = 0;
	size_t chars;

	i_assert(memchr(text, '\0', size) == NULL ||
		 strchr(t_strndup(text, size), '#') != NULL);
	for (; *lines != NULL; lines++) {
		chars = strlen(*lines);
		if (chars > 0 && (*lines)[chars - 1] == '\r')
			chars--;
		if (chars == 0 || **lines == '#')
			continue;
		age_x25519_identity_str(age_identities_get(identities, idx++),
					str);
		i_assert(chars == strlen(str) &&
			 memcmp(str, *lines, chars) == 0);
	}
	i_assert(memchr(text, '\0', size) != NULL ||
		 idx == age_identities_count(identities));
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	struct age_identities *identities;
	string_t *text = str_new(default_pool, 256);
	const char *error = NULL;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	identities = age_identities_init();
	expand(data, size, text);
	if (age_identities_parse(identities, str_c(text), str_len(text),
				 &error) < 0) {
		i_assert(error != NULL);
		i_assert(strstr(error, "GFPYY") == NULL);
		i_assert(age_identities_count(identities) == 0);
	} else {
		i_assert(error == NULL);
		i_assert(age_identities_count(identities) > 0);
		check_identities(identities, str_c(text), str_len(text));
	}
	age_identities_deinit(&identities);
	str_free(&text);
}
FUZZ_END
