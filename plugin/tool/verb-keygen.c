/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "time-util.h"
#include "write-full.h"
#include "age/x25519.h"
#include "crypto/secret.h"
#include "tool.h"

#include <getopt.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct new_key {
	const struct age_x25519_identity *identity;
	const char *recipient;
};

/* The text of an identity file as age-keygen writes it. */
static int write_key(int fd, void *context)
{
	const struct new_key *key = context;
	const char *comment;

	comment = t_strdup_printf("# created: %s\n# public key: %s\n",
		t_strfgmtime("%Y-%m-%dT%H:%M:%SZ", time(NULL)),
		key->recipient);
	if (write_full(fd, comment, strlen(comment)) < 0)
		return -1;
	return tool_write_identity(fd, key->identity);
}

static enum tool_exit keygen(const char *path)
{
	void *secret = secret_alloc(sizeof(struct age_x25519_identity));
	struct age_x25519_identity *identity = secret;
	struct age_x25519_recipient recipient;
	struct new_key key = { .identity = identity };
	bool seen = path == NULL && isatty(STDOUT_FILENO) == 1;
	enum tool_exit ret;

	age_x25519_identity_generate(identity);
	age_x25519_identity_recipient(identity, &recipient);
	key.recipient = age_x25519_recipient_str(&recipient);
	ret = tool_write_secret_file(path, write_key, &key);
	secret_free(&secret);
	if (ret == TOOL_DONE && !seen)
		fprintf(stderr, "Public key: %s\n", key.recipient);
	return ret;
}

int verb_keygen(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 }
	};
	const char *path = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (c != 'o')
			return tool_fail_usage(argv[0]);
		path = optarg;
	}
	if (optind < argc) {
		return tool_fail(TOOL_USAGE, argv[optind],
			"keygen takes no FILE: name the output with -o");
	}
	return keygen(path);
}
