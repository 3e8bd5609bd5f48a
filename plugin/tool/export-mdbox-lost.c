/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "hash.h"
#include "istream.h"
#include "strnum.h"
#include "export-mdbox.h"

#include <dirent.h>

/* Messages whose mailbox isn't known. Each says in its metadata where it was
   first saved. First they are all found, then they are sorted by mailbox, as
   one folder is written at a time. */

struct lost_message {
	/* The idx'th of names. */
	uint32_t mailbox;
	struct mdbox_place place;
};

struct lost {
	struct mdbox *mdbox;
	pool_t pool;
	ARRAY(const char *) names;
	/* The idx of each name, plus one. */
	HASH_TABLE(char *, void *) idxs;
	ARRAY(struct lost_message) messages;
};

/* Names are what somebody wrote into the file. */
static const char *mailbox_of(const struct dbox_message *message)
{
	const char *name = message->mailbox, *const *parts;

	if (name == NULL || *name == '\0' || strlen(name) > 200)
		return "INBOX";
	for (parts = t_strsplit(name, "/"); *parts != NULL; parts++) {
		if (**parts == '\0' || strcmp(*parts, "..") == 0 ||
		    strcmp(*parts, ".") == 0)
			return "INBOX";
	}
	return tool_printable(name);
}

static uint32_t name_idx(struct lost *lost, const char *name)
{
	unsigned int idx = POINTER_CAST_TO(
		hash_table_lookup(lost->idxs, name), unsigned int);

	if (idx == 0) {
		char *copy = p_strdup(lost->pool, name);

		name = copy;
		array_push_back(&lost->names, &name);
		idx = array_count(&lost->names);
		hash_table_insert(lost->idxs, copy, POINTER_CAST(idx));
	}
	return idx - 1;
}

static void add(struct lost *lost, const struct dbox_message *message,
		const struct mdbox_place *place)
{
	struct lost_message *found = array_append_space(&lost->messages);

	found->place = *place;
	found->mailbox = name_idx(lost, mailbox_of(message));
}

static void fail_place(struct lost *lost, const struct mdbox_place *place,
		       const char *error)
{
	struct export *export = lost->mdbox->export;

	export_fail(export, t_strdup_printf("%s/storage/m.%u at %u",
			export->source, place->file_id, place->offset),
		    "%s", error);
}

/* All messages of a file. Behind damage the next one is looked for. */
static void
find_in_file(struct lost *lost, struct dbox_file *file, uint32_t file_id)
{
	struct mdbox_place place = { .file_id = file_id };
	struct dbox_message message;
	uoff_t offset = file->first_offset;
	const char *error;
	bool damaged = FALSE;
	int ret;

	/* Dovecot doesn't let a file come near to this. */
	while ((!damaged || dbox_file_find(file, &offset)) &&
	       offset <= UINT32_MAX) {
		place.offset = offset;
		ret = dbox_file_read(file, offset, &message, &error);
		if (ret == 0)
			break;
		if (ret > 0) {
			add(lost, &message, &place);
			offset = message.next_offset;
			damaged = message.metadata_error != NULL;
		} else {
			fail_place(lost, &place, error);
			offset++;
			damaged = TRUE;
		}
	}
}

static void find_in_files(struct lost *lost)
{
	struct mdbox *mdbox = lost->mdbox;
	const char *path = t_strconcat(mdbox->export->source, "/storage", NULL);
	struct dirent *entry;
	uint32_t file_id;
	DIR *dir = opendir(path);

	if (dir == NULL) {
		export_fail(mdbox->export, path, "can't read the folder: %m");
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != 'm' || entry->d_name[1] != '.' ||
		    str_to_uint32(entry->d_name + 2, &file_id) < 0 ||
		    file_id == 0)
			continue;
		T_BEGIN {
			if (mdbox_open_file(mdbox, file_id) == 0)
				find_in_file(lost, &mdbox->file, file_id);
		} T_END;
	}
	(void)closedir(dir);
}

static void find_by_map(struct lost *lost, uint32_t map_seq)
{
	struct mdbox *mdbox = lost->mdbox;
	struct dbox_message message;
	struct mdbox_place place;
	const char *error = "it ends before this message";

	if (!mdbox_get_place(mdbox, map_seq, &place))
		return;
	if (place.refcount == 0)
		mdbox->export->counts.deleted++;
	else if (mdbox_open_file(mdbox, place.file_id) == 0) {
		if (dbox_file_read(&mdbox->file, place.offset, &message,
				   &error) > 0)
			add(lost, &message, &place);
		else
			fail_place(lost, &place, error);
	}
}

static void find_unseen(struct lost *lost)
{
	struct mdbox *mdbox = lost->mdbox;
	uint32_t seq, count = export_index_count(mdbox->map);

	/* All are there, as FALSE. */
	(void)array_idx_get_space(&mdbox->seen, count);
	for (seq = 1; seq <= count; seq++) T_BEGIN {
		if (!*array_idx(&mdbox->seen, seq))
			find_by_map(lost, seq);
	} T_END;
}

static int compare(const struct lost_message *a, const struct lost_message *b)
{
	if (a->mailbox != b->mailbox)
		return a->mailbox < b->mailbox ? -1 : 1;
	if (a->place.file_id != b->place.file_id)
		return a->place.file_id < b->place.file_id ? -1 : 1;
	return a->place.offset < b->place.offset ? -1 :
		a->place.offset > b->place.offset ? 1 : 0;
}

static enum tool_exit export_lost(struct lost *lost)
{
	const struct lost_message *message;
	enum tool_exit ret = TOOL_DONE;
	uint32_t mailbox = UINT32_MAX;

	array_sort(&lost->messages, compare);
	array_foreach(&lost->messages, message) T_BEGIN {
		if (ret == TOOL_DONE && message->mailbox != mailbox) {
			mailbox = message->mailbox;
			ret = export_dbox_begin(lost->mdbox->export,
				array_idx_elem(&lost->names, mailbox));
		}
		if (ret == TOOL_DONE) {
			ret = mdbox_export_place(lost->mdbox, &message->place,
						 0, "", NULL);
		}
	} T_END;
	return ret;
}

enum tool_exit mdbox_export_lost(struct mdbox *mdbox)
{
	struct lost lost = { .mdbox = mdbox };
	enum tool_exit ret;

	lost.pool = pool_alloconly_create("lost messages", 1024);
	i_array_init(&lost.names, 16);
	i_array_init(&lost.messages, 64);
	hash_table_create(&lost.idxs, lost.pool, 0, str_hash, strcmp);
	if (mdbox->map != NULL)
		find_unseen(&lost);
	else
		find_in_files(&lost);
	ret = export_lost(&lost);
	hash_table_destroy(&lost.idxs);
	array_free(&lost.messages);
	array_free(&lost.names);
	pool_unref(&lost.pool);
	return ret;
}
