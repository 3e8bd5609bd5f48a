/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "age/keyfile.h"
#include "crypto/secret.h"

/* Secret memory comes in pages: fill one. */
#define IDENTITIES_PER_BLOCK 32

struct identity_block {
	struct age_x25519_identity identities[IDENTITIES_PER_BLOCK];
};

struct age_identities {
	/* Blocks stay where they are, so that pointers into them do. */
	ARRAY(struct identity_block *) blocks;
	ARRAY(const struct age_identity *) list;
};

struct age_identities *age_identities_init(void)
{
	struct age_identities *identities = i_new(struct age_identities, 1);

	i_array_init(&identities->blocks, 1);
	i_array_init(&identities->list, 4);
	return identities;
}

static struct age_x25519_identity *
identities_slot(const struct age_identities *identities, unsigned int idx)
{
	struct identity_block *block =
		array_idx_elem(&identities->blocks, idx / IDENTITIES_PER_BLOCK);

	return &block->identities[idx % IDENTITIES_PER_BLOCK];
}

/* Wipe and forget all but the first count. */
static void identities_truncate(struct age_identities *identities,
				unsigned int count)
{
	unsigned int i, blocks_count, wanted_count;
	void *block;

	for (i = count; i < age_identities_count(identities); i++) {
		secret_wipe(identities_slot(identities, i),
			    sizeof(struct age_x25519_identity));
	}
	blocks_count = array_count(&identities->blocks);
	wanted_count = (count + IDENTITIES_PER_BLOCK - 1) /
		IDENTITIES_PER_BLOCK;
	for (i = wanted_count; i < blocks_count; i++) {
		block = array_idx_elem(&identities->blocks, i);
		secret_free(&block);
	}
	array_delete(&identities->blocks, wanted_count,
		     blocks_count - wanted_count);
	array_delete(&identities->list, count,
		     array_count(&identities->list) - count);
}

void age_identities_deinit(struct age_identities **_identities)
{
	struct age_identities *identities = *_identities;

	if (identities == NULL)
		return;
	*_identities = NULL;
	identities_truncate(identities, 0);
	array_free(&identities->blocks);
	array_free(&identities->list);
	i_free(identities);
}

void age_identities_add(struct age_identities *identities,
			const struct age_x25519_identity *identity)
{
	unsigned int idx = age_identities_count(identities);
	struct age_x25519_identity *slot;
	struct identity_block *block;
	const struct age_identity *interface;

	if (idx % IDENTITIES_PER_BLOCK == 0) {
		block = secret_alloc(sizeof(*block));
		array_push_back(&identities->blocks, &block);
	}
	slot = identities_slot(identities, idx);
	*slot = *identity;
	interface = &slot->identity;
	array_push_back(&identities->list, &interface);
}

/* Parse one line. str is a copy of it that the caller wipes. */
static int parse_identity(struct age_identities *identities, const char *str,
			  const char **error_r)
{
	struct age_x25519_identity identity;

	if (age_x25519_identity_parse(str, &identity, error_r) < 0)
		return -1;
	age_identities_add(identities, &identity);
	secret_wipe(&identity, sizeof(identity));
	return 0;
}

static int parse_line(struct age_identities *identities,
		      const char *line, size_t size, const char **error_r)
{
	char str[AGE_X25519_IDENTITY_CHARS + 1];
	int ret;

	if (size > 0 && line[size - 1] == '\r')
		size--;
	if (size == 0 || line[0] == '#')
		return 0;
	if (size >= sizeof(str)) {
		*error_r = "is too long for an X25519 identity "
			"(AGE-SECRET-KEY-1...), the only kind known";
		return -1;
	}
	memcpy(str, line, size);
	str[size] = '\0';
	ret = parse_identity(identities, str, error_r);
	secret_wipe(str, sizeof(str));
	return ret;
}

static int parse_lines(struct age_identities *identities,
		       const char *text, size_t size, const char **error_r)
{
	const char *line = text, *end = text + size, *line_end, *error;
	unsigned int number = 0;

	while (line < end) {
		number++;
		line_end = memchr(line, '\n', end - line);
		if (line_end == NULL)
			line_end = end;
		if (parse_line(identities, line, line_end - line,
			       &error) < 0) {
			*error_r = t_strdup_printf(
				"Line %u of the identities %s", number, error);
			return -1;
		}
		line = line_end + 1;
	}
	return 0;
}

int age_identities_parse(struct age_identities *identities,
			 const char *text, size_t size, const char **error_r)
{
	unsigned int count = age_identities_count(identities);

	if (parse_lines(identities, text, size, error_r) < 0) {
		identities_truncate(identities, count);
		return -1;
	}
	if (age_identities_count(identities) == count) {
		*error_r = "There is no identity in it";
		return -1;
	}
	return 0;
}

unsigned int age_identities_count(const struct age_identities *identities)
{
	return array_count(&identities->list);
}

const struct age_x25519_identity *
age_identities_get(const struct age_identities *identities, unsigned int idx)
{
	i_assert(idx < age_identities_count(identities));
	return identities_slot(identities, idx);
}

const struct age_identity *const *
age_identities_list(const struct age_identities *identities,
		    unsigned int *count_r)
{
	return array_get(&identities->list, count_r);
}
