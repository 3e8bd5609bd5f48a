/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "fd-util.h"
#include "sha2.h"
#include "master-service-private.h"
#include "mail-user.h"
#include "crypto/secret.h"
#include "age/keyfile.h"
#include "mail/mail-seal-user.h"
#include "unlock.h"
#include "mail/unlock-fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Longer than Dovecot takes passwords. */
#define MAX_LINE_SIZE 1024
#define IDENTITY_PREFIX "AGE-SECRET-KEY-1"

/* In secret_alloc() memory. */
struct unlock_line {
	char text[MAX_LINE_SIZE + 1];
	size_t size;
};

static struct {
	bool read;
	/* Why there is no key. */
	char *error;
	/* One of them: the hex digits of the password's SHA-256, or an
	   identity. */
	char *secret;
	struct age_identities *keys;
	/* The descriptor that mail_seal_user_hide_unlock_fd() was given. */
	int hidden;
} unlock_fd;

static bool is_command_line(void)
{
	return (master_service->flags & MASTER_SERVICE_FLAG_STANDALONE) != 0;
}

bool unlock_fd_is_doveadm(struct mail_user *user)
{
	return strcmp(user->service, "doveadm") == 0 && is_command_line();
}

/* Whoever made it may have set O_NONBLOCK. */
static ssize_t read_byte(int fd, char *byte_r)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	ssize_t ret;

	while ((ret = read(fd, byte_r, 1)) < 0) {
		if (errno == EAGAIN)
			(void)poll(&pfd, 1, -1);
		else if (errno != EINTR)
			break;
	}
	return ret;
}

/* Byte by byte: what follows the line isn't ours. */
static int read_line(int fd, struct unlock_line *line, const char **error_r)
{
	ssize_t ret;
	char byte;

	while ((ret = read_byte(fd, &byte)) > 0 && byte != '\n') {
		if (line->size == MAX_LINE_SIZE) {
			*error_r = t_strdup_printf("has a line of more than %d "
						   "bytes", MAX_LINE_SIZE);
			return -1;
		}
		line->text[line->size++] = byte;
	}
	if (ret < 0) {
		*error_r = t_strdup_printf("cannot be read: %m");
		return -1;
	}
	if (line->size > 0 && line->text[line->size - 1] == '\r')
		line->text[--line->size] = '\0';
	return 0;
}

static int check_line(const struct unlock_line *line, const char **error_r)
{
	if (line->size == 0) {
		*error_r = "has no line, or an empty one";
		return -1;
	}
	for (size_t i = 0; i < line->size; i++) {
		unsigned char c = line->text[i];

		if ((c < ' ' && c != '\t') || c == 0x7f) {
			*error_r = "has control characters in its line";
			return -1;
		}
	}
	return 0;
}

static int parse_identity(const struct unlock_line *line, const char **error_r)
{
	struct age_identities *keys = age_identities_init();
	const char *error;

	if (age_identities_parse(keys, line->text, line->size, &error) < 0) {
		*error_r = t_strdup_printf("begins like an identity ("
			IDENTITY_PREFIX"...) and isn't one: %s", error);
		age_identities_deinit(&keys);
		return -1;
	}
	unlock_fd.keys = keys;
	return 0;
}

static void hash_password(const struct unlock_line *line)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t digest[SHA256_RESULTLEN];
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_loop(&ctx, line->text, line->size);
	sha256_result(&ctx, digest);
	secret_wipe(&ctx, sizeof(ctx));
	unlock_fd.secret = secret_alloc(sizeof(digest) * 2 + 1);
	for (size_t i = 0; i < sizeof(digest); i++) {
		unlock_fd.secret[i * 2] = hex[digest[i] >> 4];
		unlock_fd.secret[i * 2 + 1] = hex[digest[i] & 0x0f];
	}
	secret_wipe(digest, sizeof(digest));
}

/* Dovecot's servers listen at a path; a pair of sockets that serves as a pipe has
   none. */
static bool is_connection(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_un un;
	} addr;
	socklen_t size = sizeof(addr);

	i_zero(&addr);
	return getpeername(fd, &addr.any, &size) == 0 &&
		(addr.any.sa_family != AF_UNIX || addr.un.sun_path[0] != '\0');
}

/* What the caller opened has survived exec(); most of what Dovecot opened for
   itself is not to do that. It would be missed if we closed it. */
static bool is_inherited(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags == -1 || is_connection(fd))
		return FALSE;
	return (flags & FD_CLOEXEC) == 0 ||
		(fd != STDIN_FILENO && fd == unlock_fd.hidden);
}

static int check_fd(int fd, const char **error_r)
{
	if (fd == STDOUT_FILENO || fd == STDERR_FILENO)
		*error_r = "is the standard output or error";
	else if (!is_inherited(fd))
		*error_r = "is not open";
	else if (isatty(fd) == 1)
		*error_r = "is a terminal, which would show the key";
	else
		return 0;
	return -1;
}

/* What is wrong with it will be said when it's read. */
void mail_seal_user_hide_unlock_fd(int fd)
{
	const char *error;

	if (!is_command_line() || fd == STDIN_FILENO ||
	    check_fd(fd, &error) < 0)
		return;
	fd_close_on_exec(fd, TRUE);
	unlock_fd.hidden = fd;
}

static int read_key(int fd, const char **error_r)
{
	struct unlock_line *line;
	void *secret;
	int ret;

	if (check_fd(fd, error_r) < 0)
		return -1;
	secret = line = secret_alloc(sizeof(*line));
	ret = read_line(fd, line, error_r);
	if (ret == 0)
		ret = check_line(line, error_r);
	if (ret == 0 && strncmp(line->text, IDENTITY_PREFIX,
				strlen(IDENTITY_PREFIX)) == 0)
		ret = parse_identity(line, error_r);
	else if (ret == 0)
		hash_password(line);
	secret_free(&secret);
	if (fd != STDIN_FILENO)
		(void)close(fd);
	return ret;
}

int unlock_fd_read(struct mail_user *user, int fd, const char **error_r)
{
	const char *error;

	if (!unlock_fd_is_doveadm(user)) {
		*error_r = "mail_seal_unlock_fd is for doveadm at the command "
			"line alone: this process has file descriptors of its "
			"own";
		return -1;
	}
	if (!unlock_fd.read) {
		unlock_fd.read = TRUE;
		if (read_key(fd, &error) < 0) {
			unlock_fd.error = i_strdup_printf(
				"mail_seal_unlock_fd = %d: the file descriptor "
				"%s: expected a pipe or file with one line, "
				"the password or an identity "
				"("IDENTITY_PREFIX"...)", fd, error);
		}
	}
	if (unlock_fd.error == NULL)
		return 0;
	*error_r = unlock_fd.error;
	return -1;
}

bool unlock_fd_get(struct mail_seal_secrets *secrets_r)
{
	i_zero(secrets_r);
	secrets_r->secret = unlock_fd.secret;
	secrets_r->keys = unlock_fd.keys;
	secrets_r->given = TRUE;
	return unlock_fd.secret != NULL || unlock_fd.keys != NULL;
}

void unlock_fd_deinit(void)
{
	void *secret = unlock_fd.secret;

	secret_free(&secret);
	if (unlock_fd.keys != NULL)
		age_identities_deinit(&unlock_fd.keys);
	i_free(unlock_fd.error);
	i_zero(&unlock_fd);
}
