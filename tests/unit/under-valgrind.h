/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UNDER_VALGRIND_H
#define UNDER_VALGRIND_H

/* valgrind is fifty times slower: loops over each bit, and the like, take a
   sample there. Without it, as under the sanitizers, they take all. */

/* What lib-test of Dovecot 2.4 has, for 2.3. */
static inline bool test_under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

/* The step of such a loop. 7 still meets each byte where it counts bits. */
static inline unsigned int test_step(void)
{
	return test_under_valgrind() ? 7 : 1;
}

#endif
