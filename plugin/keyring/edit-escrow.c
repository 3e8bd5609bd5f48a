/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "edit-private.h"

/* Slots for an organisation's recipients. */

static struct edit_slot *
find_escrow(struct keyring_edit *edit,
	    const struct age_x25519_recipient *recipient)
{
	const char *str = age_x25519_recipient_str(recipient);
	struct edit_slot *eslot;

	array_foreach_modifiable(&edit->slots, eslot) {
		if (!eslot->removed &&
		    eslot->slot.kind == KEYRING_SLOT_ESCROW &&
		    keyring_edit_can_seal(eslot) &&
		    strcmp(eslot->slot.recipient, str) == 0)
			return eslot;
	}
	return NULL;
}

int keyring_edit_add_escrow(struct keyring_edit *edit,
			    const struct age_x25519_recipient *recipient,
			    const char *label, const char **error_r)
{
	const char *str = age_x25519_recipient_str(recipient);

	if (keyring_edit_check_new(edit, label, error_r) < 0)
		return -1;
	if (strcmp(str, edit->recipient) == 0) {
		*error_r = t_strdup_printf("the escrow recipient %s is the "
			"keyring's own recipient", str);
		return -1;
	}
	if (find_escrow(edit, recipient) != NULL) {
		*error_r = t_strdup_printf("the keyring has an escrow slot for "
			"%s already", str);
		return -1;
	}
	(void)keyring_edit_add_slot(edit, KEYRING_SLOT_ESCROW, "escrow",
				    KEYRING_METHOD_X25519, label, str);
	return 0;
}

static bool
recipients_have(const struct age_x25519_recipient *recipients,
		unsigned int count, const struct age_x25519_recipient *wanted)
{
	for (unsigned int i = 0; i < count; i++) {
		if (memcmp(recipients[i].key, wanted->key,
			   sizeof(wanted->key)) == 0)
			return TRUE;
	}
	return FALSE;
}

/* TRUE if it is the slot that one of these recipients is to have. */
static bool
escrow_is_wanted(struct keyring_edit *edit, const struct edit_slot *eslot,
		 const struct age_x25519_recipient *recipients,
		 unsigned int count)
{
	struct age_x25519_recipient recipient;
	const char *error;

	return keyring_edit_can_seal(eslot) &&
		age_x25519_recipient_parse(eslot->slot.recipient, &recipient,
					   &error) == 0 &&
		recipients_have(recipients, count, &recipient) &&
		find_escrow(edit, &recipient) == eslot;
}

int keyring_edit_sync_escrow(struct keyring_edit *edit,
			     const struct age_x25519_recipient *recipients,
			     unsigned int count, const char **error_r)
{
	struct edit_slot *eslot;
	int ret = 0;

	for (unsigned int i = 1; i < count; i++) {
		if (recipients_have(recipients, i, &recipients[i])) {
			*error_r = t_strdup_printf(
				"escrow recipient %s is given twice",
				age_x25519_recipient_str(&recipients[i]));
			return -1;
		}
	}
	array_foreach_modifiable(&edit->slots, eslot) {
		if (!eslot->removed &&
		    eslot->slot.kind == KEYRING_SLOT_ESCROW &&
		    !escrow_is_wanted(edit, eslot, recipients, count)) {
			keyring_edit_remove_slot(edit, eslot);
			ret = 1;
		}
	}
	for (unsigned int i = 0; i < count; i++) {
		if (find_escrow(edit, &recipients[i]) != NULL)
			continue;
		if (keyring_edit_add_escrow(edit, &recipients[i], NULL,
					    error_r) < 0)
			return -1;
		ret = 1;
	}
	return ret;
}
