/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_EDIT_PRIVATE_H
#define KEYRING_EDIT_PRIVATE_H

#include "keyring/edit.h"
#include "keyring/keyring-private.h"

/* A slot of the new keyring. */
struct edit_slot {
	/* As it was or will be: text and armor are NULL as long as it has to be
	   sealed. */
	struct keyring_slot slot;
	/* Comments and empty lines before it. They stay if it is removed. */
	const char *gap;
	/* The identities in it are those that the edit had at this
	   generation, and the first one's recipient was this. */
	unsigned int generation;
	const char *holds;
	bool removed;
	/* Not in the keyring at the beginning. */
	bool added;
};

struct keyring_edit {
	pool_t pool;
	/* NULL for a new one. */
	const struct keyring *keyring;
	/* The ones of the new keyring, the current one first, and until when
	   the others were current. */
	struct age_identities *identities;
	ARRAY(struct keyring_earlier) earlier;
	/* Counts up with each change of the identities. */
	unsigned int generation;
	/* The recipient of the current identity, "age1…". */
	const char *recipient;
	/* Those of the keyring first, in its order. */
	ARRAY(struct edit_slot) slots;
	bool changed;
};

/* Check whether a slot may be added with this label, which may be NULL. Returns
   0, or -1 and error_r. */
int keyring_edit_check_new(const struct keyring_edit *edit, const char *label,
			   const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Add a slot without content. The words and the recipient are not copied. */
struct edit_slot *
keyring_edit_add_slot(struct keyring_edit *edit, enum keyring_slot_kind kind,
		      const char *kind_name, const char *method,
		      const char *label, const char *recipient);
void keyring_edit_remove_slot(struct keyring_edit *edit,
			      struct edit_slot *eslot);
/* TRUE if the slot can be sealed without its secret. */
bool keyring_edit_can_seal(const struct edit_slot *eslot);
/* Seal the identities into a slot and write its text. Returns 0, or -1 and
   error_r; the slot is then unchanged. */
int keyring_edit_seal(struct keyring_edit *edit, struct edit_slot *eslot,
		      const struct age_recipient *recipient,
		      const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Seal, mark and link what the changes demand. Returns 0, or -1 and error_r. */
int keyring_edit_seal_all(struct keyring_edit *edit, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
