/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "compression.h"
#include "istream.h"
#include "write-full.h"
#include "stream/istream-age.h"
#include "tool-keys.h"
#include "terminal/progress.h"
#include "export.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BUFFER_SIZE (128 * 1024)
/* dovecot-uidlist has a line for each message. */
#define CONTROL_FILE_MAX_SIZE (256 * 1024 * 1024)

/* Implements age_istream_open_key_t. */
static int open_key(const struct age_header *header,
		    uint8_t file_key_r[AGE_FILE_KEY_SIZE],
		    const char **error_r, void *context)
{
	const struct export *export = context;

	return tool_open_key(export->identities, header, file_key_r, error_r);
}

/* From the file on, each over the one before, or the same. */
struct layers {
	struct istream *stored, *opened, *plain;
};

/* The message within the seal. Returns 0, or -1 and error_r. */
static int open_seal(struct export *export, const char *frame_error,
		     struct layers *layers, const char **error_r)
{
	int ret = i_stream_is_sealed_mail(layers->stored);

	if (ret < 0) {
		*error_r = i_stream_get_error(layers->stored);
		return -1;
	}
	if (ret == 0) {
		*error_r = frame_error;
		layers->opened = layers->stored;
		i_stream_ref(layers->opened);
		return frame_error == NULL ? 0 : -1;
	}
	layers->opened = i_stream_create_age(layers->stored, open_key, export);
	return 0;
}

/* Dovecot's library knows it, or knew it in an earlier version. */
static const char *unknown_compression(struct istream *input)
{
	static const unsigned char xz[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	const unsigned char *data;
	size_t size;

	if (i_stream_read_bytes(input, &data, &size, sizeof(xz)) > 0 &&
	    memcmp(data, xz, sizeof(xz)) == 0)
		return "xz";
	return NULL;
}

static int decompress(struct layers *layers, const char **error_r)
{
	const struct compression_handler *handler;
	const char *unknown = NULL;

	handler = compression_detect_handler(layers->opened);
	if (handler == NULL)
		unknown = unknown_compression(layers->opened);
	else if (handler->create_istream == NULL)
		unknown = handler->name;
	if (unknown != NULL) {
		*error_r = t_strdup_printf("it is compressed by %s, which the "
			"Dovecot of this system doesn't know", unknown);
		return -1;
	}
	if (handler != NULL)
		layers->plain = handler->create_istream(layers->opened);
	else {
		layers->plain = layers->opened;
		i_stream_ref(layers->plain);
	}
	return 0;
}

/* What went wrong with reading. NULL if nothing did: also the end of the seal
   is authentic, which decompression may not have looked at. */
static const char *read_error(const struct layers *layers)
{
	const unsigned char *data;
	size_t size;

	while (layers->plain->stream_errno == 0 &&
	       i_stream_read_more(layers->opened, &data, &size) > 0)
		i_stream_skip(layers->opened, size);
	if (layers->opened->stream_errno != 0)
		return i_stream_get_error(layers->opened);
	if (layers->plain->stream_errno != 0) {
		return t_strdup_printf("it can't be decompressed: %s",
				       i_stream_get_error(layers->plain));
	}
	return NULL;
}

/* Returns 0 at the end of input or where it can't be read on, -1 if it can't be
   written (errno is set). fd may be -1. */
static int copy(struct istream *input, int fd)
{
	const unsigned char *data;
	size_t size;

	while (i_stream_read_more(input, &data, &size) > 0) {
		if (fd != -1 && write_full(fd, data, size) < 0)
			return -1;
		i_stream_skip(input, size);
	}
	return 0;
}

static enum tool_exit
write_to(struct export *export, const struct export_message *message,
	 const struct layers *layers, int fd)
{
	const char *error;
	enum tool_exit ret = TOOL_DONE;

	if (copy(layers->plain, fd) < 0) {
		ret = tool_fail(TOOL_IO, message->name,
				"can't write what it holds: %m");
	} else if ((error = read_error(layers)) != NULL) {
		export_fail(export, message->name, "%s", error);
	} else {
		export->counts.messages++;
		return fd == -1 ? TOOL_DONE :
			export_target_commit(export->target, fd, message);
	}
	if (fd != -1)
		export_target_discard(export->target, fd);
	return ret;
}

static enum tool_exit
write_message(struct export *export, const struct export_message *message,
	      const struct layers *layers)
{
	enum tool_exit ret;
	int fd = -1;

	if (export->target != NULL) {
		ret = export_target_create(export->target, &fd);
		if (ret != TOOL_DONE)
			return ret;
	}
	return write_to(export, message, layers, fd);
}

static enum tool_exit
open_and_write(struct export *export, const struct export_message *message,
	       struct istream *stored)
{
	struct layers layers = { .stored = stored };
	const char *error;
	enum tool_exit ret = TOOL_DONE;

	if (open_seal(export, message->frame_error, &layers, &error) < 0 ||
	    decompress(&layers, &error) < 0)
		export_fail(export, message->name, "%s", error);
	else
		ret = write_message(export, message, &layers);
	i_stream_unref(&layers.plain);
	i_stream_unref(&layers.opened);
	return ret;
}

static void show_progress(struct export *export)
{
	const struct export_counts *counts = &export->counts;
	const struct progress_state state = {
		.messages = counts->messages + counts->present + counts->failed,
		.total_messages = export->total.messages + export->total.failed,
		.bytes = counts->bytes,
		.total_bytes = export->total.bytes,
	};

	if (export->progress != NULL)
		progress_show(export->progress, &state);
}

enum tool_exit
export_message(struct export *export, const struct export_message *message,
	       struct istream *stored, uint64_t stored_size)
{
	enum tool_exit ret = TOOL_DONE;
	bool found = FALSE;

	if (export_is_interrupted())
		return TOOL_IO;
	if (export->target != NULL)
		ret = export_target_find(export->target, message, &found);
	if (ret != TOOL_DONE)
		return ret;
	if (found)
		export->counts.present++;
	else if (export->counting)
		export->counts.messages++;
	else
		ret = open_and_write(export, message, stored);
	export->counts.bytes += stored_size;
	show_progress(export);
	return ret;
}

int export_open(struct export *export, int dir_fd, const char *path,
		const char *name, struct istream **input_r, struct stat *st_r)
{
	int fd;

	/* Not to wait for what isn't a file. */
	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		export_fail(export, name, "can't open it: %m");
		return -1;
	}
	if (fstat(fd, st_r) < 0)
		export_fail(export, name, "can't stat it: %m");
	else if (!S_ISREG(st_r->st_mode))
		export_fail(export, name, "it isn't a file");
	else {
		*input_r = i_stream_create_fd_autoclose(&fd, INPUT_BUFFER_SIZE);
		return 0;
	}
	i_close_fd(&fd);
	return -1;
}

enum tool_exit
export_file(struct export *export, int dir_fd, const char *path,
	    struct export_message *message)
{
	struct istream *input;
	struct stat st;
	enum tool_exit ret;

	if (export_open(export, dir_fd, path, message->name, &input, &st) < 0)
		return TOOL_DONE;
	message->date = st.st_mtime;
	ret = export_message(export, message, input, st.st_size);
	i_stream_unref(&input);
	return ret;
}

enum tool_exit
export_control_file(struct export *export, const char *path, const char *name)
{
	const unsigned char *data;
	struct istream *input;
	struct stat st;
	enum tool_exit ret = TOOL_DONE;
	size_t size;

	if (export->target == NULL ||
	    (stat(path, &st) < 0 && errno == ENOENT))
		return TOOL_DONE;
	if (export_open(export, AT_FDCWD, path, path, &input, &st) < 0)
		return TOOL_DONE;
	i_stream_set_max_buffer_size(input, CONTROL_FILE_MAX_SIZE);
	while (i_stream_read(input) > 0) ;
	data = i_stream_get_data(input, &size);
	if (input->stream_errno != 0 || !input->eof)
		export_fail(export, path, "%s", i_stream_get_error(input));
	else
		ret = export_target_write(export->target, name, data, size);
	i_stream_unref(&input);
	return ret;
}
