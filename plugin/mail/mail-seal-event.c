/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "lib-event-private.h"
#include "net.h"
#include "str.h"
#include "str-sanitize.h"
#include "time-util.h"
#include "audit-log.h"
#include "mail-seal-private.h"

/* What Dovecot's statistics and the log learn about keys: an event, whose text
   is the line of the audit. */

/* A reason may quote a file. */
#define MAX_VALUE_LENGTH 512

static const struct {
	const char *name, *action;
	bool failed;
} key_events[] = {
	[MAIL_SEAL_EVENT_ENROLLED] = {
		.name = "mail_seal_enrolled", .action = "enroll"
	},
	[MAIL_SEAL_EVENT_UNLOCKED] = {
		.name = "mail_seal_unlocked", .action = "unlock"
	},
	[MAIL_SEAL_EVENT_UNLOCK_FAILED] = {
		.name = "mail_seal_unlock_failed", .action = "unlock",
		.failed = TRUE
	},
	[MAIL_SEAL_EVENT_KEYRING_CHANGED] = {
		.name = "mail_seal_keyring_changed"
	},
};

struct key_event {
	struct event *event;
	string_t *text;
};

/* A field of the event, and of the line. */
static void
add(struct key_event *ke, const char *field, const char *name,
    const char *value)
{
	if (value == NULL)
		return;
	event_add_str(ke->event, field, value);
	str_printfa(ke->text, ", %s=%s", name,
		    str_sanitize(value, MAX_VALUE_LENGTH));
}

/* Of a store's name: "file /…", "of anna in the dict". */
static const char *where(const char *store_name)
{
	const char prefix[] = "keyring ";
	size_t size = sizeof(prefix) - 1;

	if (store_name == NULL || strncmp(store_name, prefix, size) != 0)
		return store_name;
	return store_name + size;
}

static void
add_all(struct key_event *ke, struct mail_user *user,
	enum mail_seal_key_event event,
	const struct mail_seal_key_event_fields *fields)
{
	bool failed = key_events[event].failed || fields->reason != NULL;

	add(ke, "service", "service", user->service);
	if (user->conn.remote_ip != NULL &&
	    user->conn.remote_ip->family != 0)
		add(ke, "rip", "rip", net_ip2addr(user->conn.remote_ip));
	add(ke, "slot_kind", "slot",
	    fields->slot_kind == NULL ? "none" : fields->slot_kind);
	add(ke, "result", "result", failed ? "failed" : "ok");
	add(ke, "recipient", "recipient", fields->recipient);
	add(ke, "keyring", "keyring", where(fields->keyring));
	add(ke, "reason", "reason", fields->reason);
}

void mail_seal_user_key_event(struct mail_user *user,
			      enum mail_seal_key_event event,
			      const struct mail_seal_key_event_fields *fields)
{
	const char *action = fields->action != NULL ? fields->action :
		key_events[event].action;
	struct key_event ke = { .event = event_create(user->event) };

	T_BEGIN {
		ke.text = t_str_new(256);
		str_printfa(ke.text, "mail_seal: audit: %s: user=<%s>", action,
			    str_sanitize(user->username, MAX_VALUE_LENGTH));
		event_add_str(ke.event, "action", action);
		add_all(&ke, user, event, fields);
		event_set_name(ke.event, key_events[event].name);
		/* Statistics take the time since the event was made for its
		   duration. */
		timeval_sub_usecs(&ke.event->tv_created, fields->duration_usecs);
		/* Whoever has given doveadm the key has no need to read on
		   the terminal that it opens. */
		if (event == MAIL_SEAL_EVENT_UNLOCKED && audit_log_is_open())
			e_debug(ke.event, "%s", str_c(ke.text));
		else
			e_info(ke.event, "%s", str_c(ke.text));
		audit_log_write(user, str_c(ke.text));
	} T_END;
	event_unref(&ke.event);
}
