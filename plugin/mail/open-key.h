/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_OPEN_KEY_H
#define PLUGIN_MAIL_OPEN_KEY_H

#include "age/header.h"

struct open_key_context {
	/* Of the mailbox. */
	struct mail_user *owner;
	/* Learns the header's MAC, whether the message is sealed to the
	   recipient of now, and whether the session is locked. */
	struct mail_seal_mail *smail;
};

/* Implements age_istream_open_key_t, with such a context. */
int open_key(const struct age_header *header,
	     uint8_t file_key_r[AGE_FILE_KEY_SIZE], const char **error_r,
	     void *context);

#endif
