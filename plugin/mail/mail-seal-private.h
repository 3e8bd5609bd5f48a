/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_MAIL_SEAL_PRIVATE_H
#define PLUGIN_MAIL_MAIL_SEAL_PRIVATE_H

/* The contexts that mail_seal hangs on Dovecot's users, mailboxes and mails,
   and the functions by which the files of this folder call each other. */

#include "module-context.h"
#include "seq-range-array.h"
#include "mail-user.h"
#include "mail-storage-private.h"
#include "crypto/hash.h"
#include "age/keyfile.h"
#include "keyring/store.h"
#include "mail/mail-seal-mail.h"
#include "mail/mail-seal-hooks.h"
#include "mail/mail-seal-keys.h"
#include "settings/mail-seal-settings.h"
#include "file-keys.h"

struct mail_seal_user {
	union mail_user_module_context module_ctx;
	struct mail_seal_settings set;

	/* Open identities, current one first; NULL while locked. */
	struct age_identities *identities;
	/* Grows whenever another process changed them. */
	unsigned int identities_serial;
	/* What new mail is sealed to; empty while not known. */
	ARRAY(struct age_x25519_recipient) recipients;
	/* Grows whenever they change. */
	unsigned int recipients_serial;
	/* The keyring that they came from, and when it was looked at. */
	struct keyring_stamp stamp;
	uint64_t stamp_msecs;
	/* How many identities it has beside the current one. */
	unsigned int earlier_count;
	/* File keys of messages written or opened in this process. */
	struct file_keys *file_keys;
	/* Files rewritten in this process that have further links, or NULL. */
	struct rewrite_links *rewrite_links;
	/* Sealing what arrived before there was a key, or NULL. */
	struct catch_up *catch_up;
	/* The sentence for the client if unlocking failed, else NULL. */
	const char *locked_text;

	bool stamp_known:1;
	bool unlock_tried:1;
	bool refuse_open:1;
	bool verify_on_open:1;
	/* Another process has rotated the identity, this session doesn't have
	   the new one, and a message needed it. */
	bool keys_lost:1;
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
		uint8_t header_hash[HASH_SIZE];
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
	uint8_t header_hash[HASH_SIZE];
	/* The header that is remembered of this message, if so. */
	uint8_t remembered_hash[HASH_SIZE];
	bool remembered:1;
	/* It was rewritten by who has the identity since. */
	bool replaced:1;
	/* It is sealed to the current recipient. */
	bool current:1;
	/* It could not be opened in a session that is locked. */
	bool locked:1;
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

/* mail-seal-config.c */
/* Why mail in this namespace, which has a storage, or words of it could end up
   unsealed, or NULL. For the log: what was found and what to set. */
const char *mail_seal_config_unfit(struct mail_namespace *ns);
/* Dovecot 2.4 forgets lists of the configuration where doveadm makes a second
   user with another mail_path (sync, backup): what the configuration says of
   mail_never_cache_fields for all is set again. Before the user has namespaces. */
void mail_seal_config_mend(struct mail_user *user);
/* Say in the log, once a process, what is allowed but leaves traces. */
void mail_seal_config_warn(struct mail_user *user);

/* mail-seal-userdb.c */
/* The value of a userdb field, or NULL. Not copied. */
const char *mail_seal_userdb_field(struct mail_user *user, const char *name);

/* mail-seal-recipient.c */
/* Fill suser->recipients with those of now. Returns 1 if there is at least one; 0 if the user is
   not enrolled; -1 and error_r if the keyring can't be read. */
int mail_seal_recipients_load(struct mail_user *user,
			      struct mail_seal_user *suser,
			      const char **error_r);

/* Know what the keyring of now says of recipients and earlier identities, if
   there is one; nothing is unlocked. Returns 0, or -1 and error_r. */
int mail_seal_keyring_look(struct mail_user *user, const char **error_r);

/* mail-seal-fresh.c */
/* Set what new mail is sealed to. */
void mail_seal_recipients_set(struct mail_seal_user *suser,
			      const struct age_x25519_recipient *recipients,
			      unsigned int count);
/* Set it to the keyring's, unless the userdb names others. */
void mail_seal_recipients_take(struct mail_user *user,
			       struct mail_seal_user *suser,
			       const struct keyring *keyring);
/* The keyring was loaded: remember which it was. */
void mail_seal_stamp_take(struct mail_seal_user *suser,
			  const struct keyring_store *store);
/* If another process has changed the keyring since, take what is new: recipients,
   and identities if those at hand open it. A dict is asked again after a while,
   or now. Returns 0, or -1 and error_r if it can't be known. */
int mail_seal_refresh(struct mail_user *user, bool now, const char **error_r);
/* TRUE if new mail is sealed to an identity that this session hasn't. */
bool mail_seal_has_lost_keys(const struct mail_seal_user *suser);

/* mail-seal-transaction.c */
/* A message of this owner is stored plain, as there is no key yet. */
void mail_seal_transaction_add_plain(struct mailbox_transaction_context *t,
				     struct mail_user *owner);
/* A message of this owner is saved or copied. The transaction will fail if the
   owner's recipients are others when it's committed. */
void mail_seal_transaction_add(struct mailbox_transaction_context *t,
			       struct mail_user *owner);
int mail_seal_transaction_commit(struct mailbox_transaction_context *t,
				 struct mail_transaction_commit_changes *changes_r);
void mail_seal_transaction_rollback(struct mailbox_transaction_context *t);

/* mail-seal-store.c */
/* Where the keyring is kept, by the settings: in a file or in a dict. The caller
   deinits it. Returns NULL and error_r if there is no such place. */
struct keyring_store *mail_seal_keyring_store(struct mail_user *user,
					      struct mail_seal_user *suser,
					      const char **error_r);

/* mail-seal-move.c */
/* Move the keyring that is in this file, if there is one, to the dict, unless
   that has one. Returns 0, or -1 and error_r if it can't be told whether there is
   one, or if it can't be moved. */
int mail_seal_move_keyring(struct mail_user *user, struct keyring_store *dict,
			   const char *path, const char **error_r);

/* memory.c */
/* Let the stream be opened by what is remembered of the message. */
void mail_seal_memory_use(struct mail *mail, struct mail_seal_mail *smail,
			  struct istream *input);
/* Is it the message that is remembered? smail->header_hash is set. */
bool mail_seal_memory_fits(struct mail *mail, struct mail_seal_mail *smail,
			   struct mail_user *owner);
/* The same of a message that is plain now. */
bool mail_seal_memory_fits_plain(struct mail *mail, struct mail_user *owner);

/* open-key.c */
/* Look whether another process has rotated the user's identity. Returns TRUE if
   there are other identities now. */
bool mail_seal_get_new_identities(struct mail_user *owner);

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
int mail_seal_save_begin(struct mail_save_context *ctx, struct istream *input);
int mail_seal_save_finish(struct mail_save_context *ctx);
/* Append a header for the user's recipients, which were loaded, and for one
   more, unless extra is NULL. mac_r may be NULL. Returns as age_header_seal() does. */
int mail_seal_make_header(struct mail_seal_user *suser,
			  const uint8_t file_key[AGE_FILE_KEY_SIZE],
			  const struct age_recipient *extra,
			  buffer_t *header, uint8_t *mac_r,
			  const char **error_r);
int mail_seal_copy(struct mail_save_context *ctx, struct mail *mail);

#endif
