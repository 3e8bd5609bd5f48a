/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "age/base64.h"
#include "edit-private.h"

/* The text of the new keyring. */

/* Comments before the first slot belong to the header, for the parser and thus
   for the mac; whoever removes a slot moves them there. */
struct edit_text {
	/* The header up to the mac line, and behind it. */
	string_t *before, *after;
	string_t *slots;
};

static void append_earlier(const struct keyring_edit *edit, string_t *dest)
{
	const struct keyring_earlier *earlier;

	array_foreach(&edit->earlier, earlier) {
		str_printfa(dest, "earlier: %s %s\n",
			    age_x25519_recipient_str(&earlier->recipient),
			    earlier->until);
	}
}

static void append_list(const struct keyring_edit *edit, string_t *dest)
{
	const struct edit_slot *eslot;
	struct keyring_digest digest;
	bool none = TRUE;

	str_append(dest, "slots:");
	array_foreach(&edit->slots, eslot) {
		if (eslot->removed)
			continue;
		keyring_digest(eslot->slot.text, &digest);
		str_append_c(dest, ' ');
		age_base64_encode(digest.data, sizeof(digest.data), dest);
		none = FALSE;
	}
	if (none)
		str_append(dest, " "KEYRING_SLOTS_NONE);
	str_append_c(dest, '\n');
}

static void append_recipient(const struct keyring_edit *edit, string_t *dest)
{
	str_printfa(dest, "recipient: %s\n", edit->recipient);
}

static unsigned int last_recipient_line(const struct keyring *keyring)
{
	const struct keyring_line *line;
	unsigned int last = 0;

	array_foreach(&keyring->lines, line) {
		if (line->kind == KEYRING_LINE_RECIPIENT)
			last = array_foreach_idx(&keyring->lines, line);
	}
	return last;
}

/* The lines of the header that aren't made anew, but the first recipient. */
static void append_kept_lines(const struct keyring_edit *edit,
			      struct edit_text *text)
{
	const struct keyring *keyring = edit->keyring;
	unsigned int last = last_recipient_line(keyring);
	const struct keyring_line *line;
	bool first = TRUE;

	array_foreach(&keyring->lines, line) {
		string_t *dest =
			array_foreach_idx(&keyring->lines, line) <= last ?
			text->before : text->after;

		if (line->kind == KEYRING_LINE_RECIPIENT && first) {
			append_recipient(edit, dest);
			first = FALSE;
		} else if (line->kind != KEYRING_LINE_DERIVED) {
			str_append_data(dest, keyring->text + line->offset,
					line->size);
		}
	}
}

static void append_header(const struct keyring_edit *edit,
			  struct edit_text *text)
{
	str_append(text->before, KEYRING_VERSION_LINE"\n");
	if (edit->keyring == NULL)
		append_recipient(edit, text->before);
	else
		append_kept_lines(edit, text);
	append_earlier(edit, text->before);
	append_list(edit, text->before);
}

/* Returns where comments go that follow the last slot. */
static string_t *
append_slots(const struct keyring_edit *edit, struct edit_text *text)
{
	const struct edit_slot *eslot;
	string_t *dest = text->after;

	array_foreach(&edit->slots, eslot) {
		str_append(dest, eslot->gap);
		if (eslot->removed)
			continue;
		dest = text->slots;
		str_append(dest, eslot->slot.text);
	}
	return dest;
}

/* The comments around the line "end". */
static void append_end(const struct keyring *keyring, string_t *before,
		       string_t *after)
{
	size_t offset = keyring->end_offset;

	str_append_data(before, keyring->text + keyring->slots_end_offset,
			offset - keyring->slots_end_offset);
	if (offset < keyring->size)
		offset += strlen(KEYRING_END"\n");
	str_append_data(after, keyring->text + offset, keyring->size - offset);
}

static void append_mac(const struct keyring_edit *edit,
		       const struct edit_text *text, string_t *dest)
{
	string_t *header = t_str_new(1024);
	uint8_t mac[KDF_HMAC_SIZE];

	str_append_str(header, text->before);
	str_append_str(header, text->after);
	keyring_mac(age_identities_get(edit->identities, 0), str_data(header),
		    str_len(header), mac);
	str_append(dest, "mac: ");
	age_base64_encode(mac, sizeof(mac), dest);
	str_append_c(dest, '\n');
}

static void edit_text(const struct keyring_edit *edit, string_t *dest)
{
	struct edit_text text = {
		.before = t_str_new(1024),
		.after = t_str_new(256),
		.slots = t_str_new(4096),
	};
	string_t *tail = t_str_new(64), *before_end;

	append_header(edit, &text);
	before_end = append_slots(edit, &text);
	if (edit->keyring != NULL)
		append_end(edit->keyring, before_end, tail);
	str_append_str(dest, text.before);
	append_mac(edit, &text, dest);
	str_append_str(dest, text.after);
	str_append_str(dest, text.slots);
	str_append(dest, KEYRING_END"\n");
	str_append_str(dest, tail);
}

/* Nothing new is put beside a slot that isn't known to be right: that would
   vouch for it. */
static int check_listed(const struct keyring_edit *edit, const char **error_r)
{
	const struct edit_slot *eslot;
	unsigned int number = 0;

	array_foreach(&edit->slots, eslot) {
		number++;
		if (eslot->removed || eslot->slot.listed ||
		    eslot->slot.kind == KEYRING_SLOT_LINK)
			continue;
		*error_r = t_strdup_printf("slot %u (line %u) was damaged or "
			"written by someone else, as it is not in the "
			"keyring's list: remove it first",
			number, eslot->slot.line);
		return -1;
	}
	return 0;
}

static int check_openers(const struct keyring_edit *edit, const char **error_r)
{
	struct keyring_slot_counts counts;

	keyring_edit_count(edit, &counts);
	if (counts.password + counts.recovery + counts.escrow > 0)
		return 0;
	*error_r = "no password, recovery or escrow slot would be left: nobody "
		"could open the mail any more";
	return -1;
}

static int edit_write(struct keyring_edit *edit, enum keyring_edit_flags flags,
		      struct keyring **keyring_r, const char **error_r)
{
	string_t *text = t_str_new(8192);

	if (check_listed(edit, error_r) < 0)
		return -1;
	if ((flags & KEYRING_EDIT_FORCE) == 0 &&
	    check_openers(edit, error_r) < 0)
		return -1;
	if (keyring_edit_seal_all(edit, error_r) < 0)
		return -1;
	edit_text(edit, text);
	if (str_len(text) > KEYRING_MAX_SIZE) {
		*error_r = t_strdup_printf("the keyring would have %zu bytes, "
			"%d are allowed", str_len(text), KEYRING_MAX_SIZE);
		return -1;
	}
	/* Made from its own text, so that it is the one that will be read. */
	if (keyring_parse(str_c(text), str_len(text), keyring_r, error_r) < 0)
		i_panic("keyring: Malformed when new: %s", *error_r);
	i_assert(keyring_fits(*keyring_r, edit->identities));
	return 1;
}

int keyring_edit_finish(struct keyring_edit **_edit,
			enum keyring_edit_flags flags,
			struct keyring **keyring_r,
			struct age_identities **identities_r,
			const char **error_r)
{
	struct keyring_edit *edit = *_edit;
	int ret = 0;

	if (edit->changed) T_BEGIN {
		ret = edit_write(edit, flags, keyring_r, error_r);
	} T_END_PASS_STR_IF(ret < 0, error_r);
	if (ret > 0 && identities_r != NULL) {
		*identities_r = edit->identities;
		edit->identities = NULL;
	}
	keyring_edit_abort(_edit);
	return ret;
}
