/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_UTIL_H
#define KEYRING_UTIL_H

#include "age/argon2id.h"
#include "keyring/edit.h"

/* What the tests of changing keyrings share. */

#define SECRET_1 \
	"c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a"
#define SECRET_2 \
	"48486e1514e842346ff405b1e45f44059ae82619f2306f99d0940dcb386e91f7"
#define SECRET_3 \
	"0000000000000000000000000000000000000000000000000000000000000000"

/* The cheapest there are. */
extern const struct keyring_costs test_costs;

/* These end the program if they fail. Texts are on the data stack. */
struct keyring *test_keyring_new(const char *secret);
struct keyring *test_keyring_parse(const char *text);
const char *test_keyring_text(const struct keyring *keyring);
/* Open with a password; the caller frees. */
struct age_identities *test_keyring_open(const struct keyring *keyring,
					 const char *secret);
struct keyring_edit *test_edit_begin(const struct keyring *keyring,
				     const struct age_identities *identities);
/* End the edit; free the old keyring and put the new one in its place. */
void test_edit_finish(struct keyring_edit **edit, struct keyring **keyring);

/* The text with the mac that these identities give it. */
const char *test_keyring_with_mac(const struct keyring *keyring,
				  const struct age_identities *identities);

/* The recipient of an identity, "age1…". */
const char *test_recipient_str(const struct age_x25519_identity *identity);
/* All identities as one string. */
const char *test_identities_str(const struct age_identities *identities);

#endif
