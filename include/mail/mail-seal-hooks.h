/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_MAIL_SEAL_HOOKS_H
#define MAIL_MAIL_SEAL_HOOKS_H

/* Where Dovecot's hooks of the same names lead. */

struct mail;
struct mailbox;
struct mail_user;
struct mail_namespace;

void mail_seal_user_created(struct mail_user *user);
void mail_seal_namespaces_created(struct mail_namespace *namespaces);
void mail_seal_mailbox_allocated(struct mailbox *box);
void mail_seal_mail_allocated(struct mail *mail);

#endif
