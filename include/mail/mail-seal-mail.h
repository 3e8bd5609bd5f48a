/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_MAIL_SEAL_MAIL_H
#define MAIL_MAIL_SEAL_MAIL_H

struct mail;

/* A larger message is not authenticated as a whole before its first byte goes
   out, but chunk by chunk while it is sent. */
#define MAIL_SEAL_VERIFY_MAX_SIZE (4 * 1024 * 1024)

/* Open a message for sending its body. It is authenticated as a whole before a
   client is promised its size, so that damage becomes an error answer instead
   of a broken connection; not if it is larger than the size above, nor if it
   was the last one that was. Does nothing for plain messages.

   whole_chunks lets the message's stream hand out up to a chunk at once, which
   saves most system calls of sending it. Not for BINARY, where Dovecot relies
   on blocks of 8 KiB.

   Returns 0, or -1 if it can't be opened or is damaged: the mailbox's error is
   set then and the reason is logged. */
int mail_seal_mail_prepare(struct mail *mail, bool whole_chunks);

#endif
