/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "write-full.h"
#include "tool-keys.h"

#include <stdio.h>

/* keyring open: what a keyring holds as an identity file, for this program or
   the stock age. */

struct found_keys {
	const struct keyring *keyring;
	const struct age_identities *identities;
};

/* Until when the identity of this recipient was current; NULL if the keyring
   doesn't name it. */
static const char *
until(const struct keyring *keyring, const char *recipient)
{
	const struct keyring_earlier *earlier;
	unsigned int i, count;

	earlier = keyring_earlier(keyring, &count);
	for (i = 0; i < count; i++) {
		if (strcmp(age_x25519_recipient_str(&earlier[i].recipient),
			   recipient) == 0)
			return earlier[i].until;
	}
	return NULL;
}

static const char *
comment(const struct found_keys *found, unsigned int idx)
{
	struct age_x25519_recipient recipient;
	const char *str, *date;

	age_x25519_identity_recipient(age_identities_get(found->identities,
							 idx), &recipient);
	str = age_x25519_recipient_str(&recipient);
	if (idx == 0)
		return t_strdup_printf("# current: %s\n", str);
	date = until(found->keyring, str);
	return date == NULL ? t_strdup_printf("# earlier: %s\n", str) :
		t_strdup_printf("# until %s: %s\n", date, str);
}

static int write_keys(int fd, void *context)
{
	const struct found_keys *found = context;
	unsigned int i, count = age_identities_count(found->identities);
	int ret = 0;

	for (i = 0; i < count && ret == 0; i++) T_BEGIN {
		const char *str = comment(found, i);

		if (write_full(fd, str, strlen(str)) < 0 ||
		    tool_write_identity(fd, age_identities_get(
					found->identities, i)) < 0)
			ret = -1;
	} T_END;
	return ret;
}

static enum tool_exit
open_and_write(const struct tool_keys *keys, const char *path,
	       const char *output)
{
	struct found_keys found;
	struct keyring_opened opened;
	struct keyring *keyring;
	enum tool_exit ret;

	ret = tool_load_keyring(path, &keyring);
	if (ret != TOOL_DONE)
		return ret;
	ret = tool_keys_open(keys, keyring, tool_input_name(path), &opened);
	if (ret == TOOL_DONE) {
		found.keyring = keyring;
		found.identities = opened.identities;
		ret = tool_write_secret_file(output, write_keys, &found);
		age_identities_deinit(&opened.identities);
	}
	keyring_free(&keyring);
	return ret;
}

static enum tool_exit
open_options(struct tool_keys *keys, int argc, char *argv[])
{
	static const struct option options[] = {
		TOOL_KEYS_OPTIONS_SECRET,
		{ "output", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 }
	};
	const char *path, *output = NULL;
	enum tool_exit ret = TOOL_DONE;
	int c;

	while (ret == TOOL_DONE &&
	       (c = getopt_long(argc, argv, "i:o:", options, NULL)) != -1) {
		if (c == 'o')
			output = optarg;
		else
			ret = tool_keys_parse_option(keys, "keyring open",
						     c, optarg);
	}
	if (ret != TOOL_DONE)
		return ret;
	if (!tool_get_file(argc - optind, argv + optind, &path))
		return TOOL_USAGE;
	if (path == NULL)
		tool_keys_take_stdin(keys);
	ret = tool_keys_check(keys, "keyring open");
	return ret != TOOL_DONE ? ret : open_and_write(keys, path, output);
}

static int keyring_open(int argc, char *argv[])
{
	struct tool_keys keys;
	enum tool_exit ret;

	tool_keys_init(&keys);
	ret = open_options(&keys, argc, argv);
	tool_keys_deinit(&keys);
	return ret;
}

int verb_keyring(int argc, char *argv[])
{
	const char *verb = argc < 2 ? "" : argv[1];

	if (strcmp(verb, "show") == 0)
		return verb_keyring_show(argc - 1, argv + 1);
	if (strcmp(verb, "open") == 0)
		return keyring_open(argc - 1, argv + 1);
	(void)tool_fail(TOOL_USAGE, argv[0], "\"%s\" is neither show nor open",
			verb);
	return tool_fail_usage(argv[0]);
}
