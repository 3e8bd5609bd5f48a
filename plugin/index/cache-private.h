/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_INDEX_CACHE_PRIVATE_H
#define PLUGIN_INDEX_CACHE_PRIVATE_H

#include "module-context.h"
#include "mail-storage-private.h"
#include "index-mail.h"
#include "index-storage.h"
#include "cache/header.h"
#include "cache/record.h"
#include "mail/unsealing.h"
#include "stream/istream-age.h"

/* The sealed cache. Dovecot's own cache writer is shut (mail_never_cache_fields =
   *), so nothing of a message's content can come into its cache file in clear
   text, in whatever process. What Dovecot finds out about a message is collected
   when the mail is closed, and sealed into a field of that file (a slot); the
   next time it is answered from there.

   cache-box.c: a mailbox, its key and its fields; cache-purge.c: what must not
   stay in the file; cache-load.c: the records of a message; cache-mail.c and
   cache-headers.c: answers from them; cache-collect.c: new records. */

/* Items are in groups, each with records of its own: what is asked for together
   is opened together, and nothing else. */
enum cache_group {
	/* How it's sealed, numbers, and the headers of most lists and searches */
	CACHE_GROUP_COMMON = 0,
	/* ENVELOPE, BODYSTRUCTURE and the like */
	CACHE_GROUP_STRUCTURE = 1,
	/* All other headers */
	CACHE_GROUP_OTHERS = 2,
	CACHE_GROUP_COUNT
};
/* A record can't be changed, what is new goes into the group's next slot. */
#define CACHE_GROUP_SLOTS 4
#define CACHE_SLOTS_COUNT (CACHE_GROUP_COUNT * CACHE_GROUP_SLOTS)
/* Room for the items of all: items are pointed at, so the buffer can't grow. */
#define CACHE_ITEMS_SIZE (60 * 1024)

struct cache_box {
	union mailbox_module_context module_ctx;
	/* NULL while there is no identity to derive it from. */
	struct cache_key *key;
	/* The current identity's public key. */
	uint8_t identity[AGE_X25519_KEY_SIZE];
	unsigned int slot_fields[CACHE_SLOTS_COUNT];
	/* What is sealed now is remembered with this. */
	struct mail_seal_state state;
	/* What is parsed along with any header. */
	struct mailbox_header_lookup_ctx *headers;
	/* NULL until something is asked that it keeps. */
	struct cache_memo *memo;
	/* Names that clients have asked for and that have no code. */
	ARRAY(char *) asked;
	/* There is another state by now. */
	bool state_old:1;
	/* A record was not authentic: once is enough. */
	bool damage_logged:1;
	/* There was no key when it was opened. */
	bool purge_pending:1;
	bool opened:1;
};

/* One name's header, in items. */
struct cache_mail_header {
	enum {
		CACHE_HEADER_UNKNOWN = 0,
		CACHE_HEADER_ABSENT,
		CACHE_HEADER_FOUND
	} state;
	/* For cache_header_get_lines(). */
	const unsigned char *data;
	size_t size;
};

struct cache_mail_named_header {
	const char *name;
	struct cache_mail_header header;
};

/* The data of CACHE_ITEM_SEAL. */
struct cache_mail_seal {
	uint8_t flags;
	uint8_t state[MAIL_SEAL_STATE_SIZE];
	struct age_istream_known known;
};

struct cache_mail {
	union mail_module_context module_ctx;
	/* Of the struct mail: content that isn't asked of Dovecot before it is
	   known to be missing. */
	enum mail_fetch_field wanted_fields;
	struct mailbox_header_lookup_ctx *wanted_headers;

	/* The following is about the present message, see cache_mail_reset(). */
	enum mail_fetch_field temp_fields;
	struct mailbox_header_lookup_ctx *temp_headers;
	/* The items of all its records; the following point there. Wiped. */
	buffer_t *items;
	/* [type]; data is NULL where there is none. */
	struct cache_item item[CACHE_ITEM_TYPE_COUNT];
	struct cache_mail_header headers[CACHE_HEADER_CODE_COUNT];
	ARRAY(struct cache_mail_named_header) named_headers;
	/* The sizes of each group's records, and the slot after them. */
	size_t records_size[CACHE_GROUP_COUNT];
	unsigned int next_slot[CACHE_GROUP_COUNT];
	/* What is new, in each group, while it's collected. NULL until there is
	   something. Wiped. */
	buffer_t *found[CACHE_GROUP_COUNT];
	/* The last header stream that was answered from records. */
	struct istream *header_stream;

	/* Groups whose records were opened: bits of enum cache_group. */
	unsigned int opened_groups;

	/* It is known whether there is a key. */
	bool checked:1;
	/* There is one: records are read and written. */
	bool active:1;
	/* Dovecot was told what is wanted. */
	bool prepared:1;
	/* Something failed: what is known now may be wrong. */
	bool failed:1;
	/* Dovecot is closing it, and may ask a last time. */
	bool closing:1;
};

#define CACHE_BOX_CONTEXT(obj) MODULE_CONTEXT(obj, cache_box_module)
#define CACHE_MAIL_CONTEXT(obj) MODULE_CONTEXT(obj, cache_mail_module)
extern MODULE_CONTEXT_DEFINE(cache_box_module, &mail_storage_module_register);
extern MODULE_CONTEXT_DEFINE(cache_mail_module, &mail_module_register);

static inline struct cache_mail *cache_mail_get(struct mail *mail)
{
	struct mail_private *pmail =
		container_of(mail, struct mail_private, mail);

	return CACHE_MAIL_CONTEXT(pmail);
}

/* What Dovecot knows of the present message, and the pool that lives as long. */
static inline struct index_mail_data *cache_mail_data(struct mail *mail)
{
	struct index_mail *imail = INDEX_MAIL(mail);

	return &imail->data;
}

static inline pool_t cache_mail_pool(struct mail *mail)
{
	struct index_mail *imail = INDEX_MAIL(mail);

	return imail->mail.data_pool;
}

/* cache-box.c */
void cache_mailbox_allocated(struct mailbox *box);
/* Returns TRUE if there is a key for this mailbox now. */
bool cache_box_activate(struct mailbox *box, struct cache_box *cbox);
/* The same, after unlocking the user if that wasn't tried yet. */
bool cache_box_activate_now(struct mailbox *box, struct cache_box *cbox);
/* The names to be parsed along with any header; NULL if the key is missing. */
struct mailbox_header_lookup_ctx *
cache_box_headers(struct mailbox *box, struct cache_box *cbox);
/* Say once that a record is not authentic. */
void cache_box_log_damage(struct cache_box *cbox, struct event *event);
/* A client asks for this name: from now on it is parsed along. */
void cache_box_ask(struct cache_box *cbox, const char *name);

/* cache-purge.c */
/* Rid the file of whatever isn't sealed by the mailbox's key, or isn't sealed at
   all if there is none. */
void cache_box_purge(struct mailbox *box, struct cache_box *cbox);
/* As struct mail_seal_memory_vfuncs has it. */
void cache_box_rewritten(struct mailbox *box, bool unsealed);

/* cache-load.c */
/* Returns TRUE if the message has a cache, even if nothing is in it. */
bool cache_mail_activate(struct mail *mail, struct cache_mail *cmail);
/* Open a group's records, once. Returns the same. */
bool cache_mail_open_group(struct mail *mail, struct cache_mail *cmail,
			   enum cache_group group);
/* Which group an item belongs to that isn't a header's, and a header by this
   name. */
enum cache_group cache_item_group(enum cache_item_type type);
enum cache_group cache_header_group(const char *name);
void cache_mail_reset(struct cache_mail *cmail);
/* What is known of a header. */
const struct cache_mail_header *
cache_mail_header(struct mail *mail, struct cache_mail *cmail,
		  const char *name);
/* How the message was sealed. Returns FALSE if it isn't known, or was plain. */
bool cache_mail_get_seal(struct mail *mail, struct cache_mail *cmail,
			 struct cache_mail_seal *seal_r);
/* The item if it is known, or NULL. */
const struct cache_item *
cache_mail_item(struct mail *mail, struct cache_mail *cmail,
		enum cache_item_type type);

/* cache-mail.c */
extern const struct mail_seal_memory_vfuncs cache_mail_memory;
void cache_mail_allocated(struct mail *mail);
/* Pass on what Dovecot has returned: what it says after a failure isn't kept. */
int cache_mail_answered(struct mail *mail, struct cache_mail *cmail, int ret);
/* Let Dovecot know the message's dates, if they are known here. */
void cache_mail_fill_dates(struct mail *mail, struct cache_mail *cmail);
/* Tell Dovecot what is wanted and missing, before it looks itself. */
void cache_mail_prepare(struct mail *mail, struct cache_mail *cmail);

/* cache-headers.c */
int cache_mail_get_first_header(struct mail *mail, const char *name,
				bool decode, const char **value_r);
int cache_mail_get_headers(struct mail *mail, const char *name, bool decode,
			   const char *const **value_r);
int cache_mail_get_header_stream(struct mail *mail,
				 struct mailbox_header_lookup_ctx *headers,
				 struct istream **stream_r);

/* cache-collect.c */
/* Seal what is known of the message now and isn't in its records. */
void cache_mail_collect(struct mail *mail, struct cache_mail *cmail);

#endif
