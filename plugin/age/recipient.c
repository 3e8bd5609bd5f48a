/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "age/base64.h"
#include "age/argon2id.h"
#include "age/scrypt.h"
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "recipient-private.h"

static const uint8_t zero_nonce[AEAD_NONCE_SIZE] = { 0 };

/* Types that vouch for the whole header, since who knows the password made it:
   they must not be mixed with others, even if another one is to be opened
   (C2SP age.md, "scrypt recipient stanza"). */
static const char *const alone_types[] = { "scrypt", AGE_ARGON2ID_TYPE };

void age_wrap_stanza(pool_t pool, const char *const *args,
		     const uint8_t wrap_key[AGE_WRAP_KEY_SIZE],
		     const uint8_t file_key[AGE_FILE_KEY_SIZE],
		     struct age_stanza *stanza_r)
{
	struct aead *aead = aead_init(wrap_key);
	uint8_t *body = p_malloc(pool, AGE_WRAPPED_SIZE);

	aead_seal(aead, zero_nonce, file_key, AGE_FILE_KEY_SIZE, body);
	aead_deinit(&aead);

	i_zero(stanza_r);
	stanza_r->args = p_strarray_dup(pool, args);
	stanza_r->args_count = str_array_length(args);
	stanza_r->body = body;
	stanza_r->body_size = AGE_WRAPPED_SIZE;
}

bool age_wrap_open(const uint8_t wrap_key[AGE_WRAP_KEY_SIZE],
		   const struct age_stanza *stanza,
		   uint8_t file_key_r[AGE_FILE_KEY_SIZE])
{
	struct aead *aead = aead_init(wrap_key);
	bool opened;

	i_assert(stanza->body_size == AGE_WRAPPED_SIZE);
	opened = aead_open(aead, zero_nonce, stanza->body, stanza->body_size,
			   file_key_r);
	aead_deinit(&aead);
	return opened;
}

int age_wrap_check(const struct age_stanza *stanza, const char *type,
		   unsigned int args_count, const char **error_r)
{
	if (strcmp(stanza->args[0], type) != 0)
		return 0;
	if (stanza->args_count != args_count) {
		*error_r = t_strdup_printf(
			"The %s stanza has %u arguments instead of %u",
			type, stanza->args_count, args_count);
		return -1;
	}
	/* before any decryption: against partitioning oracles */
	if (stanza->body_size != AGE_WRAPPED_SIZE) {
		*error_r = t_strdup_printf(
			"The %s stanza has a body of %zu bytes instead of %u",
			type, stanza->body_size, AGE_WRAPPED_SIZE);
		return -1;
	}
	return 1;
}

bool age_wrap_parse_bytes(const char *arg, uint8_t *data_r, size_t size)
{
	size_t chars = strlen(arg);

	return chars == AGE_BASE64_ENCODED_SIZE(size) &&
		age_base64_decode(arg, chars, data_r);
}

bool age_wrap_parse_number(const char *arg, uint32_t *number_r)
{
	uint64_t number = 0;

	if (*arg == '0' || *arg == '\0')
		return FALSE;
	for (; *arg != '\0'; arg++) {
		if (*arg < '0' || *arg > '9')
			return FALSE;
		number = I_MIN(number * 10 + (*arg - '0'), UINT32_MAX);
	}
	*number_r = number;
	return TRUE;
}

const char *age_wrap_print_bytes(const uint8_t *data, size_t size)
{
	string_t *str = t_str_new(AGE_BASE64_ENCODED_SIZE(size) + 1);

	age_base64_encode(data, size, str);
	return str_c(str);
}

static int wrap_all(const struct age_recipient *const *recipients,
		    unsigned int count, pool_t pool,
		    const uint8_t file_key[AGE_FILE_KEY_SIZE],
		    struct age_stanza *stanzas, const char **error_r)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (recipients[i]->alone && count > 1) {
			*error_r = t_strdup_printf(
				"A recipient of kind %s must be the only one, "
				"here it is one of %u",
				recipients[i]->kind, count);
			return -1;
		}
	}
	for (i = 0; i < count; i++) {
		if (recipients[i]->wrap(recipients[i], pool, file_key,
					&stanzas[i], error_r) < 0)
			return -1;
	}
	return 0;
}

int age_header_seal(const struct age_recipient *const *recipients,
		    unsigned int count,
		    const uint8_t file_key[AGE_FILE_KEY_SIZE],
		    buffer_t *dest, uint8_t *mac_r, const char **error_r)
{
	struct age_stanza *stanzas;
	pool_t pool;
	int ret;

	i_assert(count > 0);
	pool = pool_alloconly_create("age header", 1024);
	stanzas = p_new(pool, struct age_stanza, count);
	ret = wrap_all(recipients, count, pool, file_key, stanzas, error_r);
	if (ret == 0)
		age_header_write(stanzas, count, file_key, dest, mac_r);
	pool_unref(&pool);
	return ret;
}

static int check_alone(const struct age_header *header, const char **error_r)
{
	const char *type;
	unsigned int i, j;

	if (header->stanzas_count == 1)
		return 0;
	for (i = 0; i < header->stanzas_count; i++) {
		type = header->stanzas[i].args[0];
		for (j = 0; j < N_ELEMENTS(alone_types); j++) {
			if (strcmp(type, alone_types[j]) != 0)
				continue;
			*error_r = t_strdup_printf(
				"The %s stanza must be the only one, "
				"here it is one of %u",
				type, header->stanzas_count);
			return -1;
		}
	}
	return 0;
}

/* Returns as the identity does, for the first stanza that isn't ignored. */
static int unwrap_any(const struct age_identity *identity,
		      const struct age_header *header,
		      uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		      const char **error_r)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < header->stanzas_count && ret == 0; i++) {
		ret = identity->unwrap(identity, header, &header->stanzas[i],
				       file_key_r, error_r);
	}
	return ret;
}

int age_header_open(const struct age_header *header,
		    const struct age_identity *const *identities,
		    unsigned int count,
		    uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		    const char **error_r)
{
	unsigned int i;
	int ret;

	ret = check_alone(header, error_r);
	for (i = 0; i < count && ret == 0; i++) {
		ret = unwrap_any(identities[i], header, file_key_r, error_r);
	}
	if (ret > 0 && !age_header_verify(header, file_key_r)) {
		*error_r = "The header's MAC is wrong";
		ret = -1;
	}
	if (ret <= 0)
		secret_wipe(file_key_r, AGE_FILE_KEY_SIZE);
	return ret;
}
