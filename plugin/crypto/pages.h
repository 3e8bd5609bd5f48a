/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_PAGES_H
#define CRYPTO_PAGES_H

/* Give back the memory of code that has run and is hardly ever to run again:
   that which starts up a program or a library. These pages are clean copies of
   the file and are read again from the page cache if they are needed. */

/* Of every shared library that has name in its path. Does nothing where we
   don't know it to be safe. */
void crypto_pages_release(const char *name);

#endif
