/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "export-dbox.h"
#include "export-mdbox.h"

/* mdbox: files storage/m.N with many messages each. The index of a mailbox
   names its messages by the number that the map (storage/dovecot.map.index)
   gives them, and the map tells the file and the offset. */

#define MAP_PREFIX "dovecot.map.index"

/* What Dovecot keeps for each message: in the map, and in a mailbox. */
struct map_record {
	uint32_t file_id, offset, size;
};
struct mailbox_record {
	uint32_t map_uid, save_date;
};

int mdbox_open_file(struct mdbox *mdbox, uint32_t file_id)
{
	const char *path;

	if (mdbox->file_id == file_id)
		return 0;
	mdbox_close_file(mdbox);
	path = t_strdup_printf("storage/m.%u", file_id);
	if (export_dbox_open(mdbox->export, path, &mdbox->file) < 0)
		return -1;
	mdbox->file_id = file_id;
	return 0;
}

void mdbox_close_file(struct mdbox *mdbox)
{
	if (mdbox->file_id != 0)
		export_dbox_close(&mdbox->file);
	mdbox->file_id = 0;
}

bool mdbox_get_place(struct mdbox *mdbox, uint32_t map_seq,
		     struct mdbox_place *place_r)
{
	const struct map_record *record;
	const uint16_t *count;

	record = export_index_extension(mdbox->map, map_seq, "map",
					sizeof(*record));
	count = export_index_extension(mdbox->map, map_seq, "ref",
				       sizeof(*count));
	if (record == NULL || record->file_id == 0)
		return FALSE;
	place_r->file_id = record->file_id;
	place_r->offset = record->offset;
	place_r->refcount = count == NULL ? 0 : *count;
	return TRUE;
}

enum tool_exit
mdbox_export_place(struct mdbox *mdbox, const struct mdbox_place *place,
		   uint32_t uid, const char *flags, string_t *uids)
{
	struct export_dbox_place dbox_place = {
		.uids = uids,
		.path = t_strdup_printf("%s/storage/m.%u",
					mdbox->export->source, place->file_id),
		.offset = place->offset,
		.number = { uid, 1 },
		.flags = flags,
	};

	/* Without a UID the place makes it unique. */
	if (uid == 0) {
		dbox_place.number[0] = place->offset;
		dbox_place.number[1] = place->file_id;
	}
	if (mdbox_open_file(mdbox, place->file_id) < 0)
		return TOOL_DONE;
	return export_dbox_place(mdbox->export, &mdbox->file, &dbox_place);
}

static enum tool_exit
export_record(struct mdbox *mdbox, const struct export_dbox_mailbox *mailbox,
	      uint32_t seq)
{
	const struct mailbox_record *record;
	struct export_index_record message;
	struct mdbox_place place;
	uint32_t map_seq;

	export_index_get(mailbox->index, seq, &message);
	record = export_index_extension(mailbox->index, seq, "mdbox",
					sizeof(*record));
	if (record == NULL ||
	    !export_index_find(mdbox->map, record->map_uid, &map_seq) ||
	    !mdbox_get_place(mdbox, map_seq, &place)) {
		export_fail(mdbox->export, mailbox->path, "UID %u: the map of "
			    "the storage doesn't tell where it is",
			    message.uid);
		return TOOL_DONE;
	}
	*array_idx_get_space(&mdbox->seen, map_seq) = TRUE;
	return mdbox_export_place(mdbox, &place, message.uid, message.flags,
				  mailbox->uids);
}

static enum tool_exit
export_mdbox_mailbox(struct export *export ATTR_UNUSED,
		     struct export_dbox_mailbox *mailbox, void *context)
{
	struct mdbox *mdbox = context;
	enum tool_exit ret = TOOL_DONE;
	uint32_t seq, count;

	if (mailbox->index == NULL || mdbox->map == NULL)
		return TOOL_DONE;
	count = export_index_count(mailbox->index);
	for (seq = 1; seq <= count && ret == TOOL_DONE; seq++) T_BEGIN {
		ret = export_record(mdbox, mailbox, seq);
	} T_END;
	return ret;
}

static enum tool_exit export_all(struct mdbox *mdbox)
{
	enum tool_exit ret;

	ret = export_dbox_mailboxes(mdbox->export, export_mdbox_mailbox,
				    mdbox);
	return ret != TOOL_DONE ? ret : mdbox_export_lost(mdbox);
}

enum tool_exit export_mdbox(struct export *export)
{
	struct mdbox mdbox = { .export = export };
	const char *path = t_strconcat(export->source, "/storage", NULL);
	const char *error;
	enum tool_exit ret;
	int found;

	found = export_index_open(path, MAP_PREFIX, &mdbox.map, &error);
	if (found <= 0) {
		export_fail(export, path, "%s: all messages go where they were "
			    "first saved, also deleted ones, without flags",
			    found == 0 ? "there is no map ("MAP_PREFIX")" :
			    error);
	}
	i_array_init(&mdbox.seen, 1024);
	ret = export_all(&mdbox);
	array_free(&mdbox.seen);
	mdbox_close_file(&mdbox);
	if (found > 0)
		export_index_close(&mdbox.map);
	return ret;
}
