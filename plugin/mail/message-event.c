/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-storage-private.h"
#include "mail/message-event.h"

/* An event of a message has to be made before it is known whether anybody wants
   it, which is more work than answering from the cache. */
static bool is_anybody_listening(const struct mailbox *box)
{
	return event_get_global_debug_send_filter() != NULL ||
		event_get_global_debug_log_filter() != NULL ||
		event_want_debug(box->event);
}

void mail_seal_message_event(struct mail *mail, const char *name,
			     const char *field, const char *value)
{
	struct event_passthrough *e;

	if (!is_anybody_listening(mail->box))
		return;
	e = event_create_passthrough(mail_event(mail))->
		set_name(name)->
		add_int("uid", mail->uid)->
		add_str(field, value);
	e_debug(e->event(), "mail_seal: %s: %s=%s", name, field, value);
}

void mail_seal_message_sealed_event(struct mailbox *box, uoff_t bytes)
{
	struct event_passthrough *e;

	if (!is_anybody_listening(box))
		return;
	e = event_create_passthrough(box->event)->
		set_name("mail_seal_message_sealed")->
		add_int("bytes", bytes);
	e_debug(e->event(), "mail_seal: Sealed %"PRIuUOFF_T" bytes", bytes);
}

struct event *mail_seal_message_refused_event(struct mailbox *box,
					      const char *reason)
{
	return event_create_passthrough(box->event)->
		set_name("mail_seal_message_refused")->
		add_str("reason", reason)->
		event();
}
