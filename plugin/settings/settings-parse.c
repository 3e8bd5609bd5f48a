/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "strnum.h"
#include "age/argon2id.h"
#include "settings/mail-seal-settings.h"

/* What all values of mail_seal_* mean. Both versions of Dovecot give us texts,
   so that a wrong one is reported in the same words. */

static int
parse_bool(const char *name, const char *value, bool *bool_r,
	   const char **error_r)
{
	if (strcasecmp(value, "yes") == 0 || strcasecmp(value, "y") == 0 ||
	    strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0) {
		*bool_r = TRUE;
		return 0;
	}
	if (strcasecmp(value, "no") == 0 || strcasecmp(value, "n") == 0 ||
	    strcasecmp(value, "false") == 0 || strcmp(value, "0") == 0) {
		*bool_r = FALSE;
		return 0;
	}
	*error_r = t_strdup_printf("%s = %s: must be yes or no", name, value);
	return -1;
}

/* Number and unit, as Dovecot writes sizes: 64M, 65536k, 67108864. */
static bool parse_size(const char *value, uint64_t *size_r)
{
	const char *unit;
	unsigned int shift;

	if (str_parse_uint64(value, size_r, &unit) < 0)
		return FALSE;
	while (*unit == ' ')
		unit++;
	if (*unit == '\0' || strcasecmp(unit, "B") == 0)
		shift = 0;
	else if (strcasecmp(unit, "k") == 0 || strcasecmp(unit, "KB") == 0)
		shift = 10;
	else if (strcasecmp(unit, "M") == 0 || strcasecmp(unit, "MB") == 0)
		shift = 20;
	else if (strcasecmp(unit, "G") == 0 || strcasecmp(unit, "GB") == 0)
		shift = 30;
	else
		return FALSE;
	if (*size_r > UINT64_MAX >> shift)
		return FALSE;
	*size_r <<= shift;
	return TRUE;
}

static int
parse_memory(const char *value, unsigned int *kib_r, const char **error_r)
{
	uint64_t size;

	if (!parse_size(value, &size) ||
	    size < (uint64_t)AGE_ARGON2ID_MIN_MEMORY_KIB * 1024 ||
	    size > (uint64_t)AGE_ARGON2ID_MAX_MEMORY_KIB * 1024) {
		*error_r = t_strdup_printf("mail_seal_argon2_memory = %s: "
			"must be a size from 8M to 1G", value);
		return -1;
	}
	*kib_r = size / 1024;
	return 0;
}

static int
parse_passes(const char *value, unsigned int *passes_r, const char **error_r)
{
	if (str_to_uint(value, passes_r) < 0 ||
	    *passes_r < AGE_ARGON2ID_MIN_PASSES ||
	    *passes_r > AGE_ARGON2ID_MAX_PASSES) {
		*error_r = t_strdup_printf("mail_seal_argon2_passes = %s: "
			"must be a number from %u to %u", value,
			AGE_ARGON2ID_MIN_PASSES, AGE_ARGON2ID_MAX_PASSES);
		return -1;
	}
	return 0;
}

static int
parse_unenrolled(const char *value, enum mail_seal_unenrolled *unenrolled_r,
		 const char **error_r)
{
	if (strcmp(value, "tempfail") == 0)
		*unenrolled_r = MAIL_SEAL_UNENROLLED_TEMPFAIL;
	else if (strcmp(value, "plaintext") == 0)
		*unenrolled_r = MAIL_SEAL_UNENROLLED_PLAINTEXT;
	else {
		*error_r = t_strdup_printf("mail_seal_unenrolled = %s: "
			"must be tempfail or plaintext", value);
		return -1;
	}
	return 0;
}

static int
parse_keyring(const char *value, const char **keyring_r, const char **error_r)
{
	/* A % is one that Dovecot has still to expand. */
	if (value[0] != '/' && value[0] != '%' &&
	    (strncmp(value, "~/", 2) != 0 || value[2] == '\0')) {
		*error_r = t_strdup_printf("mail_seal_keyring = %s: must be "
			"the path of a file, absolute or beginning with ~/",
			value);
		return -1;
	}
	*keyring_r = value;
	return 0;
}

static bool
has_escrow(const struct mail_seal_settings *set,
	   const struct age_x25519_recipient *recipient)
{
	for (unsigned int i = 0; i < set->escrow_count; i++) {
		if (memcmp(set->escrow[i].key, recipient->key,
			   sizeof(recipient->key)) == 0)
			return TRUE;
	}
	return FALSE;
}

/* Returns NULL, or what is wrong with it. */
static const char *
add_escrow(struct mail_seal_settings *set, const char *value)
{
	struct age_x25519_recipient recipient;
	const char *error;

	if (age_x25519_recipient_parse(value, &recipient, &error) < 0) {
		return t_strdup_printf("must be recipients (age1...), "
			"separated by spaces or commas: %s", error);
	}
	if (has_escrow(set, &recipient))
		return "the same recipient is given twice";
	if (set->escrow_count == MAIL_SEAL_MAX_ESCROW) {
		return t_strdup_printf("more than %d recipients",
				       MAIL_SEAL_MAX_ESCROW);
	}
	set->escrow[set->escrow_count++] = recipient;
	return NULL;
}

static int
parse_escrow_recipients(const char *value, struct mail_seal_settings *set,
			const char **error_r)
{
	const char *const *str = t_strsplit_spaces(value, " ,\t\r\n");

	for (; *str != NULL; str++) {
		const char *error = add_escrow(set, *str);

		if (strncasecmp(*str, "AGE-SECRET-KEY-", 15) == 0) {
			/* A secret isn't repeated in a log. */
			*error_r = "mail_seal_escrow_recipients: has an "
				"identity (AGE-SECRET-KEY-1...), must be its "
				"recipient (age1...)";
			return -1;
		}
		if (error != NULL) {
			*error_r = t_strdup_printf(
				"mail_seal_escrow_recipients = %s: %s",
				*str, error);
			return -1;
		}
	}
	return 0;
}

static int parse_unlock_fd(const char *value, int *fd_r, const char **error_r)
{
	*fd_r = -1;
	if (*value == '\0')
		return 0;
	if (str_to_int(value, fd_r) < 0 || *fd_r < 0) {
		*error_r = t_strdup_printf("mail_seal_unlock_fd = %s: must be "
			"the number of a file descriptor", value);
		return -1;
	}
	return 0;
}

int mail_seal_settings_parse(const struct mail_seal_settings_text *text,
			     struct mail_seal_settings *set_r,
			     const char **error_r)
{
	i_zero(set_r);
	if (parse_keyring(text->keyring, &set_r->keyring, error_r) < 0 ||
	    parse_bool("mail_seal_enroll", text->enroll,
		       &set_r->enroll, error_r) < 0 ||
	    parse_bool("mail_seal_save", text->save,
		       &set_r->save, error_r) < 0 ||
	    parse_unenrolled(text->unenrolled,
			     &set_r->unenrolled, error_r) < 0 ||
	    parse_memory(text->argon2_memory,
			 &set_r->argon2_memory_kib, error_r) < 0 ||
	    parse_passes(text->argon2_passes,
			 &set_r->argon2_passes, error_r) < 0 ||
	    parse_escrow_recipients(text->escrow_recipients, set_r,
				    error_r) < 0 ||
	    parse_unlock_fd(text->unlock_fd, &set_r->unlock_fd, error_r) < 0)
		return -1;
	return 0;
}
