/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "ioloop.h"
#include "mailbox-list.h"
#include "mdbox-map.h"
#include "mdbox-storage.h"
#include "crypto/secret.h"
#include "mail/unsealing.h"
#include "mail-seal-private.h"

#include <fcntl.h>
#include <unistd.h>
#include <sys/file.h>

#define STATE_FILE "mail-seal.unsealing"
/* It is read for each message that is opened, its failure told once in so many
   seconds. */
#define SECONDS_BETWEEN_WARNINGS 60

struct mail_seal_unsealing {
	char *path;
	int fd;
};

/* The whole file, written at once. */
struct state_file {
	unsigned char id[MAIL_SEAL_STATE_SIZE];
	unsigned char rewriting;
};

static const char *state_path(struct mailbox *box)
{
	return t_strconcat(mailbox_list_get_root_forced(box->list,
			   MAILBOX_LIST_PATH_TYPE_DIR), "/" STATE_FILE, NULL);
}

static void read_state(int fd, struct mail_seal_state *state_r)
{
	struct state_file file;
	ssize_t ret = pread(fd, &file, sizeof(file), 0);

	/* It was made this moment. */
	if (ret != (ssize_t)sizeof(file)) {
		state_r->rewriting = TRUE;
		return;
	}
	memcpy(state_r->id, file.id, sizeof(state_r->id));
	state_r->rewriting = file.rewriting != 0;
}

static void warn_unreadable(const char *path)
{
	static time_t told;

	if (told != 0 && ioloop_time - told < SECONDS_BETWEEN_WARNINGS)
		return;
	told = ioloop_time;
	i_warning("mail_seal: open(%s) failed: %m. While it can't be read, "
		  "messages that were put in the place of others are not "
		  "noticed", path);
}

/* Returns 1, 0 if there is none, or -1. */
static int open_state(struct mailbox *box, int *fd_r)
{
	const char *path = state_path(box);

	*fd_r = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd_r != -1)
		return 1;
	if (errno == ENOENT)
		return 0;
	warn_unreadable(path);
	return -1;
}

void mail_seal_state_read(struct mailbox *box, struct mail_seal_state *state_r)
{
	int fd, ret;

	i_zero(state_r);
	T_BEGIN {
		ret = open_state(box, &fd);
	} T_END;
	if (ret <= 0) {
		state_r->rewriting = ret < 0;
		return;
	}
	read_state(fd, state_r);
	i_close_fd(&fd);
}

void mail_seal_state_follow(struct mailbox *box,
			    struct mail_seal_state *state_r)
{
	struct mdbox_storage *storage = MDBOX_STORAGE(box->storage);

	mail_seal_state_read(box, state_r);
	/* Dovecot looks anew at mdbox's map only for what isn't there. */
	if (strcmp(box->storage->name, "mdbox") == 0 &&
	    mdbox_map_open(storage->map) > 0)
		(void)mdbox_map_refresh(storage->map);
}

static int
write_state(const struct mail_seal_unsealing *run, bool rewriting,
	    const char **error_r)
{
	struct state_file file;

	secret_random(file.id, sizeof(file.id));
	file.rewriting = rewriting ? 1 : 0;
	if (pwrite(run->fd, &file, sizeof(file), 0) == (ssize_t)sizeof(file) &&
	    fsync(run->fd) == 0)
		return 0;
	*error_r = t_strdup_printf("write(%s) failed: %m", run->path);
	return -1;
}

static void run_free(struct mail_seal_unsealing *run)
{
	i_close_fd(&run->fd);
	i_free(run->path);
	i_free(run);
}

/* Runs that go on at the same time share the lock. */
static int begin(struct mail_seal_unsealing *run, const char **error_r)
{
	run->fd = open(run->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (run->fd == -1) {
		*error_r = t_strdup_printf("open(%s) failed: %m", run->path);
		return -1;
	}
	if (flock(run->fd, LOCK_SH) < 0) {
		*error_r = t_strdup_printf("flock(%s) failed: %m", run->path);
		return -1;
	}
	return write_state(run, TRUE, error_r);
}

int mail_seal_unsealing_begin(struct mailbox *box,
			      struct mail_seal_unsealing **unsealing_r,
			      const char **error_r)
{
	struct mail_seal_unsealing *run = i_new(struct mail_seal_unsealing, 1);

	run->path = i_strdup(state_path(box));
	if (begin(run, error_r) < 0) {
		run_free(run);
		return -1;
	}
	*unsealing_r = run;
	return 0;
}

void mail_seal_unsealing_end(struct mail_seal_unsealing **unsealing)
{
	struct mail_seal_unsealing *run = *unsealing;
	const char *error;

	*unsealing = NULL;
	if (flock(run->fd, LOCK_EX | LOCK_NB) == 0 &&
	    write_state(run, FALSE, &error) < 0)
		i_warning("mail_seal: %s", error);
	run_free(run);
}
