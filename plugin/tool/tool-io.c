/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "ostream-private.h"
#include "istream-armor.h"
#include "tool.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define INPUT_BUFFER_SIZE (64 * 1024)

enum tool_exit tool_fail(enum tool_exit exit, const char *name,
			 const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	T_BEGIN {
		fprintf(stderr, "mail-seal: %s%s%s\n",
			name == NULL ? "" : name, name == NULL ? "" : ": ",
			t_strdup_vprintf(fmt, args));
	} T_END;
	va_end(args);
	return exit;
}

enum tool_exit tool_fail_usage(const char *verb)
{
	return tool_fail(TOOL_USAGE, verb,
			 "see \"mail-seal --help\" for what it takes");
}

bool tool_get_file(int argc, char *argv[], const char **file_r)
{
	if (argc > 1) {
		(void)tool_fail(TOOL_USAGE, NULL,
				"one FILE is expected and not %d", argc);
		return FALSE;
	}
	*file_r = argc == 0 || strcmp(argv[0], "-") == 0 ? NULL : argv[0];
	return TRUE;
}

const char *tool_input_name(const char *path)
{
	return path == NULL ? TOOL_STDIN_NAME : path;
}

int tool_open_input(const char *path, struct istream **input_r)
{
	int fd = STDIN_FILENO;

	if (path != NULL)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		(void)tool_fail(TOOL_IO, path, "can't open it: %m");
		return -1;
	}
	*input_r = path != NULL ?
		i_stream_create_fd_autoclose(&fd, INPUT_BUFFER_SIZE) :
		i_stream_create_fd(fd, INPUT_BUFFER_SIZE);
	return 0;
}

static void wait_fd(int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	(void)poll(&pollfd, 1, -1);
}

void tool_wait_input(struct istream *input)
{
	wait_fd(i_stream_get_fd(input), POLLIN);
}

int tool_remove_armor(struct istream **input)
{
	struct istream *armored = *input;
	int ret;

	while ((ret = i_stream_starts_as_armor(armored)) < 0)
		tool_wait_input(armored);
	if (ret > 0) {
		*input = i_stream_create_armor(armored);
		i_stream_unref(&armored);
	}
	return ret;
}

static int write_all(int fd, const unsigned char *data, size_t size)
{
	ssize_t ret;

	while (size > 0) {
		ret = write(fd, data, size);
		if (ret >= 0) {
			data += ret;
			size -= ret;
		} else if (errno == EAGAIN) {
			wait_fd(fd, POLLOUT);
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

static ssize_t
o_stream_output_sendv(struct ostream_private *stream,
		      const struct const_iovec *iov, unsigned int iov_count)
{
	ssize_t total = 0;
	unsigned int i;

	for (i = 0; i < iov_count; i++) {
		if (write_all(stream->fd, iov[i].iov_base,
			      iov[i].iov_len) < 0) {
			stream->ostream.stream_errno = errno;
			return -1;
		}
		total += iov[i].iov_len;
	}
	stream->ostream.offset += total;
	return total;
}

struct ostream *tool_create_output(void)
{
	struct ostream_private *stream;

	/* Not o_stream_create_fd(): that writes to a file at an offset of its
	   own, over what ">>" has to append to, and makes a pipe nonblocking
	   for all that share it. */
	stream = i_new(struct ostream_private, 1);
	stream->sendv = o_stream_output_sendv;
	stream->max_buffer_size = SIZE_MAX;
	stream->ostream.blocking = TRUE;
	return o_stream_create(stream, NULL, STDOUT_FILENO);
}

int tool_finish_output(struct ostream **output)
{
	int ret = o_stream_finish(*output) > 0 ? 0 : -1;

	if (ret < 0) {
		(void)tool_fail(TOOL_IO, TOOL_STDOUT_NAME, "can't write: %s",
				o_stream_get_error(*output));
	}
	o_stream_destroy(output);
	/* Some file systems say only now that the disk is full. */
	if (close(STDOUT_FILENO) < 0 && ret == 0) {
		(void)tool_fail(TOOL_IO, TOOL_STDOUT_NAME, "can't close: %m");
		ret = -1;
	}
	return ret;
}
