/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "str.h"
#include "fuzzer.h"
#include "keyring/keyring-private.h"

/* Aims at keyring_parse(), keyring_slot_parse() and what
   keyring_slot_open_password() does before it does any work. The second half of
   the inputs gets a good header in front, since the checksum of a recipient is
   not found by chance. */

#define HEADER "mail-seal keyring 1\nrecipient: " \
	"age1dpppk9t9hwcpdjay6hhvs0c2nkkdk94eyehjstcj77433zs54u9swhpex8\n"

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
	i_assert(count > 0);
	for (unsigned int i = 0; i < count; i++)
		check_slot(&slots[i]);
	keyring_free(&keyring);
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	buffer_t *text;

	check((const char *)data, size);
	text = buffer_create_dynamic(default_pool, 1024);
	buffer_append(text, HEADER, strlen(HEADER));
	buffer_append(text, data, size);
	check(text->data, text->used);
	buffer_free(&text);
}
FUZZ_END
