/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "crypto/secret.h"
#include "file-keys.h"

#define FILE_KEYS_COUNT 32

struct file_key_entry {
	uint8_t mac[AGE_HEADER_MAC_SIZE];
	uint8_t file_key[AGE_FILE_KEY_SIZE];
	/* 0: unused. */
	uint64_t last_used;
	bool current;
};

struct file_keys {
	struct file_key_entry entries[FILE_KEYS_COUNT];
	uint64_t clock;
};

struct file_keys *file_keys_init(void)
{
	return secret_alloc(sizeof(struct file_keys));
}

void file_keys_deinit(struct file_keys **keys)
{
	void *secret = *keys;

	*keys = NULL;
	secret_free(&secret);
}

void file_keys_add(struct file_keys *keys,
		   const uint8_t mac[AGE_HEADER_MAC_SIZE],
		   const uint8_t file_key[AGE_FILE_KEY_SIZE], bool current)
{
	struct file_key_entry *oldest = &keys->entries[0];
	unsigned int i;

	for (i = 1; i < FILE_KEYS_COUNT; i++) {
		if (keys->entries[i].last_used < oldest->last_used)
			oldest = &keys->entries[i];
	}
	memcpy(oldest->mac, mac, sizeof(oldest->mac));
	memcpy(oldest->file_key, file_key, sizeof(oldest->file_key));
	oldest->last_used = ++keys->clock;
	oldest->current = current;
}

bool file_keys_find(struct file_keys *keys, const struct age_header *header,
		    uint8_t file_key_r[AGE_FILE_KEY_SIZE], bool *current_r)
{
	struct file_key_entry *entry;
	unsigned int i;

	for (i = 0; i < FILE_KEYS_COUNT; i++) {
		entry = &keys->entries[i];
		/* The MAC is public: it stands in the file. */
		if (entry->last_used == 0 ||
		    memcmp(entry->mac, header->mac, sizeof(entry->mac)) != 0)
			continue;
		/* The MAC was found, but does it fit this header? */
		if (!age_header_verify(header, entry->file_key))
			return FALSE;
		entry->last_used = ++keys->clock;
		memcpy(file_key_r, entry->file_key, AGE_FILE_KEY_SIZE);
		*current_r = entry->current;
		return TRUE;
	}
	return FALSE;
}

void file_keys_set_earlier(struct file_keys *keys)
{
	unsigned int i;

	for (i = 0; i < FILE_KEYS_COUNT; i++)
		keys->entries[i].current = FALSE;
}
