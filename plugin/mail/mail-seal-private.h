/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_MAIL_SEAL_PRIVATE_H
#define PLUGIN_MAIL_MAIL_SEAL_PRIVATE_H

/* The contexts that mail_seal hangs on Dovecot's users, mailboxes and mails,
   and the functions by which the files of this folder call each other. */

#include "module-context.h"
#include "seq-range-array.h"
#include "mail-user.h"
#include "mail-storage-private.h"
#include "age/keyfile.h"
#include "mail/mail-seal-keys.h"
#include "settings/mail-seal-settings.h"
#include "file-keys.h"

struct mail_seal_user {
	union mail_user_module_context module_ctx;
	struct mail_seal_settings set;

	/* Open identities, current one first; NULL while locked. */
	struct age_identities *identities;
	/* What new mail is sealed to; empty while not known. */
	ARRAY(struct age_x25519_recipient) recipients;
	/* File keys of messages written or opened in this process. */
	struct file_keys *file_keys;
	/* Files rewritten in this process that have further links, or NULL. */
	struct rewrite_links *rewrite_links;
	/* The sentence for the client if unlocking failed, else NULL. */
	const char *locked_text;

	bool unlock_tried:1;
	bool refuse_open:1;
	bool verify_on_open:1;
};

struct mail_seal_mailbox {
	union mailbox_module_context module_ctx;
	/* Messages whose damage was logged: once is enough. */
	ARRAY_TYPE(seq_range) reported_uids;
	/* The message that was opened last. */
	struct {
		/* 0 if there is none. A damaged copy has the header of the
		   whole one, and a header may be exchanged: both count. */
		uint32_t uid;
		uint8_t header_mac[AGE_HEADER_MAC_SIZE];
		/* All of it was authenticated, not the first chunk alone. */
		bool verified;
		/* NULL until it is read in pieces. */
		struct age_chunk_cache *chunks;
	} last;
	/* The message that is being saved here is not sealed. */
	bool saving_plain:1;
};

struct mail_seal_mail {
	union mail_module_context module_ctx;
	/* The open age stream of this message, or NULL. */
	struct istream *input;
	uint8_t header_mac[AGE_HEADER_MAC_SIZE];
	/* Set while a message that was stored plain is looked at again, to see
	   whether it could be mistaken for a sealed one. */
	bool checking_plain:1;
	bool looks_sealed:1;
};

#define MAIL_SEAL_USER_CONTEXT(obj) \
	MODULE_CONTEXT(obj, mail_seal_user_module)
#define MAIL_SEAL_BOX_CONTEXT(obj) \
	MODULE_CONTEXT(obj, mail_seal_storage_module)
#define MAIL_SEAL_MAIL_CONTEXT(obj) \
	MODULE_CONTEXT(obj, mail_seal_mail_module)
extern MODULE_CONTEXT_DEFINE(mail_seal_user_module, &mail_user_module_register);
extern MODULE_CONTEXT_DEFINE(mail_seal_storage_module,
			     &mail_storage_module_register);
extern MODULE_CONTEXT_DEFINE(mail_seal_mail_module, &mail_module_register);

/* mail-seal-user.c */
void mail_seal_user_created(struct mail_user *user);
void mail_seal_namespaces_created(struct mail_namespace *namespaces);
/* The user whose keys a mailbox's messages have: its owner. NULL if it has
   none (a public mailbox) or mail_seal isn't loaded for the owner. */
struct mail_user *mail_seal_mailbox_owner(struct mailbox *box);
/* TRUE if messages of this mailbox lie in files of this store, one by one, so
   that they can be sealed. */
bool mail_seal_mailbox_is_sealable(struct mailbox *box);

/* mail-seal-event.c */
/* The event of mail_seal_user_key_event(), which logging sends and frees. */
struct event *
mail_seal_key_event_create(struct mail_user *user,
			   enum mail_seal_key_event event,
			   const struct mail_seal_key_event_fields *fields);
/* Log "mail_seal: …" at this level, and send the event if it has a name. */
void mail_seal_log_event(struct event *event, enum log_type level,
			 const char *text);

/* mail-seal-userdb.c */
/* The value of a userdb field, or NULL. Not copied. */
const char *mail_seal_userdb_field(struct mail_user *user, const char *name);

/* mail-seal-recipient.c */
/* Fill suser->recipients. Returns 1 if there is at least one; 0 if the user is
   not enrolled; -1 and error_r if the keyring can't be read. */
int mail_seal_recipients_load(struct mail_user *user,
			      struct mail_seal_user *suser,
			      const char **error_r);

/* mail-seal-store.c */
/* Where the keyring is kept, by the settings: in a file or in a dict. The caller
   deinits it. Returns NULL and error_r if there is no such place. */
struct keyring_store *mail_seal_keyring_store(struct mail_user *user,
					      struct mail_seal_user *suser,
					      const char **error_r);

/* mail-seal-open.c */
void mail_seal_mail_allocated(struct mail *mail);

/* last-mail.c: what is known about the message that was opened last. */
bool mail_seal_last_is(struct mail *mail, const struct mail_seal_mail *smail);
/* From now on it's this one, of which the first chunk was authenticated. */
void mail_seal_last_set(struct mail *mail, const struct mail_seal_mail *smail);
/* Set it, and let its stream use and leave chunks for further pieces. */
void mail_seal_last_use_chunks(struct mail *mail,
			       const struct mail_seal_mail *smail);
/* Wipe what there is of it. */
void mail_seal_last_forget(struct mail_seal_mailbox *sbox);

/* mail-seal-mailbox.c, mail-seal-save.c, mail-seal-copy.c */
void mail_seal_mailbox_allocated(struct mailbox *box);
int mail_seal_save_begin(struct mail_save_context *ctx, struct istream *input);
int mail_seal_save_finish(struct mail_save_context *ctx);
/* Append a header for the user's recipients, which were loaded. mac_r may be
   NULL. Returns as age_header_seal() does. */
int mail_seal_make_header(struct mail_seal_user *suser,
			  const uint8_t file_key[AGE_FILE_KEY_SIZE],
			  buffer_t *header, uint8_t *mac_r,
			  const char **error_r);
int mail_seal_copy(struct mail_save_context *ctx, struct mail *mail);

#endif
