/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_STORED_MAIL_H
#define PLUGIN_MAIL_STORED_MAIL_H

/* Messages as they are stored: below the seal and below compression. */

struct mail;
struct mailbox;

enum stored_mail_format {
	STORED_MAIL_MAILDIR,
	STORED_MAIL_SDBOX,
	STORED_MAIL_MDBOX
};

/* Returns 0, or -1 and error_r if it is a mailbox of another format. */
int stored_mail_get_format(struct mailbox *box,
			   enum stored_mail_format *format_r,
			   const char **error_r);

/* Open a message of such a mailbox. The stream is seekable and valid until the
   mail is closed. Returns 1; 0 if the message is gone; -1 and error_r. */
int stored_mail_open(struct mail *mail, struct istream **input_r,
		     uoff_t *size_r, const char **error_r);

/* Open the mailbox, if that wasn't done, and see what is new in it. Returns 0,
   or -1 and error_r. */
int stored_mail_sync(struct mailbox *box, const char **error_r);

#endif
