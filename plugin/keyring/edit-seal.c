/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "edit-private.h"

/* The texts of slots: sealing the identities into them, marking those whose
   secret isn't at hand, and linking the marked ones. */

bool keyring_edit_can_seal(const struct edit_slot *eslot)
{
	struct age_x25519_recipient recipient;
	const char *error;

	/* A recipient that isn't vouched for by the list could be anybody's. */
	return keyring_slot_takes_identity(&eslot->slot) &&
		eslot->slot.listed && eslot->slot.recipient != NULL &&
		age_x25519_recipient_parse(eslot->slot.recipient, &recipient,
					   &error) == 0;
}

static void append_line(const struct keyring_slot *slot, string_t *dest)
{
	str_printfa(dest, KEYRING_SLOT_PREFIX" %s %s %s", slot->kind_name,
		    slot->method, slot->created);
	if (slot->text != NULL)
		keyring_slot_copy_attributes(slot, "identity", dest);
	else {
		if (slot->label != NULL)
			keyring_slot_append_attribute(dest, "label",
						      slot->label);
		if (slot->recipient != NULL)
			keyring_slot_append_attribute(dest, "recipient",
						      slot->recipient);
	}
	if (slot->identity != NULL)
		keyring_slot_append_attribute(dest, "identity", slot->identity);
	str_append_c(dest, '\n');
}

/* Set the text from the slot's words and this armored file. */
static void set_text(struct keyring_edit *edit, struct edit_slot *eslot,
		     const char *armor)
{
	string_t *text = t_str_new(1024);
	size_t line_size;

	append_line(&eslot->slot, text);
	line_size = str_len(text);
	str_append(text, armor);
	eslot->slot.text = p_strdup(edit->pool, str_c(text));
	eslot->slot.armor = eslot->slot.text + line_size;
	edit->changed = TRUE;
}

int keyring_edit_seal(struct keyring_edit *edit, struct edit_slot *eslot,
		      const struct age_recipient *recipient,
		      const char **error_r)
{
	string_t *armor = t_str_new(1024);

	if (keyring_slot_seal(edit->identities,
			      array_is_empty(&edit->earlier) ? NULL :
			      array_front(&edit->earlier),
			      recipient, armor, error_r) < 0)
		return -1;
	eslot->slot.identity = NULL;
	eslot->generation = edit->generation;
	eslot->holds = edit->recipient;
	set_text(edit, eslot, str_c(armor));
	return 0;
}

static int seal_to_recipient(struct keyring_edit *edit, struct edit_slot *eslot,
			     const char **error_r)
{
	struct age_x25519_recipient recipient;

	if (age_x25519_recipient_parse(eslot->slot.recipient, &recipient,
				       error_r) < 0)
		i_unreached();
	if (keyring_edit_seal(edit, eslot, &recipient.recipient,
			      error_r) == 0)
		return 0;
	*error_r = t_strdup_printf("cannot seal to %s: %s",
				   eslot->slot.recipient, *error_r);
	return -1;
}

static int update_slot(struct keyring_edit *edit, struct edit_slot *eslot,
		       const char **error_r)
{
	if (eslot->slot.text != NULL && eslot->generation == edit->generation)
		return 0;
	if (keyring_edit_can_seal(eslot))
		return seal_to_recipient(edit, eslot, error_r);
	if (eslot->slot.identity == NULL &&
	    strcmp(eslot->holds, edit->recipient) != 0) {
		eslot->slot.identity = eslot->holds;
		set_text(edit, eslot, eslot->slot.armor);
	}
	return 0;
}

/* TRUE if a slot is marked with this recipient. */
static bool
link_is_needed(const struct keyring_edit *edit, const char *recipient)
{
	const struct edit_slot *eslot;

	array_foreach(&edit->slots, eslot) {
		if (!eslot->removed && eslot->slot.identity != NULL &&
		    strcmp(eslot->slot.identity, recipient) == 0)
			return TRUE;
	}
	return FALSE;
}

static struct edit_slot *
link_find(struct keyring_edit *edit, const char *recipient)
{
	struct edit_slot *eslot;

	array_foreach_modifiable(&edit->slots, eslot) {
		if (!eslot->removed &&
		    eslot->slot.kind == KEYRING_SLOT_LINK &&
		    keyring_edit_can_seal(eslot) &&
		    strcmp(eslot->slot.recipient, recipient) == 0)
			return eslot;
	}
	return NULL;
}

/* Damaged ones go, too: those that are needed are made again. */
static void links_drop(struct keyring_edit *edit)
{
	struct edit_slot *eslot;

	array_foreach_modifiable(&edit->slots, eslot) {
		if (!eslot->removed &&
		    eslot->slot.kind == KEYRING_SLOT_LINK &&
		    (!keyring_edit_can_seal(eslot) ||
		     !link_is_needed(edit, eslot->slot.recipient) ||
		     link_find(edit, eslot->slot.recipient) != eslot))
			keyring_edit_remove_slot(edit, eslot);
	}
}

static int link_add(struct keyring_edit *edit, const char *recipient,
		    const char **error_r)
{
	struct edit_slot *eslot;

	if (keyring_edit_check_new(edit, NULL, error_r) < 0)
		return -1;
	eslot = keyring_edit_add_slot(edit, KEYRING_SLOT_LINK, "link",
				      KEYRING_METHOD_X25519, NULL, recipient);
	if (!keyring_edit_can_seal(eslot)) {
		*error_r = t_strdup_printf("a slot is marked with identity=%s, "
			"which is not an X25519 recipient", recipient);
		return -1;
	}
	return seal_to_recipient(edit, eslot, error_r);
}

static int links_add(struct keyring_edit *edit, const char **error_r)
{
	/* links are added behind them */
	unsigned int count = array_count(&edit->slots);

	for (unsigned int i = 0; i < count; i++) {
		const struct edit_slot *eslot = array_idx(&edit->slots, i);

		if (!eslot->removed && eslot->slot.identity != NULL &&
		    link_find(edit, eslot->slot.identity) == NULL &&
		    link_add(edit, eslot->slot.identity, error_r) < 0)
			return -1;
	}
	return 0;
}

int keyring_edit_seal_all(struct keyring_edit *edit, const char **error_r)
{
	struct edit_slot *eslot;

	array_foreach_modifiable(&edit->slots, eslot) {
		if (!eslot->removed &&
		    eslot->slot.kind != KEYRING_SLOT_LINK &&
		    update_slot(edit, eslot, error_r) < 0)
			return -1;
	}
	links_drop(edit);
	array_foreach_modifiable(&edit->slots, eslot) {
		if (!eslot->removed &&
		    eslot->slot.kind == KEYRING_SLOT_LINK &&
		    update_slot(edit, eslot, error_r) < 0)
			return -1;
	}
	return links_add(edit, error_r);
}
