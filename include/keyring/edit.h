/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_EDIT_H
#define KEYRING_EDIT_H

#include "keyring/keyring.h"

/* Changing a keyring. An edit begins with a keyring and its open identities,
   gathers any number of changes, and gives a new keyring; the old one stays as
   it is. Nothing is stored here: edits run within the callback of
   keyring_store_update(), which gives the keyring that is stored now.

     if (keyring_edit_begin(keyring, opened.identities, &edit, error_r) < 0)
             return -1;
     if (keyring_edit_set_password(edit, opened.slot_idx, secret, &costs,
                                   error_r) < 0)
             …keyring_edit_abort(&edit)
     return keyring_edit_finish(&edit, 0, &new_keyring, NULL, error_r);

   Slots are counted as keyring_slots() counts them in the keyring at the
   beginning, whatever was removed since; new slots can't be addressed.

   What an edit doesn't know is kept: header lines, comments, slots, and the
   name="value" of slot lines. If the identities changed (rotation, forgetting),
   all slots are written anew whose recipient is known; the other ones are marked
   and reached by a link slot, as keyring.h describes, unless their password is
   set in the same edit. Link slots that nobody needs any more are dropped.

   Error texts hold no secret and are fit for the person who asked. An edit
   stays usable after an error. */

struct keyring_edit;

enum keyring_edit_flags {
	/* Let the last slot go that opens the keyring. */
	KEYRING_EDIT_FORCE = 0x01
};

/* Begin with a keyring and its identities as keyring_open_*() gave them, which
   are copied. The keyring must live until the edit ends. Returns 0, or -1 and
   error_r if they aren't this keyring's: it was changed meanwhile, or by someone
   who doesn't know them. */
int keyring_edit_begin(const struct keyring *keyring,
		       const struct age_identities *identities,
		       struct keyring_edit **edit_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* Begin with a new identity and no slot: for enrolling. */
struct keyring_edit *keyring_edit_begin_new(void);
/* Free and set *edit to NULL; NULL inside is fine. */
void keyring_edit_abort(struct keyring_edit **edit);

/* Write the new keyring and end the edit, also on failure. If identities_r isn't
   NULL, its identities are given out, current one first; the caller frees them.
   Returns 1 and the new keyring, which the caller frees; 0 if nothing was
   changed (neither result is then set); -1 and error_r if no slot that opens it
   would be left (without KEYRING_EDIT_FORCE), if a slot that isn't listed would
   stay, or if the keyring would be too large. */
int keyring_edit_finish(struct keyring_edit **edit,
			enum keyring_edit_flags flags,
			struct keyring **keyring_r,
			struct age_identities **identities_r,
			const char **error_r) ATTR_WARN_UNUSED_RESULT;

/* How many slots of each kind there would be if the edit were finished now,
   before link slots are added or dropped. */
void keyring_edit_count(const struct keyring_edit *edit,
			struct keyring_slot_counts *counts_r);

/* A label may be NULL. A label that another slot has is an error everywhere. */

/* Add a password slot. secret as for keyring_create(). Takes as long as the
   costs say. Returns 0, or -1 and error_r: no memory for Argon2id; more than
   KEYRING_MAX_PASSWORD_SLOTS, or together more expensive than a login may be. */
int keyring_edit_add_password(struct keyring_edit *edit, const char *secret,
			      const struct keyring_costs *costs,
			      const char *label, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* Replace the password slot slot_idx, for a changed secret or to have it hold
   the identities of now. Keeps its place, label and unknown attributes. */
int keyring_edit_set_password(struct keyring_edit *edit, unsigned int slot_idx,
			      const char *secret,
			      const struct keyring_costs *costs,
			      const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Make a recovery identity and add a slot for it. It is kept nowhere: code_r
   lies in the caller's secret_alloc() memory and is to be shown once, by
   age_x25519_identity_str(). Returns 0, or -1 and error_r; code_r is then
   zeroed. */
int keyring_edit_add_recovery(struct keyring_edit *edit, const char *label,
			      struct age_x25519_identity *code_r,
			      const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Add an escrow slot. A second one for the same recipient is an error. */
int keyring_edit_add_escrow(struct keyring_edit *edit,
			    const struct age_x25519_recipient *recipient,
			    const char *label, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Remove a slot. Returns 0, or -1 and error_r if there is no such slot (any
   more), or it is a link slot, which goes with the slots that need it. */
int keyring_edit_remove(struct keyring_edit *edit, unsigned int slot_idx,
			const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Remove every slot of a kind: all recovery slots, before or after a new one is
   added, which stays. Returns how many there were. */
unsigned int keyring_edit_remove_kind(struct keyring_edit *edit,
				      enum keyring_slot_kind kind);
/* Remove every slot that a rotation could not write anew. Returns how many. */
unsigned int keyring_edit_remove_marked(struct keyring_edit *edit);
/* Add and drop escrow slots so that each of these recipients has one and nobody
   else has. Returns 1 if something was changed, 0 if it was so already, -1 and
   error_r if two recipients are alike or there would be too many slots. */
int keyring_edit_sync_escrow(struct keyring_edit *edit,
			     const struct age_x25519_recipient *recipients,
			     unsigned int count, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Make a new identity the current one and its recipient the first recipient.
   Set the password of the slots whose secret is known in the same edit. Returns
   0, or -1 and error_r if there would be too many identities. */
int keyring_edit_rotate(struct keyring_edit *edit, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* Forget an earlier identity; NULL forgets all of them. Mail that only it opens
   is lost. Password slots whose secret isn't known hold it until they are
   written anew, but it is no longer taken from them. Returns 1; 0 if there is
   none; -1 and error_r if it isn't an earlier one. */
int keyring_edit_forget(struct keyring_edit *edit,
			const struct age_x25519_recipient *recipient,
			const char **error_r) ATTR_WARN_UNUSED_RESULT;

#endif
