/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OSTREAM_ARMOR_H
#define OSTREAM_ARMOR_H

/* Writes the ASCII armor of what is sent in. It is whole once o_stream_finish()
   succeeded. output must be blocking. References output. */
struct ostream *o_stream_create_armor(struct ostream *output);

#endif
