/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "buffer.h"
#include "istream.h"
#include "fuzzer.h"
#include "stream/istream-age.h"
#include "../unit/age-file.h"

/* Aims at the istream: i_stream_create_age(), reading, seeking, sizes, also
   over parents that give little at a time. Every header is taken for
   authentic, so as to get behind it. The key and the nonce are those of the
   corpus, where all files have the beginning of the same plaintext; so
   whatever is delivered must be that. */

#define PLAIN_SIZE (4 * AGE_CHUNK_SIZE)
#define ACTS 12

static const uint8_t *plain;
static uint64_t chance;

/* The same for the same input. */
static unsigned int random_below(unsigned int limit)
{
	chance = chance * 6364136223846793005 + 1442695040888963407;
	return (chance >> 33) % limit;
}

static int
open_any(const struct age_header *header ATTR_UNUSED,
	 uint8_t file_key_r[AGE_FILE_KEY_SIZE],
	 const char **error_r ATTR_UNUSED, void *context ATTR_UNUSED)
{
	memcpy(file_key_r, age_file_key, AGE_FILE_KEY_SIZE);
	return 1;
}

static void check_data(struct istream *input)
{
	const unsigned char *data;
	size_t size;

	data = i_stream_get_data(input, &size);
	i_assert(size == 0 || (input->v_offset + size <= PLAIN_SIZE &&
			       memcmp(data, plain + input->v_offset,
				      size) == 0));
}

static void check_failure(struct istream *input)
{
	i_assert((i_stream_age_failure(input) == AGE_ISTREAM_OK) ==
		 (input->stream_errno == 0));
}

/* Returns the number of bytes, or -1 if the stream failed. */
static ssize_t read_all(struct istream *input)
{
	while (i_stream_read(input) >= 0) {
		check_data(input);
		i_stream_skip(input, i_stream_get_data_size(input));
	}
	i_assert(input->eof);
	check_failure(input);
	return input->stream_errno == 0 ? (ssize_t)input->v_offset : -1;
}

static void act(struct istream *input, ssize_t plain_size)
{
	uoff_t size;
	int ret;

	switch (random_below(5)) {
	case 0:
		ret = i_stream_get_size(input, TRUE, &size);
		i_assert(ret <= 0 || (plain_size >= 0 ?
				      size == (uoff_t)plain_size :
				      size <= PLAIN_SIZE));
		break;
	case 1:
		i_stream_seek(input, random_below(PLAIN_SIZE + 1000));
		break;
	case 2:
		i_stream_skip(input, random_below(1000));
		break;
	default:
		(void)i_stream_read(input);
	}
	check_data(input);
}

static struct istream *
create(struct dribble_set *set, const uint8_t *data, size_t size)
{
	struct istream *parent = i_stream_create_dribble(set, data, size);
	struct istream *input = i_stream_create_age(parent, open_any, NULL);

	i_stream_unref(&parent);
	return input;
}

static void check(const uint8_t *data, size_t size)
{
	struct dribble_set set = { .step = 0 };
	struct istream *input = create(&set, data, size);
	ssize_t plain_size = read_all(input);

	i_stream_unref(&input);

	set.step = random_below(3) == 0 ? 0 : 1 + random_below(20000);
	set.pause = random_below(2) == 0;
	set.unsized = random_below(3) == 0;
	set.max_buffer_size = 1 + random_below(100000);
	input = create(&set, data, size);
	i_stream_set_max_buffer_size(input, 1 + random_below(100000));
	if (random_below(3) == 0)
		i_stream_age_set_rescue(input);
	for (unsigned int i = 0; i < ACTS; i++)
		act(input, plain_size);
	check_failure(input);
	i_stream_unref(&input);
}

FUZZ_BEGIN_DATA(const unsigned char *data, size_t size)
{
	if (plain == NULL)
		plain = age_file_plain(PLAIN_SIZE);
	chance = size;
	for (size_t i = 0; i < size; i += 1 + i / 64)
		chance = chance * 31 + data[i];
	check(data, size);
}
FUZZ_END
