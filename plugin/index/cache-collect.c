/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "istream.h"
#include "str.h"
#include "imap-bodystructure.h"
#include "message-part-serialize.h"
#include "mail-cache.h"
#include "crypto/secret.h"
#include "mail/mail-seal-memory.h"
#include "cache-private.h"

/* When a mail is closed: what Dovecot has found out about it, and what of it is
   new. */

/* A header field of all lines together, and all records of a group: Dovecot drops
   what is too large, with everything else (mail_cache_record_max_size). */
#define HEADER_MAX_SIZE (8 * 1024)
#define RECORDS_MAX_SIZE (16 * 1024)

/* What is new in this group. */
static buffer_t *get_found(struct cache_mail *cmail, enum cache_group group)
{
	/* A buffer that grows leaves a copy that isn't wiped. */
	if (cmail->found[group] == NULL)
		cmail->found[group] = buffer_create_dynamic(default_pool,
							    CACHE_ITEMS_SIZE);
	return cmail->found[group];
}

static bool
is_new(struct mail *mail, struct cache_mail *cmail, enum cache_item_type type)
{
	return cache_mail_item(mail, cmail, type) == NULL;
}

static void
add_item(struct cache_mail *cmail, enum cache_item_type type, const void *data,
	 size_t size)
{
	cache_item_add(get_found(cmail, cache_item_group(type)), type, data,
		       size);
}

static void
add_str(struct mail *mail, struct cache_mail *cmail, enum cache_item_type type,
	const char *str)
{
	if (str != NULL && is_new(mail, cmail, type)) {
		cache_item_add_str(get_found(cmail, cache_item_group(type)),
				   type, str);
	}
}

static void
add_number(struct mail *mail, struct cache_mail *cmail,
	   enum cache_item_type type, uint64_t number)
{
	if (is_new(mail, cmail, type)) {
		cache_item_add_number(get_found(cmail, cache_item_group(type)),
				      type, number);
	}
}

static void add_numbers(struct mail *mail, struct cache_mail *cmail)
{
	const struct index_mail_data *data = cache_mail_data(mail);

	if (data->received_date != (time_t)-1) {
		add_number(mail, cmail, CACHE_ITEM_RECEIVED_DATE,
			   data->received_date);
	}
	if (data->cache_flags != 0) {
		add_number(mail, cmail, CACHE_ITEM_FLAGS, data->cache_flags);
	}
	if (data->inexact_total_sizes)
		return;
	if (data->virtual_size != UOFF_T_MAX) {
		add_number(mail, cmail, CACHE_ITEM_VIRTUAL_SIZE,
			   data->virtual_size);
	}
	if (data->physical_size != UOFF_T_MAX) {
		add_number(mail, cmail, CACHE_ITEM_PHYSICAL_SIZE,
			   data->physical_size);
	}
}

static void add_sent_date(struct mail *mail, struct cache_mail *cmail)
{
	const struct mail_sent_date *date = &cache_mail_data(mail)->sent_date;
	buffer_t *number;

	if (date->time == (uint32_t)-1 || date->timezone < -1440 ||
	    !is_new(mail, cmail, CACHE_ITEM_SENT_DATE))
		return;
	number = t_buffer_create(16);
	cache_number_add(number, date->time);
	cache_number_add(number, date->timezone + 1440);
	add_item(cmail, CACHE_ITEM_SENT_DATE, number->data, number->used);
}

static const char *write_structure(const struct index_mail_data *data)
{
	string_t *str = t_str_new(512);
	const char *error;

	return imap_bodystructure_write(data->parts, str, TRUE, &error) == 0 ?
		str_c(str) : NULL;
}

/* That of BODY is part of it. */
static void add_structure(struct mail *mail, struct cache_mail *cmail)
{
	const struct index_mail_data *data = cache_mail_data(mail);
	bool parsed = data->parsed_bodystructure && data->parts != NULL;
	const char *structure = data->bodystructure;

	if ((structure == NULL && !parsed && data->body == NULL) ||
	    !is_new(mail, cmail, CACHE_ITEM_BODYSTRUCTURE))
		return;
	if (structure == NULL && parsed)
		structure = write_structure(data);
	if (structure != NULL)
		add_str(mail, cmail, CACHE_ITEM_BODYSTRUCTURE, structure);
	else
		add_str(mail, cmail, CACHE_ITEM_BODY, data->body);
}

static void add_parts(struct mail *mail, struct cache_mail *cmail)
{
	const struct index_mail_data *data = cache_mail_data(mail);
	buffer_t *parts;

	/* While they are being made, sizes are missing. */
	if (data->parts == NULL || data->parser_ctx != NULL ||
	    !is_new(mail, cmail, CACHE_ITEM_PARTS))
		return;
	parts = t_buffer_create(256);
	message_part_serialize(data->parts, parts);
	add_item(cmail, CACHE_ITEM_PARTS, parts->data, parts->used);
}

static bool stream_failed(const struct istream *stream)
{
	return stream != NULL && stream->stream_errno != 0;
}

/* How the message is sealed. Returns FALSE if it wasn't opened. */
static bool get_seal(struct mail *mail, struct cache_mail_seal *seal_r)
{
	const struct cache_box *cbox = CACHE_BOX_CONTEXT(mail->box);
	struct istream *sealed;
	bool current;

	sealed = mail_seal_mail_get_sealed(mail, &current);
	if (sealed == NULL || stream_failed(sealed) ||
	    !i_stream_age_get_known(sealed, &seal_r->known))
		return FALSE;
	seal_r->flags = current ? CACHE_SEAL_CURRENT : 0;
	memcpy(seal_r->state, cbox->state.id, sizeof(seal_r->state));
	return TRUE;
}

static bool was_opened_plain(struct mail *mail)
{
	bool current;

	return cache_mail_data(mail)->stream != NULL &&
		mail_seal_mail_get_sealed(mail, &current) == NULL;
}

static void add_seal(struct mail *mail, struct cache_mail *cmail)
{
	static const uint8_t plain = CACHE_SEAL_PLAIN;
	struct cache_mail_seal seal, old;
	bool sealed = get_seal(mail, &seal), known;

	if (!sealed && !was_opened_plain(mail))
		return;
	known = cache_mail_get_seal(mail, cmail, &old);
	if (!sealed) {
		if (known)
			add_item(cmail, CACHE_ITEM_SEAL, &plain, sizeof(plain));
	} else if (!known || memcmp(&seal, &old, sizeof(seal)) != 0) {
		/* A message that was rewritten has another one. */
		add_item(cmail, CACHE_ITEM_SEAL, &seal, sizeof(seal));
	}
	secret_wipe(&seal, sizeof(seal));
	secret_wipe(&old, sizeof(old));
}

/* The lines of a field that index-mail-headers.c has found. first is the first of
   them. */
static void
add_header(struct index_mail *imail, buffer_t *items, const char *name,
	   const struct index_mail_line *first, const struct index_mail_line *end)
{
	const unsigned char *header = imail->header_data->data;
	ARRAY_TYPE(cache_header_line) lines;
	const struct index_mail_line *pos;
	struct cache_header_line *line;
	size_t size = 0;
	unsigned int count;

	t_array_init(&lines, 8);
	for (pos = first; pos != end && pos->field_idx == first->field_idx;
	     pos++) {
		line = array_append_space(&lines);
		line->number = pos->line_num;
		line->text = header + pos->start_pos;
		line->size = pos->end_pos - pos->start_pos;
		size += line->size;
	}
	line = array_get_modifiable(&lines, &count);
	if (size <= HEADER_MAX_SIZE)
		cache_header_add(items, name, line, count);
}

static const struct index_mail_line *
find_lines(const struct index_mail_line *lines, unsigned int count,
	   unsigned int field)
{
	unsigned int i;

	/* They are sorted by field, and few. */
	for (i = 0; i < count; i++) {
		if (lines[i].field_idx == field)
			return &lines[i];
	}
	return NULL;
}

static const char *header_name(struct mail *mail, unsigned int field)
{
	const char *name =
		mail_cache_register_get_field(mail->box->cache, field)->name;

	if (strncasecmp(name, "hdr.", 4) != 0 ||
	    strlen(name + 4) > CACHE_HEADER_NAME_MAX_SIZE)
		return NULL;
	return name + 4;
}

static void
add_absent(struct cache_mail *cmail, enum cache_group group,
	   const buffer_t *names)
{
	if (names->used > 0) {
		cache_item_add(get_found(cmail, group),
			       CACHE_ITEM_ABSENT_HEADERS, names->data,
			       names->used);
	}
}

/* To its end. */
static bool has_parsed_header(struct mail *mail)
{
	const struct index_mail *imail = INDEX_MAIL(mail);

	return imail->header_data != NULL && imail->header_seq == mail->seq &&
		!imail->data.header_parser_initialized;
}

/* Those of the last parsing: core parses all that are wanted each time. */
static void add_headers(struct mail *mail, struct cache_mail *cmail)
{
	struct index_mail *imail = INDEX_MAIL(mail);
	const struct index_mail_line *lines, *line;
	buffer_t *absent[CACHE_GROUP_COUNT];
	const uint8_t *match;
	unsigned int i, match_count, lines_count;
	enum cache_group group;
	const char *name;

	if (!has_parsed_header(mail))
		return;
	for (i = 0; i < CACHE_GROUP_COUNT; i++)
		absent[i] = t_buffer_create(128);
	match = array_get(&imail->header_match, &match_count);
	lines = array_get(&imail->header_lines, &lines_count);
	for (i = 0; i < match_count; i++) {
		if (!HEADER_MATCH_USABLE(imail, match[i]))
			continue;
		name = header_name(mail, i);
		if (name == NULL || cache_mail_header(mail, cmail, name)->
		    state != CACHE_HEADER_UNKNOWN)
			continue;
		group = cache_header_group(name);
		line = find_lines(lines, lines_count, i);
		if (line != NULL) {
			add_header(imail, get_found(cmail, group), name, line,
				   lines + lines_count);
		} else if ((match[i] & HEADER_MATCH_FLAG_FOUND) == 0)
			cache_header_add_absent(absent[group], name);
	}
	for (i = 0; i < CACHE_GROUP_COUNT; i++)
		add_absent(cmail, i, absent[i]);
}

/* A further record is dear each time that it's opened: what costs little now, with
   the file open and the header parsed, and will be asked for, goes into the first
   one. */
static void find_dates(struct mail *mail, struct cache_mail *cmail)
{
	enum mail_lookup_abort old_abort = mail->lookup_abort;
	time_t date;
	int timezone;

	if (cache_mail_data(mail)->stream == NULL || !has_parsed_header(mail) ||
	    cache_mail_item(mail, cmail, CACHE_ITEM_SENT_DATE) != NULL)
		return;
	mail_storage_last_error_push(mail->box->storage);
	/* The format may have to look into the file, which is open. */
	mail->lookup_abort = MAIL_LOOKUP_ABORT_NEVER;
	(void)cmail->module_ctx.super.get_received_date(mail, &date);
	mail->lookup_abort = MAIL_LOOKUP_ABORT_READ_MAIL;
	(void)cmail->module_ctx.super.get_date(mail, &date, &timezone);
	mail_storage_last_error_pop(mail->box->storage);
	mail->lookup_abort = old_abort;
}

static bool may_collect(struct mail *mail, const struct cache_mail *cmail)
{
	const struct index_mail_data *data = cache_mail_data(mail);

	return cmail->active && !cmail->failed && !mail->expunged &&
		!data->no_caching && !stream_failed(data->stream) &&
		!stream_failed(data->filter_stream);
}

static void add_all(struct mail *mail, struct cache_mail *cmail)
{
	const struct index_mail_data *data = cache_mail_data(mail);

	add_seal(mail, cmail);
	add_numbers(mail, cmail);
	add_sent_date(mail, cmail);
	add_str(mail, cmail, CACHE_ITEM_ENVELOPE, data->envelope);
	add_structure(mail, cmail);
	add_str(mail, cmail, CACHE_ITEM_SNIPPET, data->body_snippet);
	add_parts(mail, cmail);
	add_headers(mail, cmail);
}

static void
store_group(struct mail *mail, struct cache_mail *cmail, enum cache_group group)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(mail->box);
	const struct mail_index_header *hdr =
		mail_index_get_header(mail->transaction->view);
	const buffer_t *items = cmail->found[group];
	struct cache_record_place place = {
		.uid_validity = hdr->uid_validity,
		.uid = mail->uid,
		.slot = group * CACHE_GROUP_SLOTS + cmail->next_slot[group],
	};
	buffer_t *record;

	if (cmail->next_slot[group] == CACHE_GROUP_SLOTS ||
	    cmail->records_size[group] + items->used > RECORDS_MAX_SIZE)
		return;
	record = t_buffer_create(items->used + 128);
	cache_record_seal(cbox->key, &place, items->data, items->used, record);
	mail_cache_add(mail->transaction->cache_trans, mail->seq,
		       cbox->slot_fields[place.slot], record->data,
		       record->used);
}

static void store_found(struct mail *mail, struct cache_mail *cmail)
{
	buffer_t *found;
	unsigned int i;

	for (i = 0; i < CACHE_GROUP_COUNT; i++) {
		found = cmail->found[i];
		if (found == NULL || found->used == 0)
			continue;
		store_group(mail, cmail, i);
		secret_wipe(buffer_get_modifiable_data(found, NULL),
			    found->used);
		buffer_set_used_size(found, 0);
	}
}

/* Into Dovecot's own field, which tells no more than the file does: for maildir and
   sdbox it's the time of the inode's last change, and lost when that changes. It
   stays when the key is another one. */
static void store_save_date(struct mail *mail)
{
	struct index_mail *imail = INDEX_MAIL(mail);
	unsigned int field =
		imail->ibox->cache_fields[MAIL_CACHE_SAVE_DATE].idx;
	uint32_t date = imail->data.save_date;

	if (imail->data.save_date != (time_t)-1 &&
	    mail_cache_field_exists(mail->transaction->cache_view, mail->seq,
				    field) == 0) {
		mail_cache_add(mail->transaction->cache_trans, mail->seq,
			       field, &date, sizeof(date));
	}
}

void cache_mail_collect(struct mail *mail, struct cache_mail *cmail)
{
	if (!may_collect(mail, cmail))
		return;
	store_save_date(mail);
	find_dates(mail, cmail);
	T_BEGIN {
		add_all(mail, cmail);
		store_found(mail, cmail);
	} T_END;
}
