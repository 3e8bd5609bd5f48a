/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "strnum.h"
#include "export-dbox.h"

#include <dirent.h>

/* sdbox: a file u.UID for each message. The index has the flags; a message that
   it doesn't know any more was deleted, and its file is about to go. */

static enum tool_exit
export_uid(struct export *export, struct export_dbox_mailbox *mailbox,
	   uint32_t uid, const char *flags, string_t *uids)
{
	struct export_dbox_place place = {
		.path = t_strdup_printf("%s/u.%u", mailbox->path, uid),
		.number = { uid, 1 },
		.flags = flags,
		.uids = uids,
	};
	struct dbox_file file;
	enum tool_exit ret;

	/* Below the source, as it may be in the alternative storage. */
	if (export_dbox_open(export, place.path + strlen(export->source) + 1,
			     &file) < 0)
		return TOOL_DONE;
	place.offset = file.first_offset;
	ret = export_dbox_place(export, &file, &place);
	export_dbox_close(&file);
	return ret;
}

/* By the index, in the order of the UIDs. */
static enum tool_exit
export_indexed(struct export *export, struct export_dbox_mailbox *mailbox)
{
	struct export_index_record record;
	enum tool_exit ret = TOOL_DONE;
	uint32_t seq, count = export_index_count(mailbox->index);

	for (seq = 1; seq <= count && ret == TOOL_DONE; seq++) T_BEGIN {
		export_index_get(mailbox->index, seq, &record);
		ret = export_uid(export, mailbox, record.uid, record.flags,
				 mailbox->uids);
	} T_END;
	return ret;
}

/* A file that the index doesn't know, or all of them. */
static enum tool_exit
export_unindexed(struct export *export, struct export_dbox_mailbox *mailbox,
		 uint32_t uid)
{
	uint32_t seq;

	if (mailbox->index == NULL)
		return export_uid(export, mailbox, uid, "", NULL);
	if (export_index_find(mailbox->index, uid, &seq))
		return TOOL_DONE;
	if (uid >= export_index_next_uid(mailbox->index))
		return export_uid(export, mailbox, uid, "", NULL);
	export->counts.deleted++;
	return TOOL_DONE;
}

static enum tool_exit
export_sdbox_mailbox(struct export *export,
		     struct export_dbox_mailbox *mailbox,
		     void *context ATTR_UNUSED)
{
	enum tool_exit ret = TOOL_DONE;
	struct dirent *entry;
	uint32_t uid;
	DIR *dir;

	dir = opendir(mailbox->path);
	if (dir == NULL) {
		export_fail(export, mailbox->path,
			    "can't read the folder: %m");
		return TOOL_DONE;
	}
	if (mailbox->index != NULL)
		ret = export_indexed(export, mailbox);
	while (ret == TOOL_DONE && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != 'u' || entry->d_name[1] != '.' ||
		    str_to_uint32(entry->d_name + 2, &uid) < 0)
			continue;
		T_BEGIN {
			ret = export_unindexed(export, mailbox, uid);
		} T_END;
	}
	(void)closedir(dir);
	return ret;
}

enum tool_exit export_sdbox(struct export *export)
{
	return export_dbox_mailboxes(export, export_sdbox_mailbox, NULL);
}
