/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "strnum.h"
#include "age/argon2id.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "recipient-private.h"

struct argon2id_params {
	uint8_t salt[KDF_ARGON2ID_SALT_SIZE];
	uint32_t passes, memory_kib;
};

static int derive_wrap_key(const char *secret,
			   const struct argon2id_params *params,
			   uint8_t wrap_key_r[AGE_WRAP_KEY_SIZE],
			   const char **error_r)
{
	if (kdf_argon2id(secret, strlen(secret), params->salt,
			 params->memory_kib, params->passes,
			 wrap_key_r) < 0) {
		*error_r = t_strdup_printf("There isn't enough memory "
			"for Argon2id: it takes %u KiB", params->memory_kib);
		return -1;
	}
	return 0;
}

static int argon2id_wrap(const struct age_recipient *_recipient, pool_t pool,
			 const uint8_t file_key[AGE_FILE_KEY_SIZE],
			 struct age_stanza *stanza_r, const char **error_r)
{
	const struct age_argon2id_recipient *recipient =
		container_of(_recipient, const struct age_argon2id_recipient,
			     recipient);
	const char *args[] = { AGE_ARGON2ID_TYPE, NULL, NULL, NULL, NULL };
	struct argon2id_params params = {
		.passes = recipient->passes,
		.memory_kib = recipient->memory_kib,
	};
	uint8_t wrap_key[AGE_WRAP_KEY_SIZE];

	secret_random(params.salt, sizeof(params.salt));
	args[1] = age_wrap_print_bytes(params.salt, sizeof(params.salt));
	args[2] = dec2str(params.passes);
	args[3] = dec2str(params.memory_kib);
	if (derive_wrap_key(recipient->secret, &params, wrap_key, error_r) < 0)
		return -1;
	age_wrap_stanza(pool, args, wrap_key, file_key, stanza_r);
	secret_wipe(wrap_key, sizeof(wrap_key));
	return 0;
}

static int parse_cost(const char *arg, const char *name,
		      uint32_t min, uint32_t max, uint32_t *cost_r,
		      const char **error_r)
{
	if (!age_wrap_parse_number(arg, cost_r) ||
	    *cost_r < min || *cost_r > max) {
		*error_r = t_strdup_printf("The "AGE_ARGON2ID_TYPE" stanza's "
			"%s isn't a number from %u to %u", name, min, max);
		return -1;
	}
	return 0;
}

static int parse_stanza(const struct age_stanza *stanza,
			struct argon2id_params *params_r, const char **error_r)
{
	int ret;

	ret = age_wrap_check(stanza, AGE_ARGON2ID_TYPE, 4, error_r);
	if (ret <= 0)
		return ret;
	if (!age_wrap_parse_bytes(stanza->args[1], params_r->salt,
				  sizeof(params_r->salt))) {
		*error_r = "The "AGE_ARGON2ID_TYPE" stanza's salt isn't "
			"canonical base64 of 16 bytes";
		return -1;
	}
	if (parse_cost(stanza->args[2], "number of passes",
		       AGE_ARGON2ID_MIN_PASSES, AGE_ARGON2ID_MAX_PASSES,
		       &params_r->passes, error_r) < 0 ||
	    parse_cost(stanza->args[3], "memory in KiB",
		       AGE_ARGON2ID_MIN_MEMORY_KIB, AGE_ARGON2ID_MAX_MEMORY_KIB,
		       &params_r->memory_kib, error_r) < 0)
		return -1;
	return 1;
}

static int argon2id_unwrap(const struct age_identity *_identity,
			   const struct age_header *header ATTR_UNUSED,
			   const struct age_stanza *stanza,
			   uint8_t file_key_r[AGE_FILE_KEY_SIZE],
			   const char **error_r)
{
	const struct age_argon2id_identity *identity =
		container_of(_identity, const struct age_argon2id_identity,
			     identity);
	struct argon2id_params params;
	uint8_t wrap_key[AGE_WRAP_KEY_SIZE];
	bool opened;
	int ret;

	ret = parse_stanza(stanza, &params, error_r);
	if (ret <= 0)
		return ret;
	if (derive_wrap_key(identity->secret, &params, wrap_key, error_r) < 0)
		return -1;
	opened = age_wrap_open(wrap_key, stanza, file_key_r);
	secret_wipe(wrap_key, sizeof(wrap_key));
	return opened ? 1 : 0;
}

void age_argon2id_recipient_init(struct age_argon2id_recipient *recipient_r,
				 const char *secret,
				 uint32_t passes, uint32_t memory_kib)
{
	i_assert(passes >= AGE_ARGON2ID_MIN_PASSES &&
		 passes <= AGE_ARGON2ID_MAX_PASSES);
	i_assert(memory_kib >= AGE_ARGON2ID_MIN_MEMORY_KIB &&
		 memory_kib <= AGE_ARGON2ID_MAX_MEMORY_KIB);
	i_zero(recipient_r);
	recipient_r->recipient.kind = AGE_ARGON2ID_TYPE;
	recipient_r->recipient.wrap = argon2id_wrap;
	recipient_r->recipient.alone = TRUE;
	recipient_r->secret = secret;
	recipient_r->passes = passes;
	recipient_r->memory_kib = memory_kib;
}

void age_argon2id_identity_init(struct age_argon2id_identity *identity_r,
				const char *secret)
{
	i_zero(identity_r);
	identity_r->identity.kind = AGE_ARGON2ID_TYPE;
	identity_r->identity.unwrap = argon2id_unwrap;
	identity_r->secret = secret;
}

int age_argon2id_costs(const struct age_stanza *stanza,
		       uint32_t *passes_r, uint32_t *memory_kib_r,
		       const char **error_r)
{
	struct argon2id_params params;
	int ret;

	ret = parse_stanza(stanza, &params, error_r);
	if (ret > 0) {
		*passes_r = params.passes;
		*memory_kib_r = params.memory_kib;
	}
	return ret;
}
