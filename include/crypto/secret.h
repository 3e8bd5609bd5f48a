/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

/* Memory for secrets, random bytes and the two things one does with a secret
   in the end: compare it and wipe it. Sizes are bytes.

   Long-lived secrets (identities) live in secret_alloc() memory: locked, with
   guard pages, left out of core dumps. Short-lived ones (file keys, wrap keys)
   live in arrays of fixed size on the C stack and are wiped where they end.
   The data stack (t_*) and growing buffers are for neither. */

/* Set up the libraries below. Idempotent; must come before any other function
   of this layer. Returns 0, or -1 and error_r if there is no secure source of
   randomness. */
int crypto_init(const char **error_r) ATTR_WARN_UNUSED_RESULT;

/* Zeroed, locked memory of its own pages. Expensive (several system calls):
   for few, long-lived secrets. Where RLIMIT_MEMLOCK forbids locking the memory
   is still guarded and kept out of core dumps. Never returns NULL: i_fatal()
   when the system is out of memory, as i_malloc() does. */
void *secret_alloc(size_t size);
/* Wipe, free and set *secret to NULL. NULL inside is fine. */
void secret_free(void **secret);

/* Overwrite with zeros, in a way the compiler doesn't remove. */
void secret_wipe(void *data, size_t size);
/* TRUE if equal, in a time that depends on size alone. */
bool secret_equals(const void *a, const void *b, size_t size)
	ATTR_WARN_UNUSED_RESULT;
/* Fill from the system's CSPRNG. Cannot fail after crypto_init(). */
void secret_random(void *data, size_t size);

#endif
