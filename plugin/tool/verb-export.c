/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "ioloop.h"
#include "tool-keys.h"
#include "terminal/progress.h"
#include "export.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void handle_signal(int signo)
{
	interrupted = signo;
}

bool export_is_interrupted(void)
{
	return interrupted != 0;
}

static void ATTR_FORMAT(3, 0)
say(struct export *export, const char *name, const char *fmt, va_list args)
{
	if (export->counting)
		return;
	if (export->progress != NULL)
		progress_hide(export->progress);
	T_BEGIN {
		(void)tool_fail(TOOL_BAD_PAYLOAD, tool_printable(name), "%s",
				t_strdup_vprintf(fmt, args));
	} T_END;
}

void export_fail(struct export *export, const char *name, const char *fmt, ...)
{
	va_list args;

	export->counts.failed++;
	va_start(args, fmt);
	say(export, name, fmt, args);
	va_end(args);
}

void export_note(struct export *export, const char *name, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(export, name, fmt, args);
	va_end(args);
}

/* TRUE if the folder, or the one that it will be made in, is SOURCE or
   below. */
static bool is_below(const char *path, const struct stat *source)
{
	const char *slash = strrchr(path, '/');
	struct stat st, parent;

	if (stat(path, &st) < 0)
		path = slash == NULL ? "." : t_strdup_until(path, slash + 1);
	while (stat(path, &st) == 0) {
		if (st.st_dev == source->st_dev && st.st_ino == source->st_ino)
			return TRUE;
		path = t_strconcat(path, "/..", NULL);
		if (stat(path, &parent) < 0 ||
		    (parent.st_dev == st.st_dev && parent.st_ino == st.st_ino))
			break;
	}
	return FALSE;
}

static const char *without_slashes(const char *path)
{
	size_t size = strlen(path);

	while (size > 1 && path[size - 1] == '/')
		size--;
	return t_strndup(path, size);
}

static enum tool_exit
open_target(struct export *export, const char *path)
{
	enum tool_exit ret;
	struct stat st;
	char *real;

	if (stat(export->source, &st) < 0)
		return tool_fail(TOOL_IO, export->source, "can't read it: %m");
	if (path == NULL)
		return TOOL_DONE;
	if (is_below(path, &st)) {
		return tool_fail(TOOL_USAGE, path, "it is in %s, where nothing "
				 "is ever written", export->source);
	}
	real = realpath(export->source, NULL);
	if (real == NULL)
		return tool_fail(TOOL_IO, export->source, "can't find it: %m");
	ret = export_target_open(path, real, &export->target);
	free(real);
	return ret;
}

/* How much there is, for the line that shows the progress. */
static enum tool_exit count_all(struct export *export)
{
	struct export count = { .source = export->source, .counting = TRUE };
	enum tool_exit ret;

	ret = export_store(&count);
	if (ret == TOOL_DONE)
		export->progress = progress_init();
	export->total = count.counts;
	return ret;
}

static const char *count_str(unsigned int count, const char *what)
{
	return t_strdup_printf("%u %s%s", count, what, count == 1 ? "" : "s");
}

static void summarize(const struct export *export)
{
	const struct export_counts *counts = &export->counts;

	fprintf(stderr, "mail-seal: %s of %s %s",
		count_str(counts->messages, "message"),
		count_str(counts->folders, "folder"),
		export->target == NULL ? "can be opened" : "exported");
	if (counts->present > 0)
		fprintf(stderr, ", %u were there already", counts->present);
	if (counts->deleted > 0)
		fprintf(stderr, ", %u deleted ones left out", counts->deleted);
	fprintf(stderr, "; %u could not be opened\n", counts->failed);
}

static enum tool_exit run(struct export *export)
{
	enum tool_exit ret = TOOL_DONE;

	if (isatty(STDERR_FILENO) == 1)
		ret = count_all(export);
	if (ret == TOOL_DONE)
		ret = export_store(export);
	/* What is whole is kept also if the export can't go on. */
	if (export->target != NULL &&
	    export_target_end(export->target) != TOOL_DONE)
		ret = TOOL_IO;
	if (export->progress != NULL)
		progress_deinit(&export->progress);
	if (ret != TOOL_DONE && interrupted == 0)
		return ret;
	summarize(export);
	if (ret != TOOL_DONE)
		return ret;
	return export->counts.failed > 0 ? TOOL_BAD_PAYLOAD : TOOL_DONE;
}

/* Once something may be half done, a signal is to end it in good order. */
static void set_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction action = {
		.sa_handler = handle_signal,
		/* A second one ends it at once. */
		.sa_flags = SA_RESETHAND,
	};

	for (unsigned int i = 0; i < N_ELEMENTS(signals); i++)
		(void)sigaction(signals[i], &action, NULL);
}

static enum tool_exit
export_with(struct tool_keys *keys, const char *source, const char *output)
{
	struct export export = { .source = without_slashes(source) };
	struct ioloop *ioloop;
	enum tool_exit ret;

	ret = tool_keys_open_keyring(keys);
	if (ret != TOOL_DONE)
		return ret;
	export.identities = keys->identities;
	set_signals();
	ret = open_target(&export, output);
	if (ret != TOOL_DONE)
		return ret;
	/* Dovecot's library of indexes takes the time from there. */
	ioloop = io_loop_create();
	ret = run(&export);
	io_loop_destroy(&ioloop);
	if (export.target != NULL)
		export_target_close(&export.target);
	return ret;
}

static enum tool_exit
export_by_options(struct tool_keys *keys, int argc, char *argv[])
{
	static const struct option options[] = {
		TOOL_KEYS_OPTIONS,
		{ "dry-run", no_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 }
	};
	enum tool_exit ret = TOOL_DONE;
	bool dry_run = FALSE;
	int c;

	while (ret == TOOL_DONE &&
	       (c = getopt_long(argc, argv, "i:n", options, NULL)) != -1) {
		if (c == 'n')
			dry_run = TRUE;
		else
			ret = tool_keys_parse_option(keys, argv[0], c, optarg);
	}
	if (ret == TOOL_DONE)
		ret = tool_keys_check(keys, argv[0]);
	if (ret != TOOL_DONE)
		return ret;
	argc -= optind;
	argv += optind;
	if (argc != 2 && !(dry_run && argc == 1)) {
		return tool_fail(TOOL_USAGE, NULL, "SOURCE and OUTDIR are "
				 "expected, or --dry-run and SOURCE");
	}
	return export_with(keys, argv[0], dry_run ? NULL :
			   without_slashes(argv[1]));
}

int verb_export(int argc, char *argv[])
{
	struct tool_keys keys;
	enum tool_exit ret;

	tool_keys_init(&keys);
	ret = export_by_options(&keys, argc, argv);
	tool_keys_deinit(&keys);
	if (interrupted != 0) {
		(void)tool_fail(TOOL_IO, NULL, "interrupted: the same command "
				"goes on where this one ended");
		(void)raise(interrupted);
	}
	return ret;
}
