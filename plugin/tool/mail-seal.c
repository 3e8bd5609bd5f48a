/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "crypto/secret.h"
#include "tool.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
	const char *name;
	int (*run)(int argc, char *argv[]);
} verbs[] = {
	{ "keygen", verb_keygen },
	{ "seal", verb_seal },
	{ "open", verb_open },
	{ "inspect", verb_inspect },
	{ "keyring", verb_keyring },
	{ "export", verb_export },
	{ "doctor", verb_doctor },
};

static const char usage[] =
"usage: mail-seal keygen [-o FILE]\n"
"       mail-seal seal -r RECIPIENT [-R FILE] [-a] [FILE]\n"
"       mail-seal open -i IDENTITIES | --keyring FILE [FILE]\n"
"       mail-seal inspect [--json] [FILE]\n"
"       mail-seal keyring show [--json] [FILE]\n"
"       mail-seal keyring open [-o FILE] [FILE]\n"
"       mail-seal export -i IDENTITIES | --keyring FILE [-n] SOURCE OUTDIR\n"
"       mail-seal doctor [-c CONFIG] [-m MODULEDIR] [--json]\n"
"       mail-seal --help | --version\n"
"\n"
"Without FILE, or if it is \"-\", standard input is read. All results go to\n"
"standard output. -r, -R and -i may stand more than once; --identity-fd N is\n"
"-i from a descriptor. A keyring is opened by --password-fd N, by identities,\n"
"or by what is asked for on the terminal; --passphrase-fd N is for files that\n"
"age has sealed with a passphrase.\n"
"Exit codes: 0 done, 2 usage, 3 no identity opens it, 4 header malformed or\n"
"not authentic, 5 payload damaged or cut, 6 input or output failed;\n"
"of doctor: 7 warnings, 8 errors, 78 no configuration to look at.\n";

static enum tool_exit print(const char *text)
{
	if (fputs(text, stdout) == EOF || fclose(stdout) == EOF) {
		return tool_fail(TOOL_IO, TOOL_STDOUT_NAME,
				 "can't write: %m");
	}
	return TOOL_DONE;
}

/* Neither a core file nor another process of this user gets at the keys. */
static void hide_memory(void)
{
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
}

/* A file that is opened must not become one of the standard descriptors, least
   of all the output. */
static int check_descriptors(void)
{
	int fd, null_fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) != -1)
			continue;
		null_fd = open("/dev/null", O_RDWR);
		if (null_fd != fd)
			return -1;
		if (fd == STDOUT_FILENO) {
			(void)tool_fail(TOOL_IO, TOOL_STDOUT_NAME,
					"it is closed");
			return -1;
		}
	}
	return 0;
}

static int run(int argc, char *argv[])
{
	const char *error, *verb = argc < 2 ? "" : argv[1];
	unsigned int i;

	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0)
		return print(usage);
	if (strcmp(verb, "--version") == 0)
		return print("mail-seal "MAIL_SEAL_VERSION"\n");
	if (crypto_init(&error) < 0)
		return tool_fail(TOOL_IO, NULL, "%s", error);
	for (i = 0; i < N_ELEMENTS(verbs); i++) {
		if (strcmp(verb, verbs[i].name) != 0)
			continue;
		if (argc > 2 && strcmp(argv[2], "--help") == 0)
			return print(usage);
		return verbs[i].run(argc - 1, argv + 1);
	}
	if (*verb != '\0') {
		(void)tool_fail(TOOL_USAGE, NULL,
				"unknown verb \"%s\"", verb);
	}
	fputs(usage, stderr);
	return TOOL_USAGE;
}

int main(int argc, char *argv[])
{
	int exit;

	if (check_descriptors() < 0)
		return TOOL_IO;
	hide_memory();
	/* A closed pipe is an error of write() like any other. */
	(void)signal(SIGPIPE, SIG_IGN);
	lib_init();
	exit = run(argc, argv);
	lib_deinit();
	return exit;
}
