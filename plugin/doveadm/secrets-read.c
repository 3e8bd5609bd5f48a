/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "strnum.h"
#include "unichar.h"
#include "crypto/secret.h"
#include "age/keyfile.h"
#include "secrets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Where a secret is read from a descriptor or a string, and what it must be
   like. A descriptor is read byte by byte, so that the next line is there for
   whoever reads it next. */

/* What identities of age begin with, whatever their kind. */
#define IDENTITY_PREFIX "AGE-SECRET-KEY-"

static int wait_for_input(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

/* Returns 1; 0 at the end of the file; -1 and errno. */
static int read_byte(int fd, char *byte_r)
{
	ssize_t ret;

	while ((ret = read(fd, byte_r, 1)) < 0) {
		if (errno != EINTR && errno != EAGAIN)
			return -1;
		/* A descriptor that others share may not block. */
		if (wait_for_input(fd) < 0)
			return -1;
	}
	return ret;
}

/* Check the line, size bytes, and end it. */
static int
finish_line(struct seal_secrets *secrets, size_t size, const char *where,
	    const char **error_r)
{
	if (memchr(secrets->line, '\0', size) != NULL) {
		*error_r = t_strdup_printf("%s has a NUL in its line", where);
		return -1;
	}
	if (size > 0 && secrets->line[size - 1] == '\r')
		size--;
	secrets->line[size] = '\0';
	if (size == 0) {
		*error_r = t_strdup_printf("%s gives an empty line", where);
		return -1;
	}
	return 0;
}

static int
read_line(struct seal_secrets *secrets, int fd, const char *where,
	  const char **error_r)
{
	size_t size = 0;
	int ret = 0;

	while (size < sizeof(secrets->line) &&
	       (ret = read_byte(fd, &secrets->line[size])) > 0 &&
	       secrets->line[size] != '\n')
		size++;
	if (ret < 0) {
		*error_r = errno == EBADF ? t_strdup_printf(
			"%s is not open", where) :
			t_strdup_printf("can't read %s: %m", where);
		return -1;
	}
	if (size == sizeof(secrets->line)) {
		*error_r = t_strdup_printf("the line of %s is longer than %u "
			"bytes", where, SEAL_SECRET_MAX_SIZE);
		return -1;
	}
	if (ret == 0 && size == 0) {
		*error_r = t_strdup_printf("%s has no further line", where);
		return -1;
	}
	return finish_line(secrets, size, where, error_r);
}

/* What doveadm opened for itself closes on exec, or is a socket that it
   connected to a server: whoever hands us a secret uses neither. */
static bool is_of_doveadm(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_un un;
	} peer;
	socklen_t size = sizeof(peer);

	i_zero(&peer);
	return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ||
		(getpeername(fd, &peer.any, &size) == 0 &&
		 peer.any.sa_family == AF_UNIX && peer.un.sun_path[0] != '\0');
}

int seal_read_fd(struct seal_secrets *secrets, const char *option,
		 const char *value, const char **error_r)
{
	const char *where;
	int fd;

	if (str_to_int(value, &fd) < 0 || fd < 0) {
		*error_r = t_strdup_printf("--%s must be the number of a file "
			"descriptor that was opened for doveadm", option);
		return -1;
	}
	where = t_strdup_printf("file descriptor %d (--%s)", fd, option);
	if (fcntl(fd, F_GETFD) < 0 || is_of_doveadm(fd)) {
		*error_r = t_strdup_printf("%s is not open", where);
		return -1;
	}
	if (isatty(fd)) {
		*error_r = "there is no terminal";
		return seal_ask(secrets, t_strdup_printf("%s: ", option),
				FALSE, error_r) > 0 ? 0 : -1;
	}
	return read_line(secrets, fd, where, error_r);
}

int seal_read_str(struct seal_secrets *secrets, const char *name,
		  const char *value, const char **error_r)
{
	const char *where = t_strdup_printf("parameter \"%s\"", name);
	size_t size = value == NULL ? 0 : strlen(value);

	if (size > SEAL_SECRET_MAX_SIZE) {
		*error_r = t_strdup_printf("%s is longer than %u bytes",
					   where, SEAL_SECRET_MAX_SIZE);
		return -1;
	}
	if (size > 0)
		memcpy(secrets->line, value, size);
	if (memchr(secrets->line, '\n', size) != NULL) {
		*error_r = t_strdup_printf("%s has more than one line", where);
		return -1;
	}
	return finish_line(secrets, size, where, error_r);
}

static void wipe_line(struct seal_secrets *secrets)
{
	secret_wipe(secrets->line, sizeof(secrets->line));
}

void seal_take_password(struct seal_secrets *secrets)
{
	keyring_secret_of(secrets->line, secrets->password);
	secrets->set |= SEAL_SECRET_PASSWORD;
	wipe_line(secrets);
}

/* Codes are typed from paper: blanks around them don't count. */
static char *trimmed_line(struct seal_secrets *secrets)
{
	char *start = secrets->line, *end = start + strlen(start);

	while (*start == ' ' || *start == '\t')
		start++;
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	return start;
}

bool seal_line_is_identity(const struct seal_secrets *secrets)
{
	/* Blanks at the end of a password belong to it: nothing is trimmed. */
	const char *start = secrets->line + strspn(secrets->line, " \t");

	return strncasecmp(start, IDENTITY_PREFIX,
			   strlen(IDENTITY_PREFIX)) == 0;
}

int seal_take_identity(struct seal_secrets *secrets, const char *what,
		       const char **error_r)
{
	const char *error;
	int ret;

	ret = age_x25519_identity_parse(trimmed_line(secrets),
					&secrets->identity, &error);
	wipe_line(secrets);
	if (ret < 0) {
		*error_r = t_strdup_printf("%s is not an AGE-SECRET-KEY-1...: "
					   "%s", what, error);
		return -1;
	}
	secrets->set |= SEAL_SECRET_IDENTITY;
	return 0;
}

static bool is_one_character(const char *str)
{
	const char *p = str;

	while (*p == *str && *p != '\0')
		p++;
	return *p == '\0';
}

static bool is_user_name(const char *password, const char *username)
{
	if (username == NULL)
		return FALSE;
	return strcasecmp(password, username) == 0 ||
		strcasecmp(password, t_strcut(username, '@')) == 0;
}

/* What is tried first by whoever guesses, and is long enough. */
static bool is_common(const char *password)
{
	static const char *const common[] = {
		"12345678", "123456789", "1234567890", "87654321", "abcd1234",
		"abcdefgh", "baseball", "changeme", "computer", "football",
		"iloveyou", "passw0rd", "password", "password1", "password123",
		"princess", "q1w2e3r4", "qwerty123", "qwertyui", "qwertyuiop",
		"sunshine", "superman", "trustno1", "welcome1",
	};

	for (unsigned int i = 0; i < N_ELEMENTS(common); i++) {
		if (strcasecmp(password, common[i]) == 0)
			return TRUE;
	}
	return FALSE;
}

static const char *weakness(const char *password, const char *username)
{
	size_t chars;

	/* A site may have its own encoding. */
	if (uni_utf8_str_is_valid(password))
		chars = uni_utf8_strlen(password);
	else
		chars = strlen(password);
	if (chars < SEAL_PASSWORD_MIN_CHARS) {
		return t_strdup_printf("it has fewer than %u characters",
				       SEAL_PASSWORD_MIN_CHARS);
	}
	if (is_one_character(password))
		return "it repeats one character";
	if (is_user_name(password, username))
		return "it is the user's name";
	if (is_common(password))
		return "it is one of the most common passwords";
	return NULL;
}

int seal_take_new_password(struct seal_secrets *secrets, const char *username,
			   bool allow_weak, const char **error_r)
{
	const char *why = allow_weak ? NULL :
		weakness(secrets->line, username);

	if (why == NULL) {
		keyring_secret_of(secrets->line, secrets->new_password);
		secrets->set |= SEAL_SECRET_NEW;
	} else {
		*error_r = t_strdup_printf("the new password is weak: %s; "
			"choose another one, or say --allow-weak", why);
	}
	wipe_line(secrets);
	return why == NULL ? 0 : -1;
}
