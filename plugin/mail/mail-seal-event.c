/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "str.h"
#include "mail-seal-private.h"

/* What Dovecot's statistics and the log learn about keys. */

static const struct {
	const char *name, *text;
	enum log_type level;
} key_events[] = {
	[MAIL_SEAL_EVENT_ENROLLED] = {
		"mail_seal_enrolled", "Enrolled", LOG_TYPE_INFO
	},
	/* With every login. */
	[MAIL_SEAL_EVENT_UNLOCKED] = {
		"mail_seal_unlocked", "Unlocked", LOG_TYPE_DEBUG
	},
	[MAIL_SEAL_EVENT_UNLOCK_FAILED] = {
		"mail_seal_unlock_failed", "Unlocking failed", LOG_TYPE_INFO
	},
	[MAIL_SEAL_EVENT_KEYRING_CHANGED] = {
		"mail_seal_keyring_changed", "Keyring changed", LOG_TYPE_INFO
	},
};

static void
add_str(struct event_passthrough *e, const char *name, const char *value)
{
	if (value != NULL)
		e->add_str(name, value);
}

struct event *
mail_seal_key_event_create(struct mail_user *user,
			   enum mail_seal_key_event event,
			   const struct mail_seal_key_event_fields *fields)
{
	struct event_passthrough *e =
		event_create_passthrough(user->event)->
		set_name(key_events[event].name);

	add_str(e, "slot_kind", fields->slot_kind);
	add_str(e, "action", fields->action);
	add_str(e, "reason", fields->reason);
	if (fields->duration_usecs > 0)
		e->add_int("duration", fields->duration_usecs);
	return e->event();
}

void mail_seal_log_event(struct event *event, enum log_type level,
			 const char *text)
{
	switch (level) {
	case LOG_TYPE_DEBUG:
		e_debug(event, "mail_seal: %s", text);
		break;
	case LOG_TYPE_INFO:
		e_info(event, "mail_seal: %s", text);
		break;
	case LOG_TYPE_WARNING:
		e_warning(event, "mail_seal: %s", text);
		break;
	default:
		e_error(event, "mail_seal: %s", text);
		break;
	}
}

void mail_seal_user_key_event(struct mail_user *user,
			      enum mail_seal_key_event event,
			      const struct mail_seal_key_event_fields *fields)
{
	T_BEGIN {
		string_t *text = t_str_new(128);

		str_append(text, key_events[event].text);
		if (fields->action != NULL)
			str_printfa(text, ": %s", fields->action);
		if (fields->slot_kind != NULL)
			str_printfa(text, " (%s)", fields->slot_kind);
		if (fields->reason != NULL)
			str_printfa(text, ": %s", fields->reason);
		mail_seal_log_event(
			mail_seal_key_event_create(user, event, fields),
			key_events[event].level, str_c(text));
	} T_END;
}
