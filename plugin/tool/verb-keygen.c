/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "time-util.h"
#include "write-full.h"
#include "age/x25519.h"
#include "crypto/secret.h"
#include "tool.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* The text of an identity file as age-keygen writes it. */
static int write_identity(int fd, const struct age_x25519_identity *identity,
			  const char *recipient)
{
	char secret[AGE_X25519_IDENTITY_CHARS + 1];
	const char *comment;
	int ret;

	comment = t_strdup_printf("# created: %s\n# public key: %s\n",
		t_strfgmtime("%Y-%m-%dT%H:%M:%SZ", time(NULL)), recipient);
	if (write_full(fd, comment, strlen(comment)) < 0)
		return -1;
	age_x25519_identity_str(identity, secret);
	ret = write_full(fd, secret, sizeof(secret) - 1);
	secret_wipe(secret, sizeof(secret));
	return ret < 0 ? -1 : write_full(fd, "\n", 1);
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
keygen_file(const char *path, const struct age_x25519_identity *identity,
	    const char *recipient)
{
	int fd, ret, saved_errno;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 && errno == EEXIST) {
		return tool_fail(TOOL_IO, path, "it exists and is left as it "
				 "is: choose another name, or move it away");
	}
	if (fd == -1)
		return tool_fail(TOOL_IO, path, "can't create it: %m");

	ret = write_identity(fd, identity, recipient);
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

static enum tool_exit
keygen_stdout(const struct age_x25519_identity *identity, const char *recipient)
{
	if (write_identity(STDOUT_FILENO, identity, recipient) < 0 ||
	    close(STDOUT_FILENO) < 0) {
		return tool_fail(TOOL_IO, TOOL_STDOUT_NAME,
				 "can't write: %m");
	}
	return TOOL_DONE;
}

static enum tool_exit keygen(const char *path)
{
	void *secret = secret_alloc(sizeof(struct age_x25519_identity));
	struct age_x25519_identity *identity = secret;
	struct age_x25519_recipient recipient;
	const char *recipient_str;
	bool seen = path == NULL && isatty(STDOUT_FILENO) == 1;
	enum tool_exit ret;

	age_x25519_identity_generate(identity);
	age_x25519_identity_recipient(identity, &recipient);
	recipient_str = age_x25519_recipient_str(&recipient);
	ret = path != NULL ? keygen_file(path, identity, recipient_str) :
		keygen_stdout(identity, recipient_str);
	secret_free(&secret);
	if (ret == TOOL_DONE && !seen)
		fprintf(stderr, "Public key: %s\n", recipient_str);
	return ret;
}

int verb_keygen(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 }
	};
	const char *path = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (c != 'o')
			return tool_fail_usage(argv[0]);
		path = optarg;
	}
	if (optind < argc) {
		return tool_fail(TOOL_USAGE, argv[optind],
			"keygen takes no FILE: name the output with -o");
	}
	return keygen(path);
}
