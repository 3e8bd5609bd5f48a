/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "ioloop.h"
#include "master-service.h"
#include "time-util.h"
#include "mailbox-list-iter.h"
#include "mail-namespace.h"
#include "mail/catch-up.h"
#include "mail/mail-seal-user.h"
#include "mail/rewrite.h"
#include "catch-up-private.h"
#include "mail-seal-private.h"
#include "plain-state.h"

/* All mailboxes are gone through again and again, until nothing that is plain was
   found from the first to the last. */

/* How long a step takes, if its last message isn't a large one; and the pause
   before the next. */
#define STEP_USECS (20 * 1000)
#define PAUSE_MSECS 100
/* For how long it goes on when the client has gone. */
#define AFTERWARDS_USECS (2 * 1000 * 1000)

struct catch_up {
	struct mail_user *user;
	mail_seal_idle_t *idle;
	void *context;
	/* NULL while paused. */
	struct timeout *to;

	/* The mailboxes of this round, which are those of when it began, and how
	   far it is. */
	ARRAY(char *) mailboxes;
	unsigned int mailbox_idx;
	uint32_t last_uid;
	/* Of when the round began. */
	struct plain_state state;
	struct mail_seal_rewrite_counts counts;

	unsigned int sealed;
	uint64_t step_end_usecs;
	bool begun;
	/* Something could not be sealed: the next session tries again. */
	bool failed;
	bool finished;
};

static void clear_mailboxes(struct catch_up *catch_up)
{
	char **name;

	array_foreach_modifiable(&catch_up->mailboxes, name)
		i_free(*name);
	array_clear(&catch_up->mailboxes);
}

static void list_mailboxes(struct catch_up *catch_up)
{
	static const char *const patterns[] = { "*", NULL };
	struct mailbox_list_iterate_context *iter;
	const struct mailbox_info *info;
	char *name;

	iter = mail_seal_user_list_mailboxes(catch_up->user, patterns);
	while ((info = mailbox_list_iter_next(iter)) != NULL) {
		name = i_strdup(info->vname);
		array_push_back(&catch_up->mailboxes, &name);
	}
	if (mailbox_list_iter_deinit(&iter) < 0)
		catch_up->failed = TRUE;
}

static void begin_round(struct catch_up *catch_up)
{
	clear_mailboxes(catch_up);
	i_zero(&catch_up->counts);
	catch_up->mailbox_idx = 0;
	catch_up->last_uid = 0;
	plain_state_read(catch_up->user, &catch_up->state);
	if (!catch_up->state.none_left)
		list_mailboxes(catch_up);
}

static void finish(struct catch_up *catch_up)
{
	catch_up->finished = TRUE;
	if (catch_up->sealed > 0) {
		e_info(catch_up->user->event, "mail_seal: %u messages that were "
		       "stored before there was a key are sealed now",
		       catch_up->sealed);
	}
}

static void end_round(struct catch_up *catch_up)
{
	bool found = catch_up->counts.done > 0;

	catch_up->sealed += catch_up->counts.done;
	if (catch_up->failed || catch_up->counts.failed > 0)
		finish(catch_up);
	else if (!found &&
		 plain_state_finish(catch_up->user, &catch_up->state))
		finish(catch_up);
	else
		begin_round(catch_up);
}

/* Implements mail_seal_rewrite_progress_t. */
static bool
is_time_left(const struct mail_seal_rewrite_counts *counts ATTR_UNUSED,
	     void *context)
{
	const struct catch_up *catch_up = context;

	return i_microseconds() < catch_up->step_end_usecs;
}

/* A mailbox that can't be opened is left out, and one that is gone is no failure.
   Returns TRUE if it is done with. */
static bool seal_mailbox(struct catch_up *catch_up, struct mailbox *box)
{
	const char *error;
	bool done = TRUE;

	if (!mail_seal_mailbox_is_sealable(box) ||
	    strcmp(box->storage->name, "virtual") == 0)
		return TRUE;
	if (mail_seal_rewrite_step(box, MAIL_SEAL_REWRITE_SEAL,
				   &catch_up->last_uid, &done,
				   &catch_up->counts, is_time_left, catch_up,
				   &error) == 0)
		return done;
	if (mailbox_get_last_mail_error(box) != MAIL_ERROR_NOTFOUND) {
		catch_up->failed = TRUE;
		e_error(box->event, "mail_seal: Its plain messages stay until "
			"the next session: %s", error);
	}
	return TRUE;
}

/* There were no namespaces yet when the session began. */
static void begin(struct catch_up *catch_up)
{
	catch_up->begun = TRUE;
	begin_round(catch_up);
	if (catch_up->state.none_left)
		finish(catch_up);
}

static void step(struct catch_up *catch_up)
{
	struct mail_namespace *ns;
	struct mailbox *box;
	const char *name;
	bool done;

	if (!catch_up->begun) {
		begin(catch_up);
		return;
	}
	if (catch_up->mailbox_idx >= array_count(&catch_up->mailboxes)) {
		end_round(catch_up);
		return;
	}
	name = array_idx_elem(&catch_up->mailboxes, catch_up->mailbox_idx);
	ns = mail_namespace_find(catch_up->user->namespaces, name);
	box = mailbox_alloc(ns->list, name, MAILBOX_FLAG_IGNORE_ACLS);
	done = seal_mailbox(catch_up, box);
	mailbox_free(&box);
	if (done) {
		catch_up->mailbox_idx++;
		catch_up->last_uid = 0;
	}
}

/* Steps through small mailboxes count together. */
static void step_for(struct catch_up *catch_up, uint64_t usecs)
{
	catch_up->step_end_usecs = i_microseconds() + usecs;
	do T_BEGIN {
		step(catch_up);
	} T_END; while (!catch_up->finished &&
			i_microseconds() < catch_up->step_end_usecs);
}

static void step_if_idle(struct catch_up *catch_up)
{
	if (!catch_up->idle(catch_up->context))
		return;
	step_for(catch_up, STEP_USECS);
	if (catch_up->finished)
		timeout_remove(&catch_up->to);
}

void mail_seal_user_catch_up(struct mail_user *user, mail_seal_idle_t *idle,
			     void *context)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);
	struct catch_up *catch_up;

	if (suser == NULL || suser->identities == NULL || !suser->set.save ||
	    suser->set.unenrolled != MAIL_SEAL_UNENROLLED_PLAINTEXT ||
	    suser->catch_up != NULL)
		return;
	catch_up = suser->catch_up = i_new(struct catch_up, 1);
	catch_up->user = user;
	catch_up->idle = idle;
	catch_up->context = context;
	i_array_init(&catch_up->mailboxes, 16);
	catch_up->to = timeout_add_short(PAUSE_MSECS, step_if_idle,
					 catch_up);
}

void mail_seal_user_catch_up_pause(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	if (suser != NULL && suser->catch_up != NULL)
		timeout_remove(&suser->catch_up->to);
}

/* A process with other clients must not keep them waiting. */
static bool may_stay(void)
{
	return master_service != NULL &&
		master_service_get_client_limit(master_service) == 1 &&
		!master_service_is_killed(master_service);
}

void catch_up_deinit(struct catch_up **_catch_up)
{
	struct catch_up *catch_up = *_catch_up;

	*_catch_up = NULL;
	timeout_remove(&catch_up->to);
	if (!catch_up->finished && catch_up->user->namespaces != NULL &&
	    may_stay())
		step_for(catch_up, AFTERWARDS_USECS);
	clear_mailboxes(catch_up);
	array_free(&catch_up->mailboxes);
	i_free(catch_up);
}
