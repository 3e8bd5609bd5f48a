/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "istream.h"
#include "str.h"
#include "imap-bodystructure.h"
#include "message-part-serialize.h"
#include "crypto/secret.h"
#include "mail/mail-seal-memory.h"
#include "cache-private.h"
#include "cache-memo.h"

/* A mail that answers from its records first. */

/* What Dovecot would open a message for at once when it isn't in its cache. */
#define CONTENT_FIELDS ((enum mail_fetch_field)(MAIL_FETCH_MESSAGE_PARTS | \
	MAIL_FETCH_DATE | MAIL_FETCH_IMAP_BODY | MAIL_FETCH_IMAP_BODYSTRUCTURE | \
	MAIL_FETCH_IMAP_ENVELOPE | MAIL_FETCH_BODY_SNIPPET))

struct cache_mail_module cache_mail_module =
	MODULE_CONTEXT_INIT(&mail_module_register);

static const struct {
	enum mail_fetch_field field;
	enum cache_item_type item;
} field_items[] = {
	{ MAIL_FETCH_MESSAGE_PARTS, CACHE_ITEM_PARTS },
	{ MAIL_FETCH_DATE, CACHE_ITEM_SENT_DATE },
	{ MAIL_FETCH_IMAP_BODY, CACHE_ITEM_BODY },
	{ MAIL_FETCH_IMAP_BODY, CACHE_ITEM_BODYSTRUCTURE },
	{ MAIL_FETCH_IMAP_BODYSTRUCTURE, CACHE_ITEM_BODYSTRUCTURE },
	{ MAIL_FETCH_IMAP_ENVELOPE, CACHE_ITEM_ENVELOPE },
	{ MAIL_FETCH_BODY_SNIPPET, CACHE_ITEM_SNIPPET },
};

static enum mail_fetch_field
known_fields(struct mail *mail, struct cache_mail *cmail)
{
	enum mail_fetch_field fields = 0;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(field_items); i++) {
		if (cache_mail_item(mail, cmail, field_items[i].item) != NULL)
			fields |= field_items[i].field;
	}
	return fields;
}

static void
ask_all(struct mail *mail, const struct mailbox_header_lookup_ctx *headers)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(mail->box);
	unsigned int i;

	for (i = 0; headers != NULL && i < headers->count; i++)
		cache_box_ask(cbox, headers->name[i]);
}

void cache_mail_prepare(struct mail *mail, struct cache_mail *cmail)
{
	enum mail_fetch_field fields = cmail->wanted_fields |
		cmail->temp_fields;
	struct mailbox_header_lookup_ctx *headers;

	if (cmail->prepared)
		return;
	cmail->prepared = TRUE;
	if (cmail->active) {
		ask_all(mail, cmail->wanted_headers);
		ask_all(mail, cmail->temp_headers);
		/* Once headers are parsed, an envelope costs little. */
		fields |= MAIL_FETCH_IMAP_ENVELOPE;
		fields &= ENUM_NEGATE(known_fields(mail, cmail));
		T_BEGIN {
			headers = cache_box_headers(mail->box,
				CACHE_BOX_CONTEXT(mail->box));
		} T_END;
		cmail->module_ctx.super.
			add_temp_wanted_fields(mail, fields, headers);
		return;
	}
	cmail->module_ctx.super.
		add_temp_wanted_fields(mail, fields, cmail->wanted_headers);
	if (cmail->temp_headers != NULL) {
		cmail->module_ctx.super.
			add_temp_wanted_fields(mail, 0, cmail->temp_headers);
	}
}

static void
cache_mail_add_temp_wanted_fields(struct mail *mail,
				  enum mail_fetch_field fields,
				  struct mailbox_header_lookup_ctx *headers)
{
	struct cache_mail *cmail = cache_mail_get(mail);
	struct mailbox_header_lookup_ctx *old;

	/* Mails that are being saved and the like: all of it is Dovecot's. */
	if (cmail->prepared || mail->saving) {
		cmail->module_ctx.super.
			add_temp_wanted_fields(mail, fields, headers);
		return;
	}
	cmail->temp_fields |= fields & CONTENT_FIELDS;
	fields &= ENUM_NEGATE(CONTENT_FIELDS);
	if (fields != 0) {
		cmail->module_ctx.super.
			add_temp_wanted_fields(mail, fields, NULL);
	}
	if (headers == NULL)
		return;
	old = cmail->temp_headers;
	if (old == NULL) {
		cmail->temp_headers = headers;
		mailbox_header_lookup_ref(headers);
		return;
	}
	cmail->temp_headers = mailbox_header_lookup_merge(old, headers);
	mailbox_header_lookup_unref(&old);
}

static bool
find_number(struct mail *mail, struct cache_mail *cmail,
	    enum cache_item_type type, uint64_t *number_r)
{
	const struct cache_item *item = cache_mail_item(mail, cmail, type);

	return item != NULL && cache_item_number(item, number_r);
}

static const char *
find_str(struct mail *mail, struct cache_mail *cmail,
	 enum cache_item_type type)
{
	const struct cache_item *item = cache_mail_item(mail, cmail, type);

	return item == NULL ? NULL : cache_item_str(item);
}

int cache_mail_answered(struct mail *mail, struct cache_mail *cmail, int ret)
{
	/* That it mustn't be looked for is no failure. */
	if (ret < 0 && mail->lookup_abort == MAIL_LOOKUP_ABORT_NEVER)
		cmail->failed = TRUE;
	return ret;
}

static bool have_nuls(const struct message_part *part)
{
	for (; part != NULL; part = part->next) {
		if ((part->flags & MESSAGE_PART_FLAG_HAS_NULS) != 0 ||
		    have_nuls(part->children))
			return TRUE;
	}
	return FALSE;
}

/* Give Dovecot the structure of the message, from which it has all sizes. */
static void fill_parts(struct mail *mail, struct cache_mail *cmail)
{
	struct index_mail *imail = INDEX_MAIL(mail);
	struct index_mail_data *data = &imail->data;
	const struct cache_item *item;
	const char *error;

	if (data->parts != NULL || data->parser_ctx != NULL)
		return;
	item = cache_mail_item(mail, cmail, CACHE_ITEM_PARTS);
	if (item == NULL)
		return;
	data->parts = message_part_deserialize(imail->mail.data_pool,
					       item->data, item->size, &error);
	if (data->parts == NULL)
		return;
	mail->has_nuls = have_nuls(data->parts);
	mail->has_no_nuls = !mail->has_nuls;
}

static void fill_sizes(struct mail *mail, struct cache_mail *cmail)
{
	struct index_mail_data *data = cache_mail_data(mail);
	uint64_t size;

	if (data->virtual_size == UOFF_T_MAX &&
	    find_number(mail, cmail, CACHE_ITEM_VIRTUAL_SIZE, &size))
		data->virtual_size = size;
	if (data->physical_size == UOFF_T_MAX &&
	    find_number(mail, cmail, CACHE_ITEM_PHYSICAL_SIZE, &size))
		data->physical_size = size;
}

static int
cache_mail_get_parts(struct mail *mail, struct message_part **parts_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	fill_parts(mail, cmail);
	if (cache_mail_data(mail)->parts == NULL) {
		cmail->temp_fields |= MAIL_FETCH_MESSAGE_PARTS;
		cache_mail_prepare(mail, cmail);
	}
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.get_parts(mail,
								 parts_r));
}

static bool
get_sent_date(const struct cache_item *item, struct mail_sent_date *date_r)
{
	const unsigned char *pos = item->data;
	size_t size = item->size;
	uint64_t time, timezone;

	if (!cache_number_next(&pos, &size, &time) ||
	    !cache_number_next(&pos, &size, &timezone))
		return FALSE;
	date_r->time = time;
	date_r->timezone = (int32_t)timezone - 1440;
	return TRUE;
}

static void fill_sent_date(struct mail *mail, struct cache_mail *cmail)
{
	const struct cache_box *cbox = CACHE_BOX_CONTEXT(mail->box);
	struct mail_sent_date *date = &cache_mail_data(mail)->sent_date;
	const struct cache_memo_entry *entry;
	const struct cache_item *item;

	if (date->time != (uint32_t)-1 || !cache_mail_activate(mail, cmail))
		return;
	entry = cache_memo_find(cbox->memo, mail->uid);
	if (entry != NULL && entry->sent_date_known) {
		*date = entry->sent_date;
		return;
	}
	item = cache_mail_item(mail, cmail, CACHE_ITEM_SENT_DATE);
	if (item != NULL && get_sent_date(item, date) && cbox->memo != NULL)
		cache_memo_add_sent_date(cbox->memo, mail->uid, date);
}

static void fill_received_date(struct mail *mail, struct cache_mail *cmail)
{
	const struct cache_box *cbox = CACHE_BOX_CONTEXT(mail->box);
	struct index_mail_data *data = cache_mail_data(mail);
	const struct cache_memo_entry *entry;
	uint64_t date;

	if (data->received_date != (time_t)-1 ||
	    !cache_mail_activate(mail, cmail))
		return;
	entry = cache_memo_find(cbox->memo, mail->uid);
	if (entry != NULL && entry->received_date_known) {
		data->received_date = entry->received_date;
		return;
	}
	if (!find_number(mail, cmail, CACHE_ITEM_RECEIVED_DATE, &date))
		return;
	data->received_date = date;
	if (cbox->memo != NULL)
		cache_memo_add_received_date(cbox->memo, mail->uid, date);
}

void cache_mail_fill_dates(struct mail *mail, struct cache_mail *cmail)
{
	fill_sent_date(mail, cmail);
	fill_received_date(mail, cmail);
}

static int
cache_mail_get_date(struct mail *mail, time_t *date_r, int *timezone_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	fill_sent_date(mail, cmail);
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			get_date(mail, date_r, timezone_r));
}

static int cache_mail_get_received_date(struct mail *mail, time_t *date_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	fill_received_date(mail, cmail);
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			get_received_date(mail, date_r));
}

/* Dovecot has it in a field of its own: see store_save_date(). */
static int cache_mail_get_save_date(struct mail *mail, time_t *date_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	(void)cache_mail_activate(mail, cmail);
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			get_save_date(mail, date_r));
}

static int cache_mail_get_virtual_size(struct mail *mail, uoff_t *size_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	fill_sizes(mail, cmail);
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			get_virtual_size(mail, size_r));
}

static int cache_mail_get_physical_size(struct mail *mail, uoff_t *size_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	fill_sizes(mail, cmail);
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			get_physical_size(mail, size_r));
}

static int
cache_mail_get_stream(struct mail *mail, bool get_body,
		      struct message_size *hdr_size,
		      struct message_size *body_size, struct istream **stream_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	if (hdr_size != NULL || body_size != NULL) {
		fill_parts(mail, cmail);
		if (get_body && cache_mail_activate(mail, cmail))
			cache_mail_prepare(mail, cmail);
	}
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			get_stream(mail, get_body, hdr_size, body_size,
				   stream_r));
}

static const char *find_body(struct mail *mail, struct cache_mail *cmail)
{
	const char *body, *structure, *error;
	string_t *str;

	body = find_str(mail, cmail, CACHE_ITEM_BODY);
	if (body != NULL)
		return body;
	structure = find_str(mail, cmail, CACHE_ITEM_BODYSTRUCTURE);
	if (structure == NULL)
		return NULL;
	str = str_new(cache_mail_pool(mail), 256);
	if (imap_body_parse_from_bodystructure(structure, str, &error) < 0)
		return NULL;
	return str_c(str);
}

static const char *
find_special(struct mail *mail, struct cache_mail *cmail,
	     enum mail_fetch_field field)
{
	switch (field) {
	case MAIL_FETCH_IMAP_BODY:
		return find_body(mail, cmail);
	case MAIL_FETCH_IMAP_BODYSTRUCTURE:
		return find_str(mail, cmail, CACHE_ITEM_BODYSTRUCTURE);
	case MAIL_FETCH_IMAP_ENVELOPE:
		return find_str(mail, cmail, CACHE_ITEM_ENVELOPE);
	case MAIL_FETCH_BODY_SNIPPET:
		return find_str(mail, cmail, CACHE_ITEM_SNIPPET);
	default:
		return NULL;
	}
}

static int
cache_mail_get_special(struct mail *mail, enum mail_fetch_field field,
		       const char **value_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);
	const char *value = find_special(mail, cmail, field);

	if (value != NULL) {
		*value_r = value;
		return 0;
	}
	if ((field & CONTENT_FIELDS) != 0) {
		cmail->temp_fields |= field;
		cache_mail_prepare(mail, cmail);
	}
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			get_special(mail, field, value_r));
}

/* Core has nothing to do, as nothing comes into its own cache, but fts indexes
   the message here. */
static int cache_mail_precache(struct mail *mail)
{
	struct cache_mail *cmail = cache_mail_get(mail);
	const char *structure;

	if (cache_mail_activate(mail, cmail)) {
		/* This reads all of the message. As in core, the next one can
		   be cached if this can't. */
		if (cache_mail_get_special(mail, MAIL_FETCH_IMAP_BODYSTRUCTURE,
					   &structure) < 0)
			return 0;
	} else {
		cache_mail_prepare(mail, cmail);
	}
	return cache_mail_answered(mail, cmail,
				   cmail->module_ctx.super.precache(mail));
}

static void
cache_mail_set_cache_corrupted(struct mail *mail, enum mail_fetch_field field,
			       const char *reason)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	/* Dovecot then drops its whole cache, and our records with it. */
	cache_mail_reset(cmail);
	cmail->checked = cmail->failed = TRUE;
	cmail->module_ctx.super.set_cache_corrupted(mail, field, reason);
}

static void cache_mail_close(struct mail *mail)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	/* What is wanted may be said before there is a message. */
	if (mail->seq != 0) {
		if (cmail->active)
			cache_mail_collect(mail, cmail);
		cache_mail_reset(cmail);
	}
	cmail->closing = TRUE;
	cmail->module_ctx.super.close(mail);
	cmail->closing = FALSE;
}

static void cache_mail_free(struct mail *mail)
{
	struct cache_mail *cmail = cache_mail_get(mail);
	struct mail_private *pmail =
		container_of(mail, struct mail_private, mail);
	pool_t pool = pmail->pool;
	unsigned int i;

	/* The context is in there, and super.free() still closes the mail. */
	pool_ref(pool);
	cmail->module_ctx.super.free(mail);
	cache_mail_reset(cmail);
	buffer_free(&cmail->items);
	for (i = 0; i < CACHE_GROUP_COUNT; i++)
		buffer_free(&cmail->found[i]);
	if (array_is_created(&cmail->named_headers))
		array_free(&cmail->named_headers);
	mailbox_header_lookup_unref(&cmail->wanted_headers);
	pool_unref(&pool);
}

static bool
recall(struct mail *mail, struct age_istream_known *known_r, bool *current_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);
	struct cache_mail_seal seal;

	if (cmail == NULL || !cache_mail_get_seal(mail, cmail, &seal))
		return FALSE;
	*current_r = (seal.flags & CACHE_SEAL_CURRENT) != 0;
	*known_r = seal.known;
	secret_wipe(&seal, sizeof(seal));
	return TRUE;
}

static bool is_exchanged(struct mail *mail)
{
	struct cache_mail *cmail = cache_mail_get(mail);
	struct cache_box *cbox = CACHE_BOX_CONTEXT(mail->box);
	struct mail_seal_state state;
	struct cache_mail_seal seal;
	bool same;

	if (!cache_mail_get_seal(mail, cmail, &seal))
		return FALSE;
	mail_seal_state_read(mail->box, &state);
	/* With another state this session may look at what was there before. */
	cbox->state_old = memcmp(state.id, cbox->state.id,
				 sizeof(state.id)) != 0;
	same = !state.rewriting && !cbox->state_old &&
		memcmp(seal.state, state.id, sizeof(seal.state)) == 0;
	secret_wipe(&seal, sizeof(seal));
	return same;
}

static void distrust(struct mail *mail)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	if (cmail != NULL)
		cmail->failed = TRUE;
}

const struct mail_seal_memory_vfuncs cache_mail_memory = {
	.recall = recall,
	.is_exchanged = is_exchanged,
	.distrust = distrust,
	.rewritten = cache_box_rewritten,
};

/* Take over what is wanted, so that Dovecot doesn't open each message whose
   content isn't in its own cache. */
static void take_wanted(struct index_mail *imail, struct cache_mail *cmail)
{
	cmail->wanted_fields = imail->mail.wanted_fields & CONTENT_FIELDS;
	imail->mail.wanted_fields &= ENUM_NEGATE(CONTENT_FIELDS);
	imail->data.wanted_fields &= ENUM_NEGATE(CONTENT_FIELDS);
	cmail->wanted_headers = imail->mail.wanted_headers;
	imail->mail.wanted_headers = NULL;
	mailbox_header_lookup_unref(&imail->data.wanted_headers);
}

void cache_mail_allocated(struct mail *mail)
{
	struct mail_private *pmail =
		container_of(mail, struct mail_private, mail);
	struct mail_vfuncs *v = pmail->vlast;
	struct cache_mail *cmail;

	if (CACHE_BOX_CONTEXT(mail->box) == NULL)
		return;
	cmail = p_new(pmail->pool, struct cache_mail, 1);
	cmail->module_ctx.super = *v;
	pmail->vlast = &cmail->module_ctx.super;
	v->close = cache_mail_close;
	v->free = cache_mail_free;
	v->precache = cache_mail_precache;
	v->add_temp_wanted_fields = cache_mail_add_temp_wanted_fields;
	v->get_parts = cache_mail_get_parts;
	v->get_date = cache_mail_get_date;
	v->get_received_date = cache_mail_get_received_date;
	v->get_save_date = cache_mail_get_save_date;
	v->get_virtual_size = cache_mail_get_virtual_size;
	v->get_physical_size = cache_mail_get_physical_size;
	v->get_first_header = cache_mail_get_first_header;
	v->get_headers = cache_mail_get_headers;
	v->get_header_stream = cache_mail_get_header_stream;
	v->get_stream = cache_mail_get_stream;
	v->get_special = cache_mail_get_special;
	v->set_cache_corrupted = cache_mail_set_cache_corrupted;
	MODULE_CONTEXT_SET(pmail, cache_mail_module, cmail);
	take_wanted(INDEX_MAIL(mail), cmail);
}
