/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "age/bech32.h"
#include "crypto/secret.h"

#include <ctype.h>

#define BITS_PER_CHAR 5
#define CHECKSUM_CHARS 6
#define DATA_CHARS(size) (((size) * 8 + BITS_PER_CHAR - 1) / BITS_PER_CHAR)

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* Take one more value into the checksum: BIP 173, "Checksum". */
static uint32_t checksum_add(uint32_t sum, uint8_t value)
{
	static const uint32_t generator[] = {
		0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3
	};
	uint32_t top = sum >> 25;
	unsigned int i;

	sum = (sum & 0x1ffffff) << BITS_PER_CHAR ^ value;
	for (i = 0; i < N_ELEMENTS(generator); i++) {
		if ((top >> i & 1) != 0)
			sum ^= generator[i];
	}
	return sum;
}

/* The checksum is always that of the lower-case spelling. */
static uint32_t checksum_init(const char *hrp)
{
	uint32_t sum = 1;
	const char *p;

	for (p = hrp; *p != '\0'; p++)
		sum = checksum_add(sum, i_tolower(*p) >> BITS_PER_CHAR);
	sum = checksum_add(sum, 0);
	for (p = hrp; *p != '\0'; p++)
		sum = checksum_add(sum, i_tolower(*p) & 0x1f);
	return sum;
}

static bool hrp_is_upper(const char *hrp)
{
	return i_isupper(*hrp);
}

static char value_char(uint8_t value, bool upper)
{
	return upper ? i_toupper(alphabet[value]) : alphabet[value];
}

/* The idx'th five bits of data; zeros fill up the last ones. */
static uint8_t data_value(const uint8_t *data, size_t size, size_t idx)
{
	size_t bit = idx * BITS_PER_CHAR, byte = bit / 8;
	unsigned int pair = data[byte] << 8;

	if (byte + 1 < size)
		pair |= data[byte + 1];
	return pair >> (16 - BITS_PER_CHAR - bit % 8) & 0x1f;
}

void age_bech32_encode(const char *hrp, const uint8_t *data, size_t size,
		       char *str_r)
{
	bool upper = hrp_is_upper(hrp);
	uint32_t sum = checksum_init(hrp);
	size_t i;
	uint8_t value;

	for (; *hrp != '\0'; hrp++)
		*str_r++ = *hrp;
	*str_r++ = '1';
	for (i = 0; i < DATA_CHARS(size); i++) {
		value = data_value(data, size, i);
		sum = checksum_add(sum, value);
		*str_r++ = value_char(value, upper);
	}
	for (i = 0; i < CHECKSUM_CHARS; i++)
		sum = checksum_add(sum, 0);
	sum ^= 1;
	for (i = CHECKSUM_CHARS; i > 0; i--) {
		value = sum >> BITS_PER_CHAR * (i - 1) & 0x1f;
		*str_r++ = value_char(value, upper);
	}
	*str_r = '\0';
}

static int check_prefix(const char *str, const char *hrp, const char **error_r)
{
	size_t hrp_size = strlen(hrp);
	const char *separator = strrchr(str, '1');

	if (separator == NULL || (size_t)(separator - str) != hrp_size ||
	    strncasecmp(str, hrp, hrp_size) != 0) {
		*error_r = t_strdup_printf("doesn't begin with %s1", hrp);
		return -1;
	}
	return 0;
}

static int check_case(const char *str, bool upper, const char **error_r)
{
	bool has_upper = FALSE, has_lower = FALSE;

	for (; *str != '\0'; str++) {
		has_upper = has_upper || i_isupper(*str);
		has_lower = has_lower || i_islower(*str);
	}
	if (has_upper && has_lower) {
		*error_r = "mixes upper and lower case";
		return -1;
	}
	if (upper ? has_lower : has_upper) {
		*error_r = upper ? "is in lower case instead of upper case" :
			"is in upper case instead of lower case";
		return -1;
	}
	return 0;
}

/* Decode the characters behind the prefix. */
static int decode_data(const char *str, const char *hrp,
		       uint8_t *data_r, size_t size, const char **error_r)
{
	const char *start = str + strlen(hrp) + 1, *p, *found;
	const char *checksum = start + DATA_CHARS(size);
	uint32_t sum = checksum_init(hrp);
	unsigned int bits = 0, bits_count = 0;
	uint8_t value;

	for (p = start; *p != '\0'; p++) {
		found = strchr(alphabet, i_tolower(*p));
		if (found == NULL) {
			*error_r = t_strdup_printf(
				"has a character at position %zu "
				"that does not occur in bech32",
				(size_t)(p - str) + 1);
			return -1;
		}
		value = found - alphabet;
		sum = checksum_add(sum, value);
		if (p >= checksum)
			continue;
		bits = bits << BITS_PER_CHAR | value;
		bits_count += BITS_PER_CHAR;
		if (bits_count >= 8) {
			bits_count -= 8;
			*data_r++ = bits >> bits_count & 0xff;
		}
		bits &= (1U << bits_count) - 1;
	}
	if (sum != 1) {
		*error_r = "has a wrong checksum, check for a typing mistake";
		return -1;
	}
	if (bits != 0) {
		*error_r = "has bits set behind its data";
		return -1;
	}
	return 0;
}

static int check_size(const char *str, const char *hrp, size_t size,
		      const char **error_r)
{
	size_t found = strlen(str);
	size_t wanted = AGE_BECH32_ENCODED_SIZE(strlen(hrp), size);

	if (found != wanted) {
		*error_r = t_strdup_printf(
			"has %zu characters instead of %zu", found, wanted);
		return -1;
	}
	return 0;
}

int age_bech32_decode(const char *str, const char *hrp,
		      uint8_t *data_r, size_t size, const char **error_r)
{
	if (check_prefix(str, hrp, error_r) < 0 ||
	    check_case(str, hrp_is_upper(hrp), error_r) < 0 ||
	    check_size(str, hrp, size, error_r) < 0 ||
	    decode_data(str, hrp, data_r, size, error_r) < 0) {
		secret_wipe(data_r, size);
		return -1;
	}
	return 0;
}
