/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "istream-age-private.h"

/* Open all chunks from the first to the last one into scratch memory. The
   stream's own buffer stays the reader's. */
static int
verify_chunks(struct age_istream *astream, unsigned char *scratch)
{
	const unsigned char *sealed;
	uint64_t index;
	size_t size;
	bool more = TRUE;

	for (index = 0; more; index++) {
		if (age_istream_read_sealed(astream, index, &sealed, &size,
					    &more) < 0 ||
		    age_istream_open_chunk(astream, index, sealed, size, more,
					   scratch) < 0)
			return -1;
	}
	return 0;
}

int i_stream_age_verify(struct istream *input)
{
	struct age_istream *astream = age_istream_cast(input);
	struct istream_private *stream = &astream->istream;
	unsigned char *scratch;
	int ret;

	i_assert(input->blocking && input->seekable);
	if (age_istream_open_header(astream) < 0)
		return -1;
	if (stream->cached_stream_size <= AGE_CHUNK_SIZE) {
		/* The only chunk was opened already. */
		return 0;
	}
	scratch = i_malloc(AGE_CHUNK_SIZE);
	ret = verify_chunks(astream, scratch);
	secret_wipe(scratch, AGE_CHUNK_SIZE);
	i_free(scratch);
	/* As i_stream_read() does: the parent was moved by us. */
	stream->parent_expected_offset = stream->parent->v_offset;
	stream->access_counter = stream->parent->real_stream->access_counter;
	return ret;
}
