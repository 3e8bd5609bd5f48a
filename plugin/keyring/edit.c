/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "edit-private.h"

/* Beginning an edit, and changing its identities. Slots are changed in
   edit-slots.c, the new text is written in edit-write.c. */

static struct keyring_edit *edit_alloc(void)
{
	pool_t pool = pool_alloconly_create("keyring edit", 4096);
	struct keyring_edit *edit = p_new(pool, struct keyring_edit, 1);

	edit->pool = pool;
	edit->identities = age_identities_init();
	p_array_init(&edit->earlier, pool, 2);
	p_array_init(&edit->slots, pool, 4);
	return edit;
}

static void identities_add_new(struct age_identities *identities)
{
	void *identity = secret_alloc(sizeof(struct age_x25519_identity));

	age_x25519_identity_generate(identity);
	age_identities_add(identities, identity);
	secret_free(&identity);
}

static void set_recipient(struct keyring_edit *edit)
{
	struct age_x25519_recipient recipient;

	age_x25519_identity_recipient(age_identities_get(edit->identities, 0),
				      &recipient);
	edit->recipient = p_strdup(edit->pool,
				   age_x25519_recipient_str(&recipient));
}

struct keyring_edit *keyring_edit_begin_new(void)
{
	struct keyring_edit *edit = edit_alloc();

	identities_add_new(edit->identities);
	set_recipient(edit);
	edit->changed = TRUE;
	return edit;
}

void keyring_edit_abort(struct keyring_edit **_edit)
{
	struct keyring_edit *edit = *_edit;

	if (edit == NULL)
		return;
	*_edit = NULL;
	age_identities_deinit(&edit->identities);
	pool_unref(&edit->pool);
}

/* The earlier identities, of which a keyring of an earlier version doesn't tell
   since when they are. */
static void begin_earlier(struct keyring_edit *edit)
{
	const struct keyring *keyring = edit->keyring;
	struct keyring_earlier earlier;

	if (keyring->has_list) {
		array_append_array(&edit->earlier, &keyring->earlier);
		return;
	}
	for (unsigned int i = 1; i < age_identities_count(edit->identities);
	     i++) {
		age_x25519_identity_recipient(
			age_identities_get(edit->identities, i),
			&earlier.recipient);
		earlier.until = p_strdup(edit->pool, keyring_date_now());
		array_push_back(&edit->earlier, &earlier);
	}
}

static void begin_slots(struct keyring_edit *edit)
{
	const struct keyring *keyring = edit->keyring;
	const struct keyring_slot *slot;

	array_foreach(&keyring->slots, slot) {
		const struct keyring_place *place =
			array_idx(&keyring->places,
				  array_foreach_idx(&keyring->slots, slot));
		struct edit_slot *eslot = array_append_space(&edit->slots);

		eslot->slot = *slot;
		eslot->holds = slot->identity != NULL ? slot->identity :
			edit->recipient;
		eslot->gap = p_strndup(edit->pool,
				       keyring->text + place->gap_offset,
				       place->offset - place->gap_offset);
	}
}

int keyring_edit_begin(const struct keyring *keyring,
		       const struct age_identities *identities,
		       struct keyring_edit **edit_r, const char **error_r)
{
	struct keyring_edit *edit;
	struct age_identities *selected;
	const char *error;

	*edit_r = NULL;
	if (keyring_verify(keyring, age_identities_get(identities, 0),
			   &error) < 0 ||
	    keyring_select_identities(keyring, identities, &selected,
				      &error) < 0) {
		*error_r = t_strdup_printf("these identities are not of this "
			"keyring, it was changed meanwhile: %s", error);
		return -1;
	}
	if (array_count(&keyring->earlier) == 0 &&
	    age_identities_count(selected) > KEYRING_MAX_EARLIER + 1) {
		*error_r = "the slots hold too many identities";
		age_identities_deinit(&selected);
		return -1;
	}
	edit = edit_alloc();
	edit->keyring = keyring;
	age_identities_deinit(&edit->identities);
	edit->identities = selected;
	set_recipient(edit);
	begin_earlier(edit);
	begin_slots(edit);
	*edit_r = edit;
	return 0;
}

void keyring_edit_count(const struct keyring_edit *edit,
			struct keyring_slot_counts *counts_r)
{
	const struct edit_slot *eslot;

	i_zero(counts_r);
	array_foreach(&edit->slots, eslot) {
		if (!eslot->removed)
			keyring_count_slot(&eslot->slot, counts_r);
	}
}

static void identities_changed(struct keyring_edit *edit,
			       struct age_identities *identities)
{
	age_identities_deinit(&edit->identities);
	edit->identities = identities;
	set_recipient(edit);
	edit->generation++;
	edit->changed = TRUE;
}

int keyring_edit_rotate(struct keyring_edit *edit, const char **error_r)
{
	struct age_identities *identities;
	struct keyring_earlier earlier;

	if (array_count(&edit->earlier) == KEYRING_MAX_EARLIER) {
		*error_r = t_strdup_printf("the keyring keeps %u earlier "
			"identities, no more are allowed: forget some first",
			array_count(&edit->earlier));
		return -1;
	}
	age_x25519_identity_recipient(age_identities_get(edit->identities, 0),
				      &earlier.recipient);
	earlier.until = p_strdup(edit->pool, keyring_date_now());
	array_push_front(&edit->earlier, &earlier);

	identities = age_identities_init();
	identities_add_new(identities);
	for (unsigned int i = 0; i < age_identities_count(edit->identities);
	     i++) {
		age_identities_add(identities,
				   age_identities_get(edit->identities, i));
	}
	identities_changed(edit, identities);
	return 0;
}

/* Keep the identities of the keyring but for the earlier ones in [first, first +
   count). */
static void
forget_range(struct keyring_edit *edit, unsigned int first, unsigned int count)
{
	struct age_identities *identities = age_identities_init();

	for (unsigned int i = 0; i < age_identities_count(edit->identities);
	     i++) {
		if (i < first + 1 || i >= first + 1 + count) {
			age_identities_add(identities, age_identities_get(
				edit->identities, i));
		}
	}
	array_delete(&edit->earlier, first, count);
	identities_changed(edit, identities);
}

int keyring_edit_forget(struct keyring_edit *edit,
			const struct age_x25519_recipient *recipient,
			const char **error_r)
{
	const struct keyring_earlier *earlier;
	unsigned int count = array_count(&edit->earlier);

	if (recipient == NULL) {
		if (count == 0)
			return 0;
		forget_range(edit, 0, count);
		return 1;
	}
	array_foreach(&edit->earlier, earlier) {
		if (memcmp(earlier->recipient.key, recipient->key,
			   sizeof(recipient->key)) == 0) {
			forget_range(edit, array_foreach_idx(&edit->earlier,
							     earlier), 1);
			return 1;
		}
	}
	*error_r = t_strdup_printf("%s is not the recipient of an earlier "
		"identity of this keyring", age_x25519_recipient_str(recipient));
	return -1;
}
