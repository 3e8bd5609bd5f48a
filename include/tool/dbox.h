/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TOOL_DBOX_H
#define TOOL_DBOX_H

/* The files of Dovecot's sdbox and mdbox: a line for the file, then for each
   message a header of fixed size, the content, and lines of metadata. Reads
   what Dovecot writes and believes nothing: any bytes may be given. Sizes and
   offsets are bytes. */

struct istream;

/* Metadata of one message is a few lines; more than this is damage. */
#define DBOX_METADATA_MAX_SIZE (64 * 1024)

struct dbox_file {
	struct istream *input;
	uoff_t size;
	/* Where the first message begins. */
	uoff_t first_offset;
	unsigned int header_size;
	/* For the caller. */
	time_t mtime;
};

struct dbox_message {
	uoff_t content_offset, content_size;
	/* Where the next message begins, if there is one. */
	uoff_t next_offset;
	/* What is wrong with the metadata, of which then nothing is known; or
	   NULL. */
	const char *metadata_error;
	/* 0 if it isn't told. */
	time_t received;
	/* Hex digits alone, or NULL. From the data stack. */
	const char *guid;
	/* Into which mailbox it was first saved, or NULL. Likewise. */
	const char *mailbox;
	/* Parts of it are kept in other files. */
	bool has_attachments;
};

/* Read the first line. input is seekable and blocking, and isn't referenced.
   Returns 0, or -1 and error_r. */
int dbox_file_init(struct dbox_file *file, struct istream *input,
		   const char **error_r) ATTR_WARN_UNUSED_RESULT;
/* Read about the message at this offset. Returns 1; 0 if the file ends there;
   -1 and error_r if there is no whole message. */
int dbox_file_read(struct dbox_file *file, uoff_t offset,
		   struct dbox_message *message_r, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;
/* Look from this offset on for what looks like a message. Returns FALSE if
   there is nothing. */
bool dbox_file_find(struct dbox_file *file, uoff_t *offset);
/* The content as a stream that the caller unreferences. */
struct istream *dbox_file_content(struct dbox_file *file,
				  const struct dbox_message *message);

#endif
