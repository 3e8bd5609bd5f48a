/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "istream.h"
#include "mail-cache-private.h"
#include "crypto/secret.h"
#include "mail/message-event.h"
#include "cache-private.h"

/* The records of one message, a group of them opened once something of it is
   asked. */

/* Where a slot's items are among all. */
struct slot_items {
	size_t offset, size;
};

enum cache_group cache_item_group(enum cache_item_type type)
{
	switch (type) {
	case CACHE_ITEM_ENVELOPE:
	case CACHE_ITEM_BODY:
	case CACHE_ITEM_BODYSTRUCTURE:
	case CACHE_ITEM_SNIPPET:
	case CACHE_ITEM_PARTS:
		return CACHE_GROUP_STRUCTURE;
	default:
		return CACHE_GROUP_COMMON;
	}
}

static enum cache_group group_of_code(uint8_t code)
{
	return code != 0 && code <= CACHE_HEADER_COMMON_MAX ?
		CACHE_GROUP_COMMON : CACHE_GROUP_OTHERS;
}

enum cache_group cache_header_group(const char *name)
{
	return group_of_code(cache_header_code(name));
}

static int slot_of_field(const struct cache_box *cbox, enum cache_group group,
			 unsigned int field)
{
	unsigned int i, first = group * CACHE_GROUP_SLOTS;

	for (i = first; i < first + CACHE_GROUP_SLOTS; i++) {
		if (cbox->slot_fields[i] == field)
			return i - first;
	}
	return -1;
}

static void
open_record(struct mail *mail, struct cache_box *cbox, struct cache_mail *cmail,
	    unsigned int slot, const struct mail_cache_iterate_field *field,
	    struct slot_items *items)
{
	const struct mail_index_header *hdr =
		mail_index_get_header(mail->transaction->view);
	struct cache_record_place place = {
		.uid_validity = hdr->uid_validity,
		.uid = mail->uid,
		.slot = slot,
	};

	if (cmail->items == NULL)
		cmail->items = buffer_create_dynamic(default_pool,
						     CACHE_ITEMS_SIZE);
	items->offset = cmail->items->used;
	if (field->size > CACHE_ITEMS_SIZE - items->offset)
		return;
	if (!cache_record_open(cbox->key, &place, field->data, field->size,
			       cmail->items))
		cache_box_log_damage(cbox, mail_event(mail));
	items->size = cmail->items->used - items->offset;
}

static void
open_records(struct mail *mail, struct cache_box *cbox,
	     struct cache_mail *cmail, enum cache_group group,
	     struct slot_items items[CACHE_GROUP_SLOTS])
{
	struct mail_cache_lookup_iterate_ctx iter;
	struct mail_cache_iterate_field field;
	unsigned int seen = 0;
	int slot;

	mail_cache_lookup_iter_init(mail->transaction->cache_view, mail->seq,
				    &iter);
	while (mail_cache_lookup_iter_next(&iter, &field) > 0) {
		slot = slot_of_field(cbox, group, field.field_idx);
		/* Two sessions may have written the same one. */
		if (slot < 0 || (seen & (1U << slot)) != 0)
			continue;
		seen |= 1U << slot;
		cmail->records_size[group] += field.size;
		if (cmail->next_slot[group] <= (unsigned int)slot)
			cmail->next_slot[group] = slot + 1;
		open_record(mail, cbox, cmail, group * CACHE_GROUP_SLOTS + slot,
			    &field, &items[slot]);
	}
}

static void
set_header(struct cache_mail *cmail, uint8_t code, const char *name,
	   const struct cache_mail_header *header)
{
	struct cache_mail_named_header *named;

	if (code != 0) {
		if (cmail->headers[code].state == CACHE_HEADER_UNKNOWN)
			cmail->headers[code] = *header;
		return;
	}
	if (!array_is_created(&cmail->named_headers))
		i_array_init(&cmail->named_headers, 8);
	named = array_append_space(&cmail->named_headers);
	named->name = name;
	named->header = *header;
}

static bool
index_header(struct cache_mail *cmail, const struct cache_item *item)
{
	struct cache_mail_header header = { .state = CACHE_HEADER_FOUND };
	const char *name;
	uint8_t code;

	header.data = item->data;
	header.size = item->size;
	if (!cache_header_next_name(&header.data, &header.size, &code, &name))
		return FALSE;
	set_header(cmail, code, name, &header);
	return TRUE;
}

static bool
index_absent_headers(struct cache_mail *cmail, const struct cache_item *item)
{
	struct cache_mail_header header = { .state = CACHE_HEADER_ABSENT };
	const unsigned char *data = item->data;
	size_t size = item->size;
	const char *name;
	uint8_t code;

	while (size > 0) {
		if (!cache_header_next_name(&data, &size, &code, &name))
			return FALSE;
		set_header(cmail, code, name, &header);
	}
	return TRUE;
}

static bool
index_item(struct cache_mail *cmail, const struct cache_item *item)
{
	switch (item->type) {
	case CACHE_ITEM_HEADER:
		return index_header(cmail, item);
	case CACHE_ITEM_ABSENT_HEADERS:
		return index_absent_headers(cmail, item);
	default:
		break;
	}
	/* Types that come later are unknown here. */
	if (item->type < CACHE_ITEM_TYPE_COUNT &&
	    cmail->item[item->type].data == NULL)
		cmail->item[item->type] = *item;
	return TRUE;
}

static void
index_slot(struct mail *mail, struct cache_box *cbox, struct cache_mail *cmail,
	   const struct slot_items *items)
{
	const unsigned char *data =
		CONST_PTR_OFFSET(cmail->items->data, items->offset);
	size_t size = items->size;
	struct cache_item item;
	int ret;

	while ((ret = cache_item_next(&data, &size, &item)) > 0) {
		if (!index_item(cmail, &item)) {
			ret = -1;
			break;
		}
	}
	if (ret < 0)
		cache_box_log_damage(cbox, mail_event(mail));
}

static void
load_records(struct mail *mail, struct cache_box *cbox,
	     struct cache_mail *cmail, enum cache_group group)
{
	struct slot_items items[CACHE_GROUP_SLOTS];
	unsigned int slot;

	i_zero(&items);
	open_records(mail, cbox, cmail, group, items);
	/* What was written last counts. */
	for (slot = cmail->next_slot[group]; slot > 0; slot--) {
		if (items[slot - 1].size > 0)
			index_slot(mail, cbox, cmail, &items[slot - 1]);
	}
}

/* What index-mail takes from here as if it had found it out itself. */
static void fill_mail(struct mail *mail, struct cache_mail *cmail)
{
	struct index_mail_data *data = cache_mail_data(mail);
	uint64_t flags;

	if (cmail->item[CACHE_ITEM_FLAGS].data == NULL ||
	    !cache_item_number(&cmail->item[CACHE_ITEM_FLAGS], &flags) ||
	    mail->has_nuls || mail->has_no_nuls)
		return;
	mail->has_nuls = (flags & MAIL_CACHE_FLAG_HAS_NULS) != 0;
	mail->has_no_nuls = (flags & MAIL_CACHE_FLAG_HAS_NO_NULS) != 0;
	/* That of plain text goes with mime.parts in Dovecot's own cache. */
	data->cache_flags |= flags &
		ENUM_NEGATE(MAIL_CACHE_FLAG_TEXT_PLAIN_7BIT_ASCII);
}

bool cache_mail_activate(struct mail *mail, struct cache_mail *cmail)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(mail->box);

	if (cmail->checked)
		return cmail->active;
	if (mail->seq == 0 || mail->uid == 0 || mail->saving ||
	    mail->expunged || cmail->closing)
		return FALSE;
	cmail->checked = TRUE;
	cmail->active = cache_box_activate_now(mail->box, cbox);
	if (cmail->active && cbox->state_old) {
		mail_seal_state_follow(mail->box, &cbox->state);
		cbox->state_old = FALSE;
	}
	return cmail->active;
}

static void tell_found(struct mail *mail, enum cache_group group, bool found)
{
	static const char *const group_names[] = {
		[CACHE_GROUP_COMMON] = "common",
		[CACHE_GROUP_STRUCTURE] = "structure",
		[CACHE_GROUP_OTHERS] = "headers",
	};

	mail_seal_message_event(mail, found ? "mail_seal_cache_hit" :
				"mail_seal_cache_miss", "group",
				group_names[group]);
}

bool cache_mail_open_group(struct mail *mail, struct cache_mail *cmail,
			   enum cache_group group)
{
	size_t old_size = cmail->items == NULL ? 0 : cmail->items->used;

	if ((cmail->opened_groups & (1U << group)) != 0)
		return TRUE;
	if (!cache_mail_activate(mail, cmail))
		return FALSE;
	cmail->opened_groups |= 1U << group;
	load_records(mail, CACHE_BOX_CONTEXT(mail->box), cmail, group);
	if (group == CACHE_GROUP_COMMON)
		fill_mail(mail, cmail);
	if (cmail->items != NULL && cmail->items->used > old_size &&
	    old_size == 0)
		mail->transaction->stats.cache_hit_count++;
	tell_found(mail, group,
		   cmail->items != NULL && cmail->items->used > old_size);
	return TRUE;
}

const struct cache_item *
cache_mail_item(struct mail *mail, struct cache_mail *cmail,
		enum cache_item_type type)
{
	if (!cache_mail_open_group(mail, cmail, cache_item_group(type)) ||
	    cmail->item[type].data == NULL)
		return NULL;
	return &cmail->item[type];
}

const struct cache_mail_header *
cache_mail_header(struct mail *mail, struct cache_mail *cmail,
		  const char *name)
{
	static const struct cache_mail_header unknown;
	const struct cache_mail_named_header *named;
	uint8_t code = cache_header_code(name);

	if (!cache_mail_open_group(mail, cmail, group_of_code(code)))
		return &unknown;
	if (code != 0)
		return &cmail->headers[code];
	if (array_is_created(&cmail->named_headers)) {
		array_foreach(&cmail->named_headers, named) {
			if (strcasecmp(named->name, name) == 0)
				return &named->header;
		}
	}
	return &unknown;
}

bool cache_mail_get_seal(struct mail *mail, struct cache_mail *cmail,
			 struct cache_mail_seal *seal_r)
{
	const struct cache_item *item =
		cache_mail_item(mail, cmail, CACHE_ITEM_SEAL);

	if (item == NULL || item->size != sizeof(*seal_r))
		return FALSE;
	memcpy(seal_r, item->data, sizeof(*seal_r));
	return TRUE;
}

void cache_mail_reset(struct cache_mail *cmail)
{
	if (cmail->items != NULL && cmail->items->used > 0) {
		secret_wipe(buffer_get_modifiable_data(cmail->items, NULL),
			    cmail->items->used);
		buffer_set_used_size(cmail->items, 0);
	}
	if (array_is_created(&cmail->named_headers))
		array_clear(&cmail->named_headers);
	if (cmail->active) {
		i_zero(&cmail->item);
		i_zero(&cmail->headers);
	}
	i_stream_unref(&cmail->header_stream);
	mailbox_header_lookup_unref(&cmail->temp_headers);
	cmail->temp_fields = 0;
	i_zero(&cmail->records_size);
	i_zero(&cmail->next_slot);
	cmail->opened_groups = 0;
	cmail->checked = cmail->active = FALSE;
	cmail->prepared = cmail->failed = FALSE;
}
