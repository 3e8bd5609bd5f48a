/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "secrets.h"

#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

/* Asking a person at the terminal, without echo for secrets. */

static volatile sig_atomic_t interrupted;

static void handle_signal(int signo)
{
	interrupted = signo;
}

/* Returns the bytes before the end of the line, or -1. */
static ssize_t read_answer(int fd, char *line, size_t max_size)
{
	size_t size = 0;
	ssize_t ret;

	while (size <= max_size) {
		ret = read(fd, line + size, 1);
		if (ret <= 0)
			return -1;
		if (line[size] == '\n')
			return size;
		size++;
	}
	return -1;
}

/* The echo is put back also when the person gives up. */
static ssize_t
ask(int fd, const char *prompt, bool echo, char *line, size_t max_size)
{
	struct sigaction action = { .sa_handler = handle_signal }, old[2];
	struct termios terminal, silent;
	ssize_t ret;

	if (tcgetattr(fd, &terminal) < 0)
		return -1;
	silent = terminal;
	if (!echo)
		silent.c_lflag &= ~(ECHO | ECHOE | ECHOK | ECHONL);
	(void)sigaction(SIGINT, &action, &old[0]);
	(void)sigaction(SIGTERM, &action, &old[1]);
	ret = tcsetattr(fd, TCSAFLUSH, &silent);
	if (ret == 0 && write(fd, prompt, strlen(prompt)) < 0)
		ret = -1;
	if (ret == 0)
		ret = read_answer(fd, line, max_size);
	(void)tcsetattr(fd, TCSAFLUSH, &terminal);
	if (!echo && write(fd, "\n", 1) < 0)
		ret = -1;
	(void)sigaction(SIGINT, &old[0], NULL);
	(void)sigaction(SIGTERM, &old[1], NULL);
	if (interrupted != 0)
		(void)raise(interrupted);
	return ret;
}

int seal_ask(struct seal_secrets *secrets, const char *prompt, bool echo,
	     const char **error_r)
{
	ssize_t ret;
	int fd;

	fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd == -1)
		return 0;
	ret = ask(fd, prompt, echo, secrets->line, SEAL_SECRET_MAX_SIZE);
	i_close_fd(&fd);
	if (ret < 0) {
		*error_r = "no answer could be read from the terminal";
		return -1;
	}
	secrets->line[ret] = '\0';
	if (ret == 0) {
		*error_r = "the answer is empty";
		return -1;
	}
	return 1;
}
