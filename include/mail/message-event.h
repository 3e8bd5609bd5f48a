/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_MESSAGE_EVENT_H
#define MAIL_MESSAGE_EVENT_H

/* What Dovecot's statistics and exporters learn of single messages: events that
   are children of the message's or the mailbox's. The log has them at debug
   level. They cost nothing where nobody has asked for debugging or metrics. */

struct event;
struct mail;
struct mailbox;

/* Its fields: those of Dovecot's own events of messages (user, mailbox, …), uid,
   and the given one. The name is "mail_seal_…". */
void mail_seal_message_event(struct mail *mail, const char *name,
			     const char *field, const char *value);

/* mail_seal_message_sealed: a message of so many bytes, as it came, was saved. */
void mail_seal_message_sealed_event(struct mailbox *box, uoff_t bytes);

/* mail_seal_message_refused, for the call that logs why, which frees it. reason
   is "unenrolled", "keys" or "no_owner". */
struct event *mail_seal_message_refused_event(struct mailbox *box,
					      const char *reason);

#endif
