/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "tool.h"

#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void handle_signal(int signo)
{
	interrupted = signo;
}

void tool_free_secret(char **secret)
{
	void *memory = *secret;

	secret_free(&memory);
	*secret = NULL;
}

int tool_read_secret(int fd, const char *name, char **secret_r, size_t *size_r)
{
	char *secret = secret_alloc(TOOL_SECRET_MAX_SIZE + 1);
	size_t size = 0;
	ssize_t ret;

	do {
		/* One byte of the buffer is for the NUL. */
		ret = read(fd, secret + size, TOOL_SECRET_MAX_SIZE + 1 - size);
		if (ret > 0)
			size += ret;
	} while ((ret > 0 && size <= TOOL_SECRET_MAX_SIZE) ||
		 (ret < 0 && errno == EINTR));

	if (ret < 0)
		(void)tool_fail(TOOL_IO, name, "can't read it: %m");
	else if (size > TOOL_SECRET_MAX_SIZE) {
		(void)tool_fail(TOOL_IO, name, "has more than %d bytes",
				TOOL_SECRET_MAX_SIZE);
		ret = -1;
	}
	if (ret < 0) {
		tool_free_secret(&secret);
		return -1;
	}
	secret[size] = '\0';
	*secret_r = secret;
	*size_r = size;
	return 0;
}

/* Up to the end of the line or an interruption. Returns the number of bytes
   before it, or -1. */
static ssize_t read_line(int fd, char *line, size_t max_size)
{
	size_t size = 0;
	ssize_t ret;

	while (size < max_size) {
		ret = read(fd, line + size, 1);
		if (ret <= 0)
			return ret < 0 || size == 0 ? -1 : (ssize_t)size;
		if (line[size] == '\n')
			return size;
		size++;
	}
	return -1;
}

/* With the echo off, which is put back also when the user gives up. */
static ssize_t ask(int fd, const char *prompt, char *line, size_t max_size)
{
	struct sigaction action = { .sa_handler = handle_signal }, old[2];
	struct termios terminal, silent;
	ssize_t ret;

	if (tcgetattr(fd, &terminal) < 0)
		return -1;
	silent = terminal;
	silent.c_lflag &= ~(ECHO | ECHOE | ECHOK | ECHONL);
	(void)sigaction(SIGINT, &action, &old[0]);
	(void)sigaction(SIGTERM, &action, &old[1]);
	/* In this order: what is typed at the prompt must not be flushed. */
	ret = tcsetattr(fd, TCSAFLUSH, &silent);
	if (ret == 0 && write(fd, prompt, strlen(prompt)) < 0)
		ret = -1;
	if (ret == 0)
		ret = read_line(fd, line, max_size);
	(void)tcsetattr(fd, TCSAFLUSH, &terminal);
	if (write(fd, "\n", 1) < 0)
		ret = -1;
	(void)sigaction(SIGINT, &old[0], NULL);
	(void)sigaction(SIGTERM, &old[1], NULL);
	if (interrupted != 0)
		(void)raise(interrupted);
	return ret;
}

int tool_read_secret_line(int fd, char **line_r)
{
	size_t size;

	if (tool_read_secret(fd, t_strdup_printf("file descriptor %d", fd),
			     line_r, &size) < 0)
		return -1;
	(*line_r)[strcspn(*line_r, "\r\n")] = '\0';
	return 0;
}

int tool_ask_secret(const char *prompt, char **secret_r, const char **error_r)
{
	char *line;
	ssize_t ret;
	int fd;

	fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd == -1) {
		*error_r = "there is no terminal to ask for it";
		return -1;
	}
	line = secret_alloc(TOOL_SECRET_MAX_SIZE + 1);
	ret = ask(fd, prompt, line, TOOL_SECRET_MAX_SIZE);
	i_close_fd(&fd);
	if (ret < 0) {
		*error_r = "nothing could be read from the terminal";
		tool_free_secret(&line);
		return -1;
	}
	line[ret] = '\0';
	*secret_r = line;
	return 0;
}
