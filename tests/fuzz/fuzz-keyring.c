/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "fuzzer.h"
#include "age/base64.h"
#include "crypto/secret.h"
#include "keyring/edit.h"
#include "keyring/keyring-private.h"

/* Aims at keyring_parse(), keyring_slot_parse(), what
   keyring_slot_open_password() does before it does any work, and the writing of
   edits. Each input is tried a second time with a good header in front, since
   the checksum of a recipient is not found by chance, and with the mac that
   belongs to it, so that it can be edited: what isn't known must be kept. */

#define IDENTITY "AGE-SECRET-KEY-1" \
	"X4AMQPJE09YLWLNK2V70F3CEX6W4VLWL269Q5KLFNDS76N0MYZJSNJAKC2\n"
#define HEADER "mail-seal keyring 1\nrecipient: " \
	"age1vqg3l8tlxyn40vhg25va5ftlkht0ylt7myqcyt4rck3sdu3snqfqvsj377\n"

static void check_slot(const struct keyring_slot *slot)
{
	struct age_identities *identities;
	uint64_t work_left = 0;
	const char *error = NULL;

	i_assert(slot->kind_name[0] != '\0' && slot->method[0] != '\0');
	i_assert(strlen(slot->created) == 20 && slot->line > 2);
	if (!keyring_slot_takes_password(slot))
		return;
	/* No slot is so cheap. */
	i_assert(keyring_slot_open_password(slot, "secret", &work_left,
					    &identities, &error) < 0);
	i_assert(error != NULL && work_left == 0);
}

static bool has_line(const struct keyring *keyring, const char *line,
		     size_t size)
{
	const char *p = keyring->text, *end = p + keyring->size;

	/* whole lines: behind a LF, or the first */
	for (; p + size <= end; p++) {
		if ((p == keyring->text || p[-1] == '\n') &&
		    memcmp(p, line, size) == 0)
			return TRUE;
	}
	return FALSE;
}

/* Nothing of the old keyring is missing in the new one, but what is derived. */
static void check_kept(const struct keyring *old, const struct keyring *new)
{
	const struct keyring_line *line;
	const struct keyring_slot *slot;

	array_foreach(&old->lines, line) {
		i_assert(line->kind != KEYRING_LINE_KEPT ||
			 has_line(new, old->text + line->offset, line->size));
	}
	array_foreach(&old->slots, slot) {
		i_assert(slot->kind == KEYRING_SLOT_LINK ||
			 has_line(new, slot->armor, strlen(slot->armor)));
	}
}

/* Add a slot, which leaves the others as they are; and rotate, which must not
   seal to a recipient that isn't listed. */
static void check_edit(const struct keyring *keyring,
		       const struct age_identities *identities, bool rotate)
{
	void *code = secret_alloc(sizeof(struct age_x25519_identity));
	struct keyring_edit *edit;
	struct keyring *new_keyring;
	const char *error;

	if (keyring_edit_begin(keyring, identities, &edit, &error) < 0) {
		secret_free(&code);
		return;
	}
	if (rotate)
		(void)(keyring_edit_rotate(edit, &error) < 0);
	else
		(void)(keyring_edit_add_recovery(edit, NULL, code, &error) < 0);
	if (keyring_edit_finish(&edit, KEYRING_EDIT_FORCE, &new_keyring, NULL,
				&error) > 0) {
		const struct keyring_slot *slot;

		array_foreach(&keyring->slots, slot)
			i_assert(slot->listed ||
				 slot->kind == KEYRING_SLOT_LINK);
		array_foreach(&new_keyring->slots, slot)
			i_assert(slot->listed);
		if (!rotate)
			check_kept(keyring, new_keyring);
		keyring_free(&new_keyring);
	}
	secret_free(&code);
}

/* Give the text the mac that these identities make, if it has none. */
static void
check_with_mac(const struct keyring *keyring)
{
	struct age_identities *identities = age_identities_init();
	struct keyring *with_mac;
	string_t *text = str_new(default_pool, 1024);
	uint8_t mac[KDF_HMAC_SIZE];
	const char *error;

	if (age_identities_parse(identities, IDENTITY, strlen(IDENTITY),
				 &error) < 0)
		i_unreached();
	if (keyring->mac_size == 0) {
		keyring_mac(age_identities_get(identities, 0), keyring->text,
			    keyring->header_size, mac);
		str_append_data(text, keyring->text, keyring->header_size);
		str_append(text, "mac: ");
		age_base64_encode(mac, sizeof(mac), text);
		str_append_c(text, '\n');
		str_append_data(text, keyring->text + keyring->header_size,
				keyring->size - keyring->header_size);
		if (keyring_parse(str_c(text), str_len(text), &with_mac,
				  &error) < 0)
			i_assert(str_len(text) > KEYRING_MAX_SIZE);
		else {
			check_edit(with_mac, identities, FALSE);
			check_edit(with_mac, identities, TRUE);
			keyring_free(&with_mac);
		}
	}
	str_free(&text);
	age_identities_deinit(&identities);
}

static void check(const char *text, size_t size)
{
	struct keyring *keyring;
	const struct keyring_slot *slots;
	const char *error = NULL;
	string_t *written;
	unsigned int count;

	if (keyring_parse(text, size, &keyring, &error) < 0) {
		i_assert(strncmp(error, "line ", 5) == 0);
		return;
	}
	written = str_new(default_pool, 1024);
	keyring_write(keyring, written);
	i_assert(str_len(written) == size &&
		 memcmp(str_data(written), text, size) == 0);
	str_free(&written);

	(void)keyring_recipients(keyring, &count);
	i_assert(count > 0 && count <= KEYRING_MAX_RECIPIENTS);
	slots = keyring_slots(keyring, &count);
	i_assert(count > 0 || keyring->has_list);
	for (unsigned int i = 0; i < count; i++)
		check_slot(&slots[i]);
	T_BEGIN {
		check_with_mac(keyring);
	} T_END;
	keyring_free(&keyring);
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	buffer_t *text;
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	check((const char *)data, size);
	text = buffer_create_dynamic(default_pool, 1024);
	buffer_append(text, HEADER, strlen(HEADER));
	buffer_append(text, data, size);
	check(text->data, text->used);
	buffer_free(&text);
}
FUZZ_END
