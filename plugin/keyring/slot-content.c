/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "crypto/secret.h"
#include "age/argon2id.h"
#include "age/armor.h"
#include "age/scrypt.h"
#include "age/small-file.h"
#include "keyring/keyring-private.h"

/* The armored age file of a slot: sealing and opening it. */

#define METHOD_ARGON2ID "argon2id"
#define METHOD_SCRYPT "scrypt"
/* The most that scrypt may cost. It takes about as long as Argon2id with four
   passes over the same memory. */
#define SCRYPT_WORK (((uint64_t)1 << KEYRING_MAX_SCRYPT_LOG_N) * 4)
/* Room for the comment of an identity and the identity, with their LFs. */
#define IDENTITY_MAX_SIZE \
	(64 + AGE_X25519_RECIPIENT_CHARS + 1 + AGE_X25519_IDENTITY_CHARS + 1)

bool keyring_slot_takes_password(const struct keyring_slot *slot)
{
	return slot->kind == KEYRING_SLOT_PASSWORD &&
		(strcmp(slot->method, METHOD_ARGON2ID) == 0 ||
		 strcmp(slot->method, METHOD_SCRYPT) == 0);
}

bool keyring_slot_takes_identity(const struct keyring_slot *slot)
{
	return (slot->kind == KEYRING_SLOT_RECOVERY ||
		slot->kind == KEYRING_SLOT_ESCROW ||
		slot->kind == KEYRING_SLOT_LINK) &&
		strcmp(slot->method, KEYRING_METHOD_X25519) == 0;
}

static const char *
identity_comment(const struct age_x25519_identity *identity, const char *until)
{
	struct age_x25519_recipient recipient;
	const char *str;

	age_x25519_identity_recipient(identity, &recipient);
	str = age_x25519_recipient_str(&recipient);
	if (until == NULL)
		return t_strdup_printf("# current: %s\n", str);
	return t_strdup_printf("# until %s: %s\n", until, str);
}

/* Write the identity file to text, which has room for it. Returns its size. */
static size_t
identities_text(const struct age_identities *identities,
		const struct keyring_earlier *earlier, char *text)
{
	char *p = text;

	for (unsigned int i = 0; i < age_identities_count(identities); i++) {
		const struct age_x25519_identity *identity =
			age_identities_get(identities, i);

		T_BEGIN {
			const char *comment = identity_comment(
				identity, i == 0 ? NULL : earlier[i - 1].until);

			memcpy(p, comment, strlen(comment));
			p += strlen(comment);
		} T_END;
		age_x25519_identity_str(identity, p);
		p += AGE_X25519_IDENTITY_CHARS;
		*p++ = '\n';
	}
	return p - text;
}

int keyring_slot_seal(const struct age_identities *identities,
		      const struct keyring_earlier *earlier,
		      const struct age_recipient *recipient,
		      string_t *dest, const char **error_r)
{
	size_t size = age_identities_count(identities) * IDENTITY_MAX_SIZE;
	buffer_t *file = t_buffer_create(1024 + size);
	/* one more for the NUL behind each identity */
	void *text = secret_alloc(size + 1);
	int ret;

	size = identities_text(identities, earlier, text);
	ret = age_small_file_seal(&recipient, 1, text, size, file, error_r);
	secret_free(&text);
	if (ret == 0)
		age_armor_encode(file->data, file->used, dest);
	return ret;
}

/* Read the costs from the header alone. Returns as age_argon2id_costs()
   does. */
static int
stanza_work(const struct age_stanza *stanza, const char *method,
	    uint64_t *work_r, const char **error_r)
{
	uint32_t passes, memory_kib;
	int ret;

	if (strcmp(method, METHOD_SCRYPT) == 0) {
		*work_r = SCRYPT_WORK;
		return strcmp(stanza->args[0], METHOD_SCRYPT) == 0 ? 1 : 0;
	}
	ret = age_argon2id_costs(stanza, &passes, &memory_kib, error_r);
	if (ret > 0)
		*work_r = (uint64_t)memory_kib * passes;
	return ret;
}

static int
header_work(const struct keyring_slot *slot, const struct age_header *header,
	    uint64_t *work_r, const char **error_r)
{
	int ret;

	if (header->stanzas_count != 1) {
		*error_r = t_strdup_printf("has %u stanzas instead of 1",
					   header->stanzas_count);
		return -1;
	}
	ret = stanza_work(header->stanzas, slot->method, work_r, error_r);
	if (ret == 0) {
		*error_r = t_strdup_printf("is not sealed with %s, as its line "
					   "says", slot->method);
	}
	return ret <= 0 ? -1 : 0;
}

/* The age file of a slot, on the data stack, and its header. */
static int
slot_decode(const struct keyring_slot *slot, buffer_t **file_r,
	    struct age_header *header_r, const char **error_r)
{
	int ret;

	*file_r = t_buffer_create(1024);
	if (age_armor_decode(slot->armor, strlen(slot->armor), *file_r,
			     error_r) < 0)
		return -1;
	ret = age_header_parse(pool_datastack_create(), (*file_r)->data,
			       (*file_r)->used, header_r, error_r);
	if (ret == 0)
		*error_r = "header is cut short";
	return ret <= 0 ? -1 : 0;
}

int keyring_slot_work(const struct keyring_slot *slot, uint64_t *work_r,
		      const char **error_r)
{
	struct age_header header;
	buffer_t *file;

	if (slot_decode(slot, &file, &header, error_r) < 0)
		return -1;
	return header_work(slot, &header, work_r, error_r);
}

int keyring_slot_costs(const struct keyring_slot *slot,
		       struct keyring_costs *costs_r, const char **error_r)
{
	struct age_header header;
	buffer_t *file;
	uint64_t work;

	if (slot->kind != KEYRING_SLOT_PASSWORD ||
	    strcmp(slot->method, METHOD_ARGON2ID) != 0)
		return 0;
	if (slot_decode(slot, &file, &header, error_r) < 0 ||
	    header_work(slot, &header, &work, error_r) < 0)
		return -1;
	return age_argon2id_costs(header.stanzas, &costs_r->passes,
				  &costs_r->memory_kib, error_r);
}

/* Open the age file and parse what is in it. */
static int
file_open(const buffer_t *file, const struct age_identity *const *keys,
	  unsigned int count, struct age_identities **identities_r,
	  const char **error_r)
{
	struct age_identities *identities;
	uint8_t *plain;
	void *plain_p;
	size_t size;
	int ret;

	ret = age_small_file_open(file->data, file->used, keys, count,
				  &plain, &size, error_r);
	if (ret <= 0)
		return ret;

	identities = age_identities_init();
	ret = age_identities_parse(identities, (const char *)plain, size,
				   error_r);
	plain_p = plain;
	secret_free(&plain_p);
	if (ret < 0) {
		age_identities_deinit(&identities);
		return -1;
	}
	*identities_r = identities;
	return 1;
}

int keyring_slot_open_password(const struct keyring_slot *slot,
			       const char *secret, uint64_t *work_left,
			       struct age_identities **identities_r,
			       const char **error_r)
{
	struct age_argon2id_identity argon2id;
	struct age_scrypt_identity scrypt;
	const struct age_identity *const keys[] = {
		&argon2id.identity, &scrypt.identity
	};
	struct age_header header;
	buffer_t *file;
	uint64_t work;

	if (slot_decode(slot, &file, &header, error_r) < 0 ||
	    header_work(slot, &header, &work, error_r) < 0)
		return -1;
	if (work > *work_left) {
		*error_r = "costs more than what is left for one login";
		return -1;
	}
	*work_left -= work;
	age_argon2id_identity_init(&argon2id, secret);
	age_scrypt_identity_init(&scrypt, secret, KEYRING_MAX_SCRYPT_LOG_N);
	return file_open(file, keys, N_ELEMENTS(keys), identities_r, error_r);
}

int keyring_slot_open_identities(const struct keyring_slot *slot,
				 const struct age_identities *keys,
				 unsigned int count,
				 struct age_identities **identities_r,
				 const char **error_r)
{
	const struct age_identity *const *list;
	struct age_header header;
	unsigned int list_count;
	buffer_t *file;

	list = age_identities_list(keys, &list_count);
	if (slot_decode(slot, &file, &header, error_r) < 0)
		return -1;
	return file_open(file, list, I_MIN(count, list_count), identities_r,
			 error_r);
}
