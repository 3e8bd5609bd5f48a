/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "unichar.h"
#include "write-full.h"
#include "age/x25519.h"
#include "crypto/secret.h"
#include "tool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a file holds must not act on the terminal: neither ASCII's control
   characters nor those of U+0080 to U+009F pass. */
static bool is_control(unichar_t chr)
{
	return chr < 0x20 || (chr >= 0x7f && chr < 0xa0);
}

const char *tool_printable(const char *str)
{
	string_t *dest = t_str_new(128);
	unichar_t chr;
	int size;

	for (; *str != '\0'; str += size) {
		size = uni_utf8_get_char(str, &chr);
		if (size > 0 && !is_control(chr)) {
			str_append_data(dest, str, size);
			continue;
		}
		/* invalid, or cut short by the end */
		if (size <= 0)
			size = 1;
		str_append_c(dest, '?');
	}
	return str_c(dest);
}

void tool_append_json(string_t *dest, const char *str)
{
	if (str == NULL) {
		str_append(dest, "null");
		return;
	}
	str_append_c(dest, '"');
	for (str = tool_printable(str); *str != '\0'; str++) {
		if (*str == '"' || *str == '\\')
			str_append_c(dest, '\\');
		str_append_c(dest, *str);
	}
	str_append_c(dest, '"');
}

int tool_write_identity(int fd, const struct age_x25519_identity *identity)
{
	char line[AGE_X25519_IDENTITY_CHARS + 1];
	int ret;

	age_x25519_identity_str(identity, line);
	line[AGE_X25519_IDENTITY_CHARS] = '\n';
	ret = write_full(fd, line, sizeof(line));
	secret_wipe(line, sizeof(line));
	return ret;
}

/* A key that is told to exist must not be gone after a power failure, so the
   directory is synced too. */
static int sync_file(int fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dir = slash == NULL ? "." :
		slash == path ? "/" : t_strdup_until(path, slash);
	int dir_fd, ret;

	if (fsync(fd) < 0)
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd == -1)
		return -1;
	ret = fsync(dir_fd);
	i_close_fd(&dir_fd);
	return ret;
}

static enum tool_exit
write_new_file(const char *path, int (*callback)(int fd, void *context),
	       void *context)
{
	int fd, ret, saved_errno;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 && errno == EEXIST) {
		return tool_fail(TOOL_IO, path, "it exists and is left as it "
				 "is: choose another name, or move it away");
	}
	if (fd == -1)
		return tool_fail(TOOL_IO, path, "can't create it: %m");

	ret = callback(fd, context);
	if (ret == 0)
		ret = sync_file(fd, path);
	saved_errno = errno;
	if (close(fd) < 0 && ret == 0) {
		saved_errno = errno;
		ret = -1;
	}
	if (ret == 0)
		return TOOL_DONE;
	(void)unlink(path);
	errno = saved_errno;
	return tool_fail(TOOL_IO, path,
			 "can't write it, so it was removed: %m");
}

/* As age-keygen does: ">" made the file, by the umask. */
static void warn_if_readable(void)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & (S_IRGRP | S_IROTH)) != 0) {
		(void)tool_fail(TOOL_DONE, TOOL_STDOUT_NAME, "warning: this "
				"file can be read by others than its owner, "
				"and now holds a secret key");
	}
}

enum tool_exit
tool_write_secret_file(const char *path,
		       int (*callback)(int fd, void *context), void *context)
{
	if (path != NULL)
		return write_new_file(path, callback, context);
	warn_if_readable();
	if (callback(STDOUT_FILENO, context) < 0 || close(STDOUT_FILENO) < 0) {
		return tool_fail(TOOL_IO, TOOL_STDOUT_NAME,
				 "can't write: %m");
	}
	return TOOL_DONE;
}
