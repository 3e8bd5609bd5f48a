/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HEX_H
#define HEX_H

/* Bytes that a test is written with. Sizes are bytes. */

/* Decode hex digits to the data stack. Anything else is a mistake in the
   test: i_panic(). */
const uint8_t *hex_bytes(const char *hex);
/* Append them. */
void hex_append(buffer_t *dest, const char *hex);
/* TRUE if data is what the hex digits say. */
bool hex_equals(const void *data, size_t size, const char *hex);
/* TRUE if all of data is zero. */
bool is_zeroed(const void *data, size_t size);

#endif
