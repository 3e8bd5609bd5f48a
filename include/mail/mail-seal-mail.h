/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_MAIL_SEAL_MAIL_H
#define MAIL_MAIL_SEAL_MAIL_H

struct mail;

/* A larger message is not authenticated as a whole before its first byte goes
   out, but chunk by chunk while it is sent. */
#define MAIL_SEAL_VERIFY_MAX_SIZE (4 * 1024 * 1024)

/* Authenticate the whole message before a client is promised its size, so that
   damage becomes an error answer instead of a broken connection. Does nothing
   for plain messages, for large ones, and for the one that was verified last.
   Returns 0, or -1 if it can't be opened or is damaged: the mailbox's error is
   set then and the reason is logged. */
int mail_seal_mail_verify(struct mail *mail);

#endif
