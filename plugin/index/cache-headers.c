/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "istream.h"
#include "str.h"
#include "message-header-decode.h"
#include "message-header-parser.h"
#include "cache-private.h"
#include "cache-memo.h"

/* Header fields from the records, as index-mail-headers.c gives them from
   Dovecot's cache. */

/* Returns 1 and lines, maybe none, if the header is known; 0 if not. */
static int
get_lines(struct mail *mail, struct cache_mail *cmail, const char *name,
	  ARRAY_TYPE(cache_header_line) *lines)
{
	const struct cache_mail_header *header;

	header = cache_mail_header(mail, cmail, name);
	switch (header->state) {
	case CACHE_HEADER_UNKNOWN:
		break;
	case CACHE_HEADER_ABSENT:
		return 1;
	case CACHE_HEADER_FOUND:
		return cache_header_get_lines(header->data, header->size,
					      lines) ? 1 : 0;
	}
	return 0;
}

/* What stands behind the name, without the last end of line. Returns FALSE if
   there is no name. */
static bool
get_value(const struct cache_header_line *line, const unsigned char **value_r,
	  size_t *size_r)
{
	const unsigned char *end = line->text + line->size;
	const unsigned char *pos = memchr(line->text, ':', line->size);

	if (pos == NULL)
		return FALSE;
	for (pos++; pos < end && IS_LWSP(*pos); pos++) ;
	if (pos < end && end[-1] == '\n')
		end--;
	*value_r = pos;
	*size_r = end - pos;
	return TRUE;
}

/* Make one line of several. Returns NULL if it can't have come from a header. */
static const char *unfold(const char *value)
{
	const char *lf = strchr(value, '\n');
	string_t *str;

	if (lf == NULL)
		return value;
	str = t_str_new(strlen(value) + 1);
	while ((lf = strchr(value, '\n')) != NULL) {
		str_append_data(str, value, lf - value);
		str_append_c(str, ' ');
		value = lf + 1;
		if (*value == '\0')
			return str_c(str);
		if (*value != ' ' && *value != '\t')
			return NULL;
		value++;
	}
	str_append(str, value);
	return str_c(str);
}

static void replace_nuls(string_t *str)
{
	char *data = str_c_modifiable(str);
	size_t i;

	for (i = 0; i < str_len(str); i++) {
		if (data[i] == '\0')
			data[i] = ' ';
	}
}

/* To UTF-8 (RFC 2047). */
static const char *decode_value(pool_t pool, const char *value)
{
	string_t *str = t_str_new(512);

	value = unfold(value);
	if (value == NULL)
		return NULL;
	message_header_decode_utf8((const unsigned char *)value,
				   strlen(value), str, NULL);
	replace_nuls(str);
	return p_strdup(pool, str_c(str));
}

/* Append the values of the lines, at most max. Returns FALSE if Dovecot has to
   look itself. */
static bool
add_values(struct mail *mail, const ARRAY_TYPE(cache_header_line) *lines,
	   bool decode, unsigned int max, ARRAY_TYPE(const_string) *values)
{
	pool_t pool = cache_mail_pool(mail);
	const struct cache_header_line *line;
	const unsigned char *data;
	const char *value;
	size_t size;

	array_foreach(lines, line) {
		if (array_count(values) == max)
			break;
		if (!get_value(line, &data, &size))
			continue;
		value = message_header_strdup(pool, data, size);
		if (decode)
			value = decode_value(pool, value);
		if (value == NULL)
			return FALSE;
		array_push_back(values, &value);
	}
	array_append_zero(values);
	return TRUE;
}

/* Returns 1 and values_r, with a NULL at the end, 0 if it isn't known. */
static int
find_values(struct mail *mail, struct cache_mail *cmail, const char *name,
	    bool decode, unsigned int max, const char *const **values_r)
{
	pool_t pool = cache_mail_pool(mail);
	ARRAY_TYPE(cache_header_line) lines;
	ARRAY_TYPE(const_string) values;
	int ret;

	T_BEGIN {
		t_array_init(&lines, 8);
		ret = get_lines(mail, cmail, name, &lines);
		if (ret > 0) {
			p_array_init(&values, pool, array_count(&lines) + 1);
			ret = add_values(mail, &lines, decode, max,
					 &values) ? 1 : 0;
		}
	} T_END;
	if (ret > 0)
		*values_r = array_front(&values);
	return ret;
}

static void
prepare_headers(struct mail *mail, struct cache_mail *cmail, const char *name)
{
	if (cmail->active)
		cache_box_ask(CACHE_BOX_CONTEXT(mail->box), name);
	cache_mail_prepare(mail, cmail);
}

/* Returns 1 and value_r, or NULL for a header that is absent; 0 if it isn't
   known. */
static int
find_value(struct mail *mail, struct cache_mail *cmail, const char *name,
	   bool decode, const char **value_r)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(mail->box);
	const struct cache_memo_entry *entry;
	enum cache_memo_header kept;
	const char *const *values;
	bool keep;

	keep = !decode && cache_mail_activate(mail, cmail) &&
		cache_memo_header(name, &kept);
	entry = keep ? cache_memo_find(cbox->memo, mail->uid) : NULL;
	if (entry != NULL && entry->headers[kept].known) {
		*value_r = entry->headers[kept].value;
		return 1;
	}
	if (find_values(mail, cmail, name, decode, 1, &values) == 0)
		return 0;
	*value_r = values[0];
	if (keep) {
		if (cbox->memo == NULL)
			cbox->memo = cache_memo_init();
		cache_memo_add_header(cbox->memo, mail->uid, kept, values[0]);
		/* One of them is asked for later, when this isn't open. */
		cache_mail_fill_dates(mail, cmail);
	}
	return 1;
}

int cache_mail_get_first_header(struct mail *mail, const char *name,
				bool decode, const char **value_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	if (find_value(mail, cmail, name, decode, value_r) > 0)
		return *value_r != NULL ? 1 : 0;
	prepare_headers(mail, cmail, name);
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			 get_first_header(mail, name, decode, value_r));
}

int cache_mail_get_headers(struct mail *mail, const char *name, bool decode,
			   const char *const **value_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);

	if (find_values(mail, cmail, name, decode, UINT_MAX, value_r) > 0)
		return **value_r != NULL ? 1 : 0;
	prepare_headers(mail, cmail, name);
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			 get_headers(mail, name, decode, value_r));
}

static int
line_cmp(const struct cache_header_line *a, const struct cache_header_line *b)
{
	return a->number < b->number ? -1 : a->number > b->number ? 1 : 0;
}

/* All lines in the order of the message, and an empty one. Returns NULL if a
   header isn't known. */
static string_t *
join_lines(struct mail *mail, struct cache_mail *cmail,
	   const struct mailbox_header_lookup_ctx *headers)
{
	const struct cache_header_line *line;
	ARRAY_TYPE(cache_header_line) lines;
	size_t size = 2;
	string_t *str;
	unsigned int i;

	t_array_init(&lines, 32);
	for (i = 0; i < headers->count; i++) {
		if (get_lines(mail, cmail, headers->name[i], &lines) == 0)
			return NULL;
	}
	array_sort(&lines, line_cmp);
	array_foreach(&lines, line)
		size += line->size;
	str = str_new(cache_mail_pool(mail), size);
	array_foreach(&lines, line)
		str_append_data(str, line->text, line->size);
	/* The message may end within its header. */
	if (str_len(str) > 0 && str_data(str)[str_len(str) - 1] != '\n')
		str_append_c(str, '\n');
	str_append_c(str, '\n');
	return str;
}

int cache_mail_get_header_stream(struct mail *mail,
				 struct mailbox_header_lookup_ctx *headers,
				 struct istream **stream_r)
{
	struct cache_mail *cmail = cache_mail_get(mail);
	unsigned int i;
	string_t *str;

	i_stream_unref(&cmail->header_stream);
	T_BEGIN {
		str = join_lines(mail, cmail, headers);
	} T_END;
	if (str != NULL) {
		cmail->header_stream =
			i_stream_create_from_data(str_data(str), str_len(str));
		*stream_r = cmail->header_stream;
		return 0;
	}
	for (i = 0; cmail->active && i < headers->count; i++)
		cache_box_ask(CACHE_BOX_CONTEXT(mail->box), headers->name[i]);
	cache_mail_prepare(mail, cmail);
	return cache_mail_answered(mail, cmail, cmail->module_ctx.super.
			 get_header_stream(mail, headers, stream_r));
}
