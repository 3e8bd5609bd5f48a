/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_FILE_KEYS_H
#define PLUGIN_MAIL_FILE_KEYS_H

#include "age/header.h"

/* The last few file keys that a user's messages were sealed or opened with, by
   the MAC of their header. Two needs: a delivery reads back what it has just
   written, in a process that has no identity (LMTP with several recipients,
   zlib's check); and a client that fetches a large message piece by piece
   would otherwise pay for an X25519 with each piece. */

struct file_keys;

struct file_keys *file_keys_init(void);
/* Wipe and free all, and set *keys to NULL. */
void file_keys_deinit(struct file_keys **keys);

/* Remember a key, in place of the one that was not used for longest. current
   tells whether the message is sealed to the recipient of now. */
void file_keys_add(struct file_keys *keys,
		   const uint8_t mac[AGE_HEADER_MAC_SIZE],
		   const uint8_t file_key[AGE_FILE_KEY_SIZE], bool current);
/* Find the key of this header and verify the header with it. Returns TRUE,
   current_r and file_key_r, which the caller wipes. */
bool file_keys_find(struct file_keys *keys, const struct age_header *header,
		    uint8_t file_key_r[AGE_FILE_KEY_SIZE], bool *current_r);
/* The recipient of now is another one than that of all of them. */
void file_keys_set_earlier(struct file_keys *keys);

#endif
