/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_VERIFY_H
#define MAIL_VERIFY_H

/* Look at each stored message of a mailbox: is it sealed, to whom, and is it
   whole? Nothing is changed or released. */

struct mailbox;
struct age_identities;

enum mail_seal_verify_depth {
	/* The beginning of each file: with identities it costs one X25519 for
	   each message and identity, and the payload isn't read. */
	MAIL_SEAL_VERIFY_HEADER,
	/* All of it: with identities each byte is authenticated; without, the
	   header must be well-formed and the payload of a size that age files
	   have. */
	MAIL_SEAL_VERIFY_WHOLE
};

enum mail_seal_verify_state {
	/* Sealed, and nothing is wrong as far as was looked. */
	MAIL_SEAL_VERIFY_SEALED,
	MAIL_SEAL_VERIFY_PLAIN,
	/* Sealed to none of the identities. */
	MAIL_SEAL_VERIFY_FOREIGN,
	/* Neither plain nor as it was sealed, or it can't be read. */
	MAIL_SEAL_VERIFY_DAMAGED
};
#define MAIL_SEAL_VERIFY_STATE_COUNT 4

struct mail_seal_verify_result {
	uint32_t uid;
	enum mail_seal_verify_state state;
	/* As stored, in bytes, without what dbox puts around a message. 0 if it
	   can't be read. */
	uint64_t size;
	/* The received date (INTERNALDATE); (time_t)-1 if it isn't known. */
	time_t received;
	/* SEALED, with identities: which of them opens it. */
	unsigned int identity;
	/* DAMAGED: what is wrong. */
	const char *error;
};

/* Called for each message, in the order of UIDs. Returns FALSE to stop. result
   lives for the call. */
typedef bool
mail_seal_verify_callback_t(const struct mail_seal_verify_result *result,
			    void *context);

/* Look through a mailbox, which is opened and synced if need be. identities may
   be NULL. Messages that are expunged meanwhile are left out; memory doesn't grow
   with messages. Returns 0, or -1 and error_r if the mailbox can't be looked
   through. */
int mail_seal_verify_mailbox(struct mailbox *box,
			     const struct age_identities *identities,
			     enum mail_seal_verify_depth depth,
			     mail_seal_verify_callback_t *callback,
			     void *context, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
