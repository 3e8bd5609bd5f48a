/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VALGRIND_CHECK_H
#define VALGRIND_CHECK_H

#include <stdlib.h>
#include <string.h>

/* Under valgrind, which takes 30 times as long, loops over each bit try some of
   them. What lib-test of Dovecot 2.4 has, for 2.3. */
static inline bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

#endif
