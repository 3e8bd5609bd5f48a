/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_MAIL_SEAL_KEYS_H
#define MAIL_MAIL_SEAL_KEYS_H

/* A user's keys for those who manage them (doveadm seal). The plugin must be
   loaded for the user, as mail_seal_user_is_sealed() tells. */

struct mail_user;
struct keyring_store;
struct age_identities;
struct mail_seal_settings;

const struct mail_seal_settings *
mail_seal_user_settings(struct mail_user *user);

/* Where this user's keyring is kept, by the settings: a file or a dict. The
   caller deinits it. Returns 0, or -1 and error_r. */
int mail_seal_user_store_init(struct mail_user *user,
			      struct keyring_store **store_r,
			      const char **error_r) ATTR_WARN_UNUSED_RESULT;

/* Why there is no keyring to manage although the user has keys: the userdb gives
   mail_seal_recipient or mail_seal_identity. NULL if there may be one. */
const char *mail_seal_user_no_keyring_reason(struct mail_user *user);

/* The open identities of an unlocked user, current one first; NULL while locked.
   Doesn't unlock. They live as long as the user, or until they are set anew. */
const struct age_identities *
mail_seal_user_get_identities(struct mail_user *user);

/* Unlock the user with identities that the caller has opened, which are copied,
   so that its mail can be opened in this process. New mail is sealed to the
   recipients that the keyring then has. */
void mail_seal_user_set_identities(struct mail_user *user,
				   const struct age_identities *identities);

/* What happened to a user's keys. Each is an event for Dovecot's statistics and
   exporters, a child of the user's, and a line of the audit in the log at info
   level. No secret is in any. */
enum mail_seal_key_event {
	MAIL_SEAL_EVENT_ENROLLED,	/* mail_seal_enrolled */
	MAIL_SEAL_EVENT_UNLOCKED,	/* mail_seal_unlocked */
	MAIL_SEAL_EVENT_UNLOCK_FAILED,	/* mail_seal_unlock_failed */
	MAIL_SEAL_EVENT_KEYRING_CHANGED	/* mail_seal_keyring_changed */
};

/* Their fields: these, user, service, rip (the client's address) and result ("ok"
   or "failed"). */
struct mail_seal_key_event_fields {
	/* "password", "recovery", "escrow", "link", "identity", or NULL. */
	const char *slot_kind;
	/* What was done: "password", "recovery new", "slot remove", "escrow
	   sync", "rotate", "forget", "destroy", …; NULL if the event says it. */
	const char *action;
	/* To whom new mail is sealed now; NULL if that is as it was. */
	const char *recipient;
	/* Where the keyring is now; NULL if that is as it was. */
	const char *keyring;
	/* Why it failed; NULL if it didn't. */
	const char *reason;
	/* Microseconds it took; 0 if that wasn't measured. */
	uint64_t duration_usecs;
};

void mail_seal_user_key_event(struct mail_user *user,
			      enum mail_seal_key_event event,
			      const struct mail_seal_key_event_fields *fields);

#endif
