/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STREAM_OSTREAM_AGE_H
#define STREAM_OSTREAM_AGE_H

#include "age/header.h"

/* Writes one age file: what is sent in is sealed chunk by chunk and sent on to
   the stream below. The file is whole only once o_stream_finish() succeeded:
   a full chunk is held back until more follows or the stream is finished, as
   only the last chunk carries the mark. The stream's offset counts plaintext.
   Sizes are bytes. */

/* header is a whole header made with file_key (age_header_seal()); it and a
   fresh payload nonce are written before the first chunk, at the latest by
   o_stream_finish(). file_key must be new and random; the caller keeps both
   and wipes the key. References output. */
struct ostream *o_stream_create_age(struct ostream *output,
				    const uint8_t *header, size_t header_size,
				    const uint8_t file_key[AGE_FILE_KEY_SIZE]);

#endif
