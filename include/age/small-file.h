/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_SMALL_FILE_H
#define AGE_SMALL_FILE_H

#include "age/recipient.h"

/* Whole age files in memory, for contents that are small and secret: the
   identities in a keyring slot. Sizes are bytes. */

/* One chunk, the largest content there can be. */
#define AGE_SMALL_FILE_MAX_SIZE (64 * 1024)

/* Append an age file of this content to dest. Returns 0, or -1 and error_r if a
   recipient can't wrap; dest is then unchanged. The content stays the
   caller's, who wipes it. */
int age_small_file_seal(const struct age_recipient *const *recipients,
			unsigned int count,
			const uint8_t *plain, size_t size,
			buffer_t *dest, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* Open a whole age file. Returns 1, plain_r in secret_alloc() memory with a NUL
   behind its size bytes (the caller frees it with secret_free()); 0 if no
   identity opens it; -1 and error_r if it is malformed, not authentic or larger
   than AGE_SMALL_FILE_MAX_SIZE. */
int age_small_file_open(const uint8_t *data, size_t data_size,
			const struct age_identity *const *identities,
			unsigned int count,
			uint8_t **plain_r, size_t *size_r,
			const char **error_r) ATTR_WARN_UNUSED_RESULT;

#endif
