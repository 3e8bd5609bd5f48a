/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "strnum.h"
#include "age/scrypt.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "recipient-private.h"

#define SCRYPT_TYPE "scrypt"
#define SCRYPT_LABEL "age-encryption.org/v1/scrypt"
#define SCRYPT_LABEL_SIZE (sizeof(SCRYPT_LABEL) - 1)
#define SCRYPT_SALT_SIZE 16

static int derive_wrap_key(const char *passphrase,
			   const uint8_t salt[SCRYPT_SALT_SIZE],
			   unsigned int log_n,
			   uint8_t wrap_key_r[AGE_WRAP_KEY_SIZE],
			   const char **error_r)
{
	uint8_t labelled[SCRYPT_LABEL_SIZE + SCRYPT_SALT_SIZE];

	memcpy(labelled, SCRYPT_LABEL, SCRYPT_LABEL_SIZE);
	memcpy(labelled + SCRYPT_LABEL_SIZE, salt, SCRYPT_SALT_SIZE);
	if (kdf_scrypt(passphrase, strlen(passphrase),
		       labelled, sizeof(labelled), log_n, wrap_key_r) < 0) {
		*error_r = t_strdup_printf("There isn't enough memory "
			"for scrypt with a work factor of 2^%u: "
			"it takes %llu KiB", log_n, 1ULL << log_n);
		return -1;
	}
	return 0;
}

static int scrypt_wrap(const struct age_recipient *_recipient, pool_t pool,
		       const uint8_t file_key[AGE_FILE_KEY_SIZE],
		       struct age_stanza *stanza_r, const char **error_r)
{
	const struct age_scrypt_recipient *recipient =
		container_of(_recipient, const struct age_scrypt_recipient,
			     recipient);
	const char *args[] = { SCRYPT_TYPE, NULL, NULL, NULL };
	uint8_t salt[SCRYPT_SALT_SIZE], wrap_key[AGE_WRAP_KEY_SIZE];

	secret_random(salt, sizeof(salt));
	args[1] = age_wrap_print_bytes(salt, sizeof(salt));
	args[2] = dec2str(recipient->log_n);
	if (derive_wrap_key(recipient->passphrase, salt, recipient->log_n,
			    wrap_key, error_r) < 0)
		return -1;
	age_wrap_stanza(pool, args, wrap_key, file_key, stanza_r);
	secret_wipe(wrap_key, sizeof(wrap_key));
	return 0;
}

static int parse_stanza(const struct age_stanza *stanza,
			unsigned int max_log_n,
			uint8_t salt_r[SCRYPT_SALT_SIZE],
			uint32_t *log_n_r, const char **error_r)
{
	int ret;

	ret = age_wrap_check(stanza, SCRYPT_TYPE, 3, error_r);
	if (ret <= 0)
		return ret;
	if (!age_wrap_parse_bytes(stanza->args[1], salt_r, SCRYPT_SALT_SIZE)) {
		*error_r = "The scrypt stanza's salt isn't "
			"canonical base64 of 16 bytes";
		return -1;
	}
	if (!age_wrap_parse_number(stanza->args[2], log_n_r)) {
		*error_r = "The scrypt stanza's work factor isn't "
			"a decimal number";
		return -1;
	}
	if (*log_n_r > max_log_n) {
		*error_r = t_strdup_printf("The scrypt stanza's work factor "
			"is higher than the highest allowed, 2^%u", max_log_n);
		return -1;
	}
	return 1;
}

static int scrypt_unwrap(const struct age_identity *_identity,
			 const struct age_header *header ATTR_UNUSED,
			 const struct age_stanza *stanza,
			 uint8_t file_key_r[AGE_FILE_KEY_SIZE],
			 const char **error_r)
{
	const struct age_scrypt_identity *identity =
		container_of(_identity, const struct age_scrypt_identity,
			     identity);
	uint8_t salt[SCRYPT_SALT_SIZE], wrap_key[AGE_WRAP_KEY_SIZE];
	uint32_t log_n;
	bool opened;
	int ret;

	ret = parse_stanza(stanza, identity->max_log_n, salt, &log_n, error_r);
	if (ret <= 0)
		return ret;
	if (derive_wrap_key(identity->passphrase, salt, log_n, wrap_key,
			    error_r) < 0)
		return -1;
	opened = age_wrap_open(wrap_key, stanza, file_key_r);
	secret_wipe(wrap_key, sizeof(wrap_key));
	return opened ? 1 : 0;
}

void age_scrypt_recipient_init(struct age_scrypt_recipient *recipient_r,
			       const char *passphrase, unsigned int log_n)
{
	i_assert(log_n > 0 && log_n <= AGE_SCRYPT_MAX_LOG_N);
	i_zero(recipient_r);
	recipient_r->recipient.kind = SCRYPT_TYPE;
	recipient_r->recipient.wrap = scrypt_wrap;
	recipient_r->recipient.alone = TRUE;
	recipient_r->passphrase = passphrase;
	recipient_r->log_n = log_n;
}

void age_scrypt_identity_init(struct age_scrypt_identity *identity_r,
			      const char *passphrase, unsigned int max_log_n)
{
	i_assert(max_log_n <= AGE_SCRYPT_MAX_LOG_N);
	i_zero(identity_r);
	identity_r->identity.kind = SCRYPT_TYPE;
	identity_r->identity.unwrap = scrypt_unwrap;
	identity_r->passphrase = passphrase;
	identity_r->max_log_n = max_log_n;
}
