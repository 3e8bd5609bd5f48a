/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "age/argon2id.h"
#include "edit-private.h"

/* Adding, replacing and removing slots. */

static int
check_room(const struct keyring_edit *edit, const char **error_r)
{
	const struct edit_slot *eslot;
	unsigned int count = 0;

	array_foreach(&edit->slots, eslot) {
		if (!eslot->removed)
			count++;
	}
	if (count < KEYRING_MAX_SLOTS)
		return 0;
	*error_r = t_strdup_printf("the keyring has %u slots already, more are "
				   "not allowed", count);
	return -1;
}

int keyring_edit_check_new(const struct keyring_edit *edit, const char *label,
			   const char **error_r)
{
	const struct edit_slot *eslot;

	if (check_room(edit, error_r) < 0)
		return -1;
	if (label == NULL)
		return 0;
	if (keyring_label_check(label, error_r) < 0)
		return -1;
	array_foreach(&edit->slots, eslot) {
		if (!eslot->removed && eslot->slot.label != NULL &&
		    strcmp(eslot->slot.label, label) == 0) {
			*error_r = t_strdup_printf(
				"another slot has the label \"%s\"", label);
			return -1;
		}
	}
	return 0;
}

/* What a login with a wrong password would cost, without the slot that is to be
   replaced. */
static int
check_password_room(const struct keyring_edit *edit,
		    const struct edit_slot *replaced,
		    const struct keyring_costs *costs, const char **error_r)
{
	uint64_t work = (uint64_t)costs->memory_kib * costs->passes, slot_work;
	const struct edit_slot *eslot;
	unsigned int count = 1;
	const char *error;

	array_foreach(&edit->slots, eslot) {
		if (eslot->removed || eslot == replaced ||
		    !keyring_slot_takes_password(&eslot->slot))
			continue;
		count++;
		/* a damaged one is refused in the end */
		if (keyring_slot_work(&eslot->slot, &slot_work, &error) == 0)
			work += slot_work;
	}
	if (count > KEYRING_MAX_PASSWORD_SLOTS) {
		*error_r = t_strdup_printf("the keyring has %u password slots "
			"already, a login would not try more", count - 1);
		return -1;
	}
	if (work > KEYRING_MAX_WORK) {
		*error_r = t_strdup_printf("the %u password slots would "
			"together cost more than a login may", count);
		return -1;
	}
	return 0;
}

struct edit_slot *
keyring_edit_add_slot(struct keyring_edit *edit, enum keyring_slot_kind kind,
		      const char *kind_name, const char *method,
		      const char *label, const char *recipient)
{
	struct edit_slot *eslot = array_append_space(&edit->slots);

	eslot->slot.kind = kind;
	eslot->slot.kind_name = kind_name;
	eslot->slot.method = method;
	eslot->slot.created = p_strdup(edit->pool, keyring_date_now());
	eslot->slot.label = p_strdup(edit->pool, label);
	eslot->slot.recipient = p_strdup(edit->pool, recipient);
	eslot->slot.listed = TRUE;
	eslot->gap = "";
	eslot->added = TRUE;
	edit->changed = TRUE;
	return eslot;
}

int keyring_edit_add_password(struct keyring_edit *edit, const char *secret,
			      const struct keyring_costs *costs,
			      const char *label, const char **error_r)
{
	struct age_argon2id_recipient recipient;
	struct edit_slot *eslot;

	i_assert(keyring_secret_is_valid(secret));
	if (keyring_edit_check_new(edit, label, error_r) < 0 ||
	    check_password_room(edit, NULL, costs, error_r) < 0)
		return -1;

	eslot = keyring_edit_add_slot(edit, KEYRING_SLOT_PASSWORD, "password",
				      "argon2id", label, NULL);
	age_argon2id_recipient_init(&recipient, secret, costs->passes,
				    costs->memory_kib);
	if (keyring_edit_seal(edit, eslot, &recipient.recipient, error_r) < 0) {
		array_pop_back(&edit->slots);
		return -1;
	}
	return 0;
}

/* A slot of the keyring at the beginning. */
static int
find_slot(struct keyring_edit *edit, unsigned int idx,
	  struct edit_slot **eslot_r, const char **error_r)
{
	unsigned int count = edit->keyring == NULL ? 0 :
		array_count(&edit->keyring->slots);

	if (idx >= count) {
		*error_r = t_strdup_printf("there is no slot %u, the keyring "
			"has %u", idx + 1, count);
		return -1;
	}
	*eslot_r = array_idx_modifiable(&edit->slots, idx);
	if (!(*eslot_r)->removed)
		return 0;
	*error_r = t_strdup_printf("slot %u was removed already", idx + 1);
	return -1;
}

int keyring_edit_set_password(struct keyring_edit *edit, unsigned int slot_idx,
			      const char *secret,
			      const struct keyring_costs *costs,
			      const char **error_r)
{
	struct age_argon2id_recipient recipient;
	struct edit_slot *eslot, old;

	i_assert(keyring_secret_is_valid(secret));
	if (find_slot(edit, slot_idx, &eslot, error_r) < 0)
		return -1;
	if (!keyring_slot_takes_password(&eslot->slot)) {
		*error_r = t_strdup_printf("slot %u is not a password slot, it "
			"is \"%s %s\"", slot_idx + 1, eslot->slot.kind_name,
			eslot->slot.method);
		return -1;
	}
	if (check_password_room(edit, eslot, costs, error_r) < 0)
		return -1;

	old = *eslot;
	eslot->slot.method = "argon2id";
	eslot->slot.created = p_strdup(edit->pool, keyring_date_now());
	eslot->slot.identity = NULL;
	age_argon2id_recipient_init(&recipient, secret, costs->passes,
				    costs->memory_kib);
	if (keyring_edit_seal(edit, eslot, &recipient.recipient, error_r) < 0) {
		*eslot = old;
		return -1;
	}
	return 0;
}

int keyring_edit_add_recovery(struct keyring_edit *edit, const char *label,
			      struct age_x25519_identity *code_r,
			      const char **error_r)
{
	struct age_x25519_recipient recipient;

	i_zero(code_r);
	if (keyring_edit_check_new(edit, label, error_r) < 0)
		return -1;
	age_x25519_identity_generate(code_r);
	age_x25519_identity_recipient(code_r, &recipient);
	(void)keyring_edit_add_slot(edit, KEYRING_SLOT_RECOVERY, "recovery",
				    KEYRING_METHOD_X25519, label,
				    age_x25519_recipient_str(&recipient));
	return 0;
}

void keyring_edit_remove_slot(struct keyring_edit *edit,
			      struct edit_slot *eslot)
{
	eslot->removed = TRUE;
	edit->changed = TRUE;
}

int keyring_edit_remove(struct keyring_edit *edit, unsigned int slot_idx,
			const char **error_r)
{
	struct edit_slot *eslot;

	if (find_slot(edit, slot_idx, &eslot, error_r) < 0)
		return -1;
	if (eslot->slot.kind == KEYRING_SLOT_LINK && eslot->slot.listed) {
		*error_r = t_strdup_printf("slot %u is a link that other slots "
			"need until they are written anew: remove those",
			slot_idx + 1);
		return -1;
	}
	keyring_edit_remove_slot(edit, eslot);
	return 0;
}

unsigned int keyring_edit_remove_kind(struct keyring_edit *edit,
				      enum keyring_slot_kind kind)
{
	struct edit_slot *eslot;
	unsigned int count = 0;

	array_foreach_modifiable(&edit->slots, eslot) {
		if (!eslot->removed && !eslot->added &&
		    eslot->slot.kind == kind) {
			keyring_edit_remove_slot(edit, eslot);
			count++;
		}
	}
	return count;
}

unsigned int keyring_edit_remove_marked(struct keyring_edit *edit)
{
	struct edit_slot *eslot;
	unsigned int count = 0;

	array_foreach_modifiable(&edit->slots, eslot) {
		if (!eslot->removed && eslot->slot.identity != NULL) {
			keyring_edit_remove_slot(edit, eslot);
			count++;
		}
	}
	return count;
}
