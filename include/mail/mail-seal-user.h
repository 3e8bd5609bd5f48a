/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_MAIL_SEAL_USER_H
#define MAIL_MAIL_SEAL_USER_H

/* One user's keys while the user is there: what the modules of the host
   programs (imap, pop3, doveadm) call. */

struct mail_user;
struct mailbox_list_iterate_context;

/* Get the identity: from the userdb (mail_seal_identity), or by opening the
   keyring with the secret that the passdb handed on (mail_seal_password). A
   user without a keyring is enrolled, if the settings allow. Tried once a user;
   later calls give the first result. May take as long as Argon2id does. The
   reason of a failure is logged here.
   Returns TRUE if the user has an identity now, or needs none because there is
   no keyring and mail is stored plain until there is one. */
bool mail_seal_user_unlock(struct mail_user *user);

/* TRUE if mail_seal_user_unlock() wasn't called yet and has something to try. */
bool mail_seal_user_has_key(struct mail_user *user);

/* TRUE if the plugin is loaded for this user. */
bool mail_seal_user_is_sealed(struct mail_user *user);

/* After a failed mail_seal_user_unlock(): a sentence for the person at the mail
   client. NULL if the user isn't locked, or the plugin isn't loaded for it. */
const char *mail_seal_user_get_locked_text(struct mail_user *user);

/* Tell statistics (event mail_seal_locked_refused) that a locked user was refused
   this command, as the protocol names it. */
void mail_seal_user_tell_refused(struct mail_user *user, const char *command);

/* TRUE if a message could not be opened because another process has rotated the
   user's identity: the session must be begun anew. */
bool mail_seal_user_has_lost_keys(struct mail_user *user);

/* Let mailboxes of this user fail to open, with the sentence above, when the
   user is locked. For sessions that have no better place to say it. */
void mail_seal_user_refuse_open(struct mail_user *user);

/* Authenticate every message whole when it is opened, whatever its size, before
   the first byte is read. For protocols that can't take back what was sent. */
void mail_seal_user_verify_on_open(struct mail_user *user);

/* List the mailboxes that match, of those whose messages are the user's own: each
   once, and none that isn't there yet. Patterns are NULL-terminated. The caller
   ends it with mailbox_list_iter_deinit(). */
struct mailbox_list_iterate_context *
mail_seal_user_list_mailboxes(struct mail_user *user,
			      const char *const *patterns);

/* For doveadm, before it has a user: what it starts is not to inherit the
   descriptor of mail_seal_unlock_fd, from which a key is read when there is
   one. */
void mail_seal_user_hide_unlock_fd(int fd);

/* For doveadm, before it has a user and while it is root: open Dovecot's log
   (info_log_path or log_path, a file or syslog), so that lines of the audit are
   there as well as on the terminal, which isn't told that a key has opened the
   keyring. Does nothing in doveadm's server, which logs there anyway. If the log
   can't be opened, each line is followed by a warning. */
void mail_seal_user_audit_init(void);
void mail_seal_user_audit_deinit(void);

#endif
