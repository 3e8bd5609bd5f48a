/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail-cache-private.h"
#include "mail-namespace.h"
#include "age/keyfile.h"
#include "mail/mail-seal-keys.h"
#include "mail/mail-seal-mail.h"
#include "mail/mail-seal-user.h"
#include "cache-private.h"
#include "cache-memo.h"
#include "compat-cache.h"

/* A mailbox's key and fields. The key is there as long as the mailbox is open
   and the session has the identity. */

/* So many names without a code: whoever asks for more will wait. */
#define ASKED_MAX_COUNT 32

struct cache_box_module cache_box_module =
	MODULE_CONTEXT_INIT(&mail_storage_module_register);

static const struct age_x25519_identity *current_identity(struct mailbox *box)
{
	const struct age_identities *identities =
		mail_seal_user_get_identities(box->storage->user);

	return identities == NULL ? NULL : age_identities_get(identities, 0);
}

static void drop_key(struct cache_box *cbox)
{
	if (cbox->key != NULL)
		cache_key_deinit(&cbox->key);
	cache_memo_deinit(&cbox->memo);
	if (cbox->headers != NULL)
		mailbox_header_lookup_unref(&cbox->headers);
}

/* See store_save_date(). */
static void keep_save_dates(struct mailbox *box)
{
	struct mail_cache_field field = {
		.name = "date.save",
		.type = MAIL_CACHE_FIELD_FIXED_SIZE,
		.field_size = sizeof(uint32_t),
		.decision = MAIL_CACHE_DECISION_YES |
			MAIL_CACHE_DECISION_FORCED,
	};

	cache_register_fields(box->cache, &field, 1);
}

static void
register_slots(struct mailbox *box, struct cache_box *cbox)
{
	struct mail_cache_field fields[CACHE_SLOTS_COUNT];
	unsigned int i;

	i_zero(&fields);
	for (i = 0; i < CACHE_SLOTS_COUNT; i++) {
		fields[i].name = t_strdup_printf("%s%s.%u", CACHE_FIELD_PREFIX,
			cache_key_name(cbox->key), i);
		fields[i].type = MAIL_CACHE_FIELD_VARIABLE_SIZE;
		/* Purging keeps them, however old the messages are. */
		fields[i].decision = MAIL_CACHE_DECISION_YES |
			MAIL_CACHE_DECISION_FORCED;
	}
	cache_register_fields(box->cache, fields, CACHE_SLOTS_COUNT);
	for (i = 0; i < CACHE_SLOTS_COUNT; i++)
		cbox->slot_fields[i] = fields[i].idx;
}

static bool
make_key(struct mailbox *box, struct cache_box *cbox,
	 const struct age_x25519_identity *identity)
{
	struct mailbox_metadata metadata;

	drop_key(cbox);
	if (mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) < 0)
		return FALSE;
	cbox->key = cache_key_init(identity, metadata.guid);
	memcpy(cbox->identity, identity->public, sizeof(cbox->identity));
	mail_seal_state_follow(box, &cbox->state);
	cbox->state_old = FALSE;
	T_BEGIN {
		register_slots(box, cbox);
	} T_END;
	keep_save_dates(box);
	return TRUE;
}

bool cache_box_activate_now(struct mailbox *box, struct cache_box *cbox)
{
	struct mail_user *user = box->storage->user;

	/* doveadm, for instance: now a key would be of use. */
	if (mail_seal_user_get_identities(user) == NULL &&
	    mail_seal_user_has_key(user))
		(void)mail_seal_user_unlock(user);
	return cache_box_activate(box, cbox);
}

bool cache_box_activate(struct mailbox *box, struct cache_box *cbox)
{
	const struct age_x25519_identity *identity;

	if (!cbox->opened)
		return FALSE;
	identity = current_identity(box);
	if (identity == NULL)
		return FALSE;
	/* Another process may have rotated it, and this one followed. */
	if (cbox->key != NULL &&
	    memcmp(cbox->identity, identity->public,
		   sizeof(cbox->identity)) == 0)
		return TRUE;
	return make_key(box, cbox, identity);
}

void cache_box_log_damage(struct cache_box *cbox, struct event *event)
{
	if (cbox->damage_logged)
		return;
	cbox->damage_logged = TRUE;
	e_warning(event, "mail_seal: A record of the sealed cache is damaged or "
		  "out of place: it is not used, the message itself is read "
		  "instead");
}

void cache_box_ask(struct cache_box *cbox, const char *name)
{
	char *copy;

	if (cache_header_code(name) != 0 ||
	    strlen(name) > CACHE_HEADER_NAME_MAX_SIZE ||
	    array_count(&cbox->asked) >= ASKED_MAX_COUNT)
		return;
	array_foreach_elem(&cbox->asked, copy) {
		if (strcasecmp(copy, name) == 0)
			return;
	}
	copy = i_strdup(name);
	array_push_back(&cbox->asked, &copy);
	if (cbox->headers != NULL)
		mailbox_header_lookup_unref(&cbox->headers);
}

/* Core would prepare headers for its own cache. */
static void
refuse_caching(struct mailbox *box, const char *const *names)
{
	struct mail_cache_field field;

	for (; *names != NULL; names++) {
		i_zero(&field);
		field.name = t_strconcat("hdr.", *names, NULL);
		field.type = MAIL_CACHE_FIELD_HEADER;
		field.decision = MAIL_CACHE_DECISION_NO |
			MAIL_CACHE_DECISION_FORCED;
		cache_register_fields(box->cache, &field, 1);
	}
}

struct mailbox_header_lookup_ctx *
cache_box_headers(struct mailbox *box, struct cache_box *cbox)
{
	ARRAY_TYPE(const_string) names;
	const char *name;
	char *asked;
	unsigned int code;

	if (cbox->headers != NULL || cbox->key == NULL)
		return cbox->headers;
	t_array_init(&names, 128);
	for (code = 1; code < CACHE_HEADER_CODE_COUNT; code++) {
		name = cache_header_name(code);
		array_push_back(&names, &name);
	}
	array_foreach_elem(&cbox->asked, asked) {
		name = asked;
		array_push_back(&names, &name);
	}
	array_append_zero(&names);
	refuse_caching(box, array_front(&names));
	cbox->headers = mailbox_header_lookup_init(box, array_front(&names));
	return cbox->headers;
}

static int cache_mailbox_open(struct mailbox *box)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(box);

	if (cbox->module_ctx.super.open(box) < 0)
		return -1;
	cbox->opened = TRUE;
	/* A mailbox that is being made has no GUID yet. */
	if ((box->flags & MAILBOX_FLAG_SAVEONLY) != 0 ||
	    mail_index_view_get_messages_count(box->view) == 0)
		return 0;
	cbox->purge_pending = TRUE;
	if (cache_box_activate(box, cbox))
		cache_box_purge(box, cbox);
	return 0;
}

static void
set_slot_decisions(struct mailbox *box, const struct cache_box *cbox,
		   enum mail_cache_decision_type decision)
{
	unsigned int i;

	for (i = 0; i < CACHE_SLOTS_COUNT; i++) {
		box->cache->fields[cbox->slot_fields[i]].field.decision =
			decision | MAIL_CACHE_DECISION_FORCED;
	}
}

/* Core copies the fields of a message that both mailboxes have, here if they are
   the same: in another message's place a record is of no use. */
static int cache_mailbox_copy(struct mail_save_context *ctx, struct mail *mail)
{
	struct mailbox *box = ctx->transaction->box;
	struct cache_box *cbox = CACHE_BOX_CONTEXT(box);
	int ret;

	if (cbox->key == NULL)
		return cbox->module_ctx.super.copy(ctx, mail);
	set_slot_decisions(box, cbox, MAIL_CACHE_DECISION_NO);
	ret = cbox->module_ctx.super.copy(ctx, mail);
	set_slot_decisions(box, cbox, MAIL_CACHE_DECISION_YES);
	return ret;
}

static void cache_mailbox_close(struct mailbox *box)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(box);

	/* The identity came later. */
	if (cbox->purge_pending && cbox->key != NULL)
		cache_box_purge(box, cbox);
	drop_key(cbox);
	cbox->purge_pending = FALSE;
	cbox->damage_logged = FALSE;
	cbox->opened = FALSE;
	cbox->module_ctx.super.close(box);
}

static void cache_mailbox_free(struct mailbox *box)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(box);
	char *name;

	drop_key(cbox);
	array_foreach_elem(&cbox->asked, name)
		i_free(name);
	array_free(&cbox->asked);
	cbox->module_ctx.super.free(box);
}

static bool has_cache(struct mailbox *box)
{
	struct mail_namespace *ns = mailbox_get_namespace(box);

	return ns->type == MAIL_NAMESPACE_TYPE_PRIVATE &&
		mail_seal_user_is_sealed(box->storage->user) &&
		mail_seal_mailbox_is_sealable(box);
}

void cache_mailbox_allocated(struct mailbox *box)
{
	struct mailbox_vfuncs *v = box->vlast;
	struct cache_box *cbox;

	if (!has_cache(box))
		return;
	cbox = p_new(box->pool, struct cache_box, 1);
	cbox->module_ctx.super = *v;
	box->vlast = &cbox->module_ctx.super;
	v->open = cache_mailbox_open;
	v->close = cache_mailbox_close;
	v->free = cache_mailbox_free;
	v->copy = cache_mailbox_copy;
	i_array_init(&cbox->asked, 4);
	MODULE_CONTEXT_SET(box, cache_box_module, cbox);
}
