/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Built by harness/faults.py, which tells what PLAN and LOG are. Own files are
   opened by syscall(), past the functions below. */

struct plan {
	char mode[16], folder[512];
	int at;
};

static int calls;

static bool read_plan(struct plan *plan)
{
	char text[600];
	int fd = syscall(SYS_openat, AT_FDCWD, PLAN, O_RDONLY | O_CLOEXEC);
	long size;

	if (fd < 0)
		return false;
	size = syscall(SYS_read, fd, text, sizeof(text) - 1);
	close(fd);
	if (size <= 0)
		return false;
	text[size] = '\0';
	return sscanf(text, "%15s %d %511s", plan->mode, &plan->at,
		      plan->folder) == 3;
}

static void log_call(const char *name, const char *path)
{
	char line[1200];
	int fd = syscall(SYS_openat, AT_FDCWD, LOG,
			 O_WRONLY | O_APPEND | O_CLOEXEC);
	int size = snprintf(line, sizeof(line), "%s %s\n", name, path);

	if (fd < 0)
		return;
	(void)syscall(SYS_write, fd, line, size);
	close(fd);
}

/* The errno to fail with, or 0. */
static int chosen(const struct plan *plan, bool changes)
{
	if (calls < plan->at)
		return 0;
	if (strcmp(plan->mode, "dead") == 0)
		return changes || calls == plan->at ? EIO : 0;
	if (calls > plan->at)
		return 0;
	if (strcmp(plan->mode, "kill") == 0)
		kill(getpid(), SIGKILL);
	return plan->at % 2 == 0 ? ENOSPC : EIO;
}

/* TRUE if this call is to fail; errno is set then, and kept otherwise. */
static bool fails(const char *name, const char *path, bool changes)
{
	struct plan plan;
	int old_errno = errno, error;

	if (!read_plan(&plan) || path == NULL ||
	    strncmp(path, plan.folder, strlen(plan.folder)) != 0 ||
	    (strstr(path, "dovecot") != NULL &&
	     strstr(plan.folder, "dovecot") == NULL)) {
		errno = old_errno;
		return false;
	}
	calls++;
	log_call(name, path);
	error = chosen(&plan, changes);
	errno = error != 0 ? error : old_errno;
	return error != 0;
}

static bool fd_fails(const char *name, int fd, bool changes)
{
	char link[64], path[1024];
	int old_errno = errno;
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof(path) - 1);
	errno = old_errno;
	if (size < 0)
		return false;
	path[size] = '\0';
	return fails(name, path, changes);
}

#define REAL(type, name, params) \
	static type (*real) params; \
	if (real == NULL) real = (type (*) params)dlsym(RTLD_NEXT, #name)
#define PATH_CALL(name, params, path, args) \
	int name params \
	{ \
		REAL(int, name, params); \
		return fails(#name, path, true) ? -1 : real args; \
	}
#define FD_CALL(type, name, shown, changes, params, args) \
	type name params \
	{ \
		REAL(type, name, params); \
		return fd_fails(shown, fd, changes) ? -1 : real args; \
	}

PATH_CALL(rename, (const char *a, const char *b), a, (a, b))
PATH_CALL(renameat2, (int a, const char *b, int c, const char *d,
		      unsigned int e), b, (a, b, c, d, e))
PATH_CALL(link, (const char *a, const char *b), a, (a, b))
PATH_CALL(unlink, (const char *a), a, (a))
PATH_CALL(mkdir, (const char *a, mode_t b), a, (a, b))
FD_CALL(int, fsync, "fsync", true, (int fd), (fd))
FD_CALL(int, fdatasync, "fdatasync", true, (int fd), (fd))
FD_CALL(int, ftruncate, "ftruncate", true, (int fd, off_t a), (fd, a))
FD_CALL(int, ftruncate64, "ftruncate", true, (int fd, off_t a), (fd, a))
FD_CALL(ssize_t, write, "write", true,
	(int fd, const void *a, size_t b), (fd, a, b))
FD_CALL(ssize_t, writev, "write", true,
	(int fd, const struct iovec *a, int b), (fd, a, b))
FD_CALL(ssize_t, pwrite, "write", true,
	(int fd, const void *a, size_t b, off_t c), (fd, a, b, c))
FD_CALL(ssize_t, pwrite64, "write", true,
	(int fd, const void *a, size_t b, off_t c), (fd, a, b, c))
FD_CALL(ssize_t, read, "read", false,
	(int fd, void *a, size_t b), (fd, a, b))
FD_CALL(ssize_t, pread, "read", false,
	(int fd, void *a, size_t b, off_t c), (fd, a, b, c))
FD_CALL(ssize_t, pread64, "read", false,
	(int fd, void *a, size_t b, off_t c), (fd, a, b, c))

#define OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		REAL(int, name, (const char *, int, ...)); \
		bool changes = (flags & O_ACCMODE) != O_RDONLY; \
		va_list args; \
		mode_t mode; \
		va_start(args, flags); \
		mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? \
			va_arg(args, mode_t) : 0; \
		va_end(args); \
		return fails(changes ? "create" : "open", path, changes) ? \
			-1 : real(path, flags, mode); \
	}
OPEN(open)
OPEN(open64)
#define OPEN_2(name) \
	int name(const char *path, int flags) \
	{ \
		REAL(int, name, (const char *, int)); \
		bool changes = (flags & O_ACCMODE) != O_RDONLY; \
		return fails(changes ? "create" : "open", path, changes) ? \
			-1 : real(path, flags); \
	}
OPEN_2(__open_2)
OPEN_2(__open64_2)
