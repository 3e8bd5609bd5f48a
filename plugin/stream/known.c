/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "istream-age-private.h"

/* A file that was opened before is opened by what was remembered of it. */

struct age_istream_known *age_istream_known_init(struct age_istream *astream)
{
	if (astream->known == NULL)
		astream->known = i_new(struct age_istream_known, 1);
	return astream->known;
}

void age_istream_known_deinit(struct age_istream *astream)
{
	if (astream->known == NULL)
		return;
	secret_wipe(astream->known, sizeof(*astream->known));
	i_free(astream->known);
}

void i_stream_age_set_known(struct istream *input,
			    const struct age_istream_known *known)
{
	struct age_istream *astream = age_istream_cast(input);

	i_assert(astream->cipher == NULL);
	*age_istream_known_init(astream) = *known;
}

bool i_stream_age_get_known(struct istream *input,
			    struct age_istream_known *known_r)
{
	struct age_istream *astream = age_istream_cast(input);

	if (astream->cipher == NULL)
		return FALSE;
	*known_r = *astream->known;
	return TRUE;
}

const uint8_t *i_stream_age_header_hash(struct istream *input)
{
	struct age_istream *astream = age_istream_cast(input);

	return astream->cipher == NULL ? NULL : astream->known->header_hash;
}
