/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ISTREAM_ARMOR_H
#define ISTREAM_ARMOR_H

/* The binary age file inside the ASCII armor of input, of any size. It can't be
   sought. Malformed armor is EINVAL. References input. */
struct istream *i_stream_create_armor(struct istream *input);
/* TRUE if the stream failed since the armor is malformed. */
bool i_stream_armor_is_malformed(struct istream *input);

/* Look whether the stream, at its beginning, is armored: white space, then the
   dash of a "-----BEGIN". No binary age file looks so. Returns 1, 0 if not or
   if it can't be read, or -1 if there is no more input yet. */
int i_stream_starts_as_armor(struct istream *input);

#endif
