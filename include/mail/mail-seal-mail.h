/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_MAIL_SEAL_MAIL_H
#define MAIL_MAIL_SEAL_MAIL_H

struct mail;
struct mailbox;
struct mail_user;

/* TRUE if messages of this mailbox lie in files of this store, one by one, so
   that they can be sealed. */
bool mail_seal_mailbox_is_sealable(struct mailbox *box);
/* The user whose keys a mailbox's messages have: its owner. NULL if it has
   none (a public mailbox) or mail_seal isn't loaded for the owner. */
struct mail_user *mail_seal_mailbox_owner(struct mailbox *box);

/* A larger message is not authenticated as a whole before its first byte goes
   out, but chunk by chunk while it is sent. */
#define MAIL_SEAL_VERIFY_MAX_SIZE (4 * 1024 * 1024)

/* What of a message is to be sent. */
enum mail_seal_part {
	/* All of it, or a part of its structure. */
	MAIL_SEAL_PART_WHOLE,
	/* So many bytes at some place: others will be wanted after them. */
	MAIL_SEAL_PART_PIECE,
	/* With its transfer encoding removed. */
	MAIL_SEAL_PART_DECODED
};

/* Open a message for sending its body. It is authenticated as a whole before a
   client is promised its size, so that damage becomes an error answer instead
   of a broken connection; not if it is larger than the size above, nor if it
   was the last one that was. Does nothing for plain messages.

   The message's stream then hands out up to a chunk at once, which saves most
   system calls of sending it; not for BINARY, where Dovecot relies on blocks of
   8 KiB. For pieces the chunks opened last are kept in memory.

   Returns 0, or -1 if it can't be opened or is damaged: the mailbox's error is
   set then and the reason is logged. */
int mail_seal_mail_prepare(struct mail *mail, enum mail_seal_part part);

#endif
