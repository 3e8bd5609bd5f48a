/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_AUDIT_LOG_H
#define PLUGIN_MAIL_AUDIT_LOG_H

struct mail_user;

/* A line of the audit, which was logged. Where that goes to the terminal, put it
   into Dovecot's log, too; see mail_seal_user_audit_init(). */
void audit_log_write(struct mail_user *user, const char *text);

/* TRUE if that puts it anywhere. */
bool audit_log_is_open(void);

#endif
