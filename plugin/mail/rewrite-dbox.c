/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "ostream.h"
#include "dbox-storage.h"
#include "dbox-file.h"
#include "rewrite-private.h"

void rewrite_dbox_send_header(struct ostream *output, uoff_t size)
{
	struct dbox_message_header header;

	dbox_msg_header_fill(&header, size);
	o_stream_nsend(output, &header, sizeof(header));
}

int rewrite_dbox_send_metadata(struct dbox_file *file, struct ostream *output,
			       uoff_t new_size, const char **error_r)
{
	const char *line;

	if (dbox_file_metadata_read(file) <= 0) {
		*error_r = mail_storage_get_last_internal_error(
			&file->storage->storage, NULL);
		return -1;
	}
	o_stream_nsend(output, DBOX_MAGIC_POST, sizeof(DBOX_MAGIC_POST) - 1);
	/* Without this line the size is taken from the message's header, which
	   was right as long as it was stored as it is read. */
	if (new_size != file->cur_physical_size &&
	    dbox_file_metadata_get(file, DBOX_METADATA_PHYSICAL_SIZE) == NULL) {
		o_stream_nsend_str(output, t_strdup_printf("%c%"PRIx64"\n",
			DBOX_METADATA_PHYSICAL_SIZE,
			(uint64_t)file->cur_physical_size));
	}
	array_foreach_elem(&file->metadata, line) {
		o_stream_nsend_str(output, line);
		o_stream_nsend(output, "\n", 1);
	}
	o_stream_nsend(output, "\n", 1);
	return 0;
}
