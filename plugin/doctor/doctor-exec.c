/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE /* pipe2() */
#include "lib.h"
#include "str.h"
#include "doctor-private.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* doveconf and systemctl answer in a moment; whatever doesn't must not hang
   the doctor, nor fill its memory. */
#define EXEC_MAX_SECONDS 15
#define EXEC_MAX_OUTPUT (16 * 1024 * 1024)
/* What a shell says, too, of a command that isn't there. */
#define EXIT_NOT_FOUND 127

struct child {
	pid_t pid;
	time_t deadline;
	struct pollfd fds[2];
	string_t *texts[2];
};

static void ATTR_NORETURN
run_child(const char *const argv[], int output_fd, int errors_fd)
{
	int null_fd = open("/dev/null", O_RDONLY);

	/* A group of its own, so that its children are ended with it. */
	(void)setpgid(0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	if (null_fd == -1 || dup2(null_fd, STDIN_FILENO) < 0 ||
	    dup2(output_fd, STDOUT_FILENO) < 0 ||
	    dup2(errors_fd, STDERR_FILENO) < 0)
		_exit(EXIT_NOT_FOUND);
	(void)execvp(argv[0], (char *const *)argv);
	_exit(EXIT_NOT_FOUND);
}

static int start_child(struct child *child, const char *const argv[])
{
	int output[2], errors[2];

	if (pipe2(output, O_CLOEXEC) < 0)
		return -1;
	if (pipe2(errors, O_CLOEXEC) < 0) {
		i_close_fd(&output[0]);
		i_close_fd(&output[1]);
		return -1;
	}
	child->pid = fork();
	if (child->pid == 0)
		run_child(argv, output[1], errors[1]);
	/* Whoever of the two comes first. */
	if (child->pid > 0)
		(void)setpgid(child->pid, child->pid);
	i_close_fd(&output[1]);
	i_close_fd(&errors[1]);
	child->fds[0] = (struct pollfd) { .fd = output[0], .events = POLLIN };
	child->fds[1] = (struct pollfd) { .fd = errors[0], .events = POLLIN };
	return child->pid == -1 ? -1 : 0;
}

/* Returns FALSE at the end of what it says there. */
static bool read_some(int fd, string_t *text)
{
	char buffer[16 * 1024];
	ssize_t ret;

	ret = read(fd, buffer, sizeof(buffer));
	if (ret < 0)
		return errno == EINTR;
	str_append_data(text, buffer, ret);
	return ret > 0;
}

static void read_ready(struct child *child, unsigned int i)
{
	if (child->fds[i].revents != 0 &&
	    !read_some(child->fds[i].fd, child->texts[i]))
		i_close_fd(&child->fds[i].fd);
}

/* Returns NULL when it has said all, or why it was not waited for. */
static const char *read_child(struct child *child)
{
	int left;

	while (child->fds[0].fd != -1 || child->fds[1].fd != -1) {
		left = child->deadline - time(NULL);
		if (left <= 0) {
			return t_strdup_printf("no answer within %d seconds",
					       EXEC_MAX_SECONDS);
		}
		/* fds that are -1 are passed over */
		if (poll(child->fds, N_ELEMENTS(child->fds), left * 1000) <= 0)
			continue;
		read_ready(child, 0);
		read_ready(child, 1);
		if (str_len(child->texts[0]) > EXEC_MAX_OUTPUT ||
		    str_len(child->texts[1]) > EXEC_MAX_OUTPUT)
			return "it prints too much";
	}
	return NULL;
}

static void reap_child(struct child *child, int *status_r)
{
	const struct timespec moment = { .tv_nsec = 10 * 1000 * 1000 };
	int options = WNOHANG;
	pid_t pid;

	while ((pid = waitpid(child->pid, status_r, options)) != child->pid) {
		if (pid == 0 && time(NULL) < child->deadline) {
			(void)nanosleep(&moment, NULL);
			continue;
		}
		(void)kill(-child->pid, SIGKILL);
		options = 0;
	}
}

static int
wait_child(struct child *child, const char *name, const char *failure,
	   const char **error_r)
{
	int status;

	if (failure != NULL)
		(void)kill(-child->pid, SIGKILL);
	i_close_fd(&child->fds[0].fd);
	i_close_fd(&child->fds[1].fd);
	reap_child(child, &status);
	if (failure == NULL && !WIFEXITED(status))
		failure = "it was killed";
	else if (failure == NULL && WEXITSTATUS(status) == EXIT_NOT_FOUND)
		failure = "it isn't there, or can't be run";
	if (failure == NULL)
		return WEXITSTATUS(status);
	*error_r = t_strdup_printf("%s: %s", name, failure);
	return -1;
}

int doctor_exec(const char *const argv[], string_t *output, string_t *errors,
		const char **error_r)
{
	struct child child = {
		.deadline = time(NULL) + EXEC_MAX_SECONDS,
		.fds = { { .fd = -1 }, { .fd = -1 } },
		.texts = { output, errors },
	};

	if (start_child(&child, argv) < 0) {
		*error_r = t_strdup_printf("%s: can't start it: %m", argv[0]);
		i_close_fd(&child.fds[0].fd);
		i_close_fd(&child.fds[1].fd);
		return -1;
	}
	return wait_child(&child, argv[0], read_child(&child), error_r);
}
