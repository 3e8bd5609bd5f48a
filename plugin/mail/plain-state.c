/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "crypto/secret.h"
#include "mail-namespace.h"
#include "mailbox-list.h"
#include "mail-user.h"
#include "plain-state.h"

#include <fcntl.h>
#include <unistd.h>
#include <sys/file.h>

#define STATE_FILE "mail-seal.plain"

/* The whole file, written at once. */
struct plain_state_file {
	unsigned char id[PLAIN_STATE_ID_SIZE];
	unsigned char none_left;
};

/* NULL if there is no folder for it. */
static const char *state_path(struct mail_user *user)
{
	struct mail_namespace *ns = user->namespaces == NULL ? NULL :
		mail_namespace_find_inbox(user->namespaces);
	const char *root;

	if (ns == NULL ||
	    !mailbox_list_get_root_path(ns->list, MAILBOX_LIST_PATH_TYPE_DIR,
					&root))
		return NULL;
	return t_strconcat(root, "/" STATE_FILE, NULL);
}

static void read_state(int fd, struct plain_state *state_r)
{
	struct plain_state_file file;

	i_zero(state_r);
	if (pread(fd, &file, sizeof(file), 0) != (ssize_t)sizeof(file))
		return;
	memcpy(state_r->id, file.id, sizeof(state_r->id));
	state_r->none_left = file.none_left != 0;
}

void plain_state_read(struct mail_user *user, struct plain_state *state_r)
{
	const char *path = state_path(user);
	int fd;

	i_zero(state_r);
	if (path == NULL)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd != -1) {
		read_state(fd, state_r);
		i_close_fd(&fd);
	} else if (errno != ENOENT) {
		e_warning(user->event, "mail_seal: open(%s) failed: %m", path);
	}
}

/* Returns a descriptor that holds the lock, or -1. */
static int open_locked(struct mail_user *user, const char *path)
{
	int fd;

	if (path == NULL)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd != -1 && flock(fd, LOCK_EX) < 0)
		i_close_fd(&fd);
	if (fd == -1) {
		e_warning(user->event, "mail_seal: open(%s) failed: %m. Plain "
			  "messages may stay until doveadm seal mail", path);
	}
	return fd;
}

static void write_state(struct mail_user *user, const char *path, int fd,
			bool none_left)
{
	struct plain_state_file file = { .none_left = none_left ? 1 : 0 };

	secret_random(file.id, sizeof(file.id));
	if (pwrite(fd, &file, sizeof(file), 0) != (ssize_t)sizeof(file)) {
		e_warning(user->event, "mail_seal: write(%s) failed: %m", path);
		/* What can't be read says that there may be some. */
		if (ftruncate(fd, 0) < 0)
			i_unlink_if_exists(path);
	}
}

void plain_state_change(struct mail_user *user)
{
	const char *path = state_path(user);
	int fd = open_locked(user, path);

	if (fd == -1)
		return;
	write_state(user, path, fd, FALSE);
	i_close_fd(&fd);
}

bool plain_state_finish(struct mail_user *user, const struct plain_state *seen)
{
	const char *path = state_path(user);
	int fd = open_locked(user, path);
	struct plain_state now;
	bool same;

	/* Without the file the next session looks, too. */
	if (fd == -1)
		return TRUE;
	read_state(fd, &now);
	same = memcmp(now.id, seen->id, sizeof(now.id)) == 0;
	if (same)
		write_state(user, path, fd, TRUE);
	i_close_fd(&fd);
	return same;
}
