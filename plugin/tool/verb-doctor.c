/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "ostream.h"
#include "str.h"
#include "doctor/doctor.h"
#include "tool.h"

#include <getopt.h>

static const char *const level_names[] = { "ok", "note", "warning", "error" };

static void append_lines_text(string_t *dest, const char *paste)
{
	const char *const *line;

	for (line = t_strsplit(paste, "\n"); *line != NULL; line++)
		str_printfa(dest, "    %s\n", tool_printable(*line));
}

static void
append_text(string_t *dest, const struct doctor_finding *finding)
{
	str_printfa(dest, "%-8s %s: %s\n", level_names[finding->level],
		    finding->check, tool_printable(finding->text));
	if (finding->paste != NULL)
		append_lines_text(dest, finding->paste);
}

static void append_lines_json(string_t *dest, const char *paste)
{
	const char *const *line = t_strsplit(paste, "\n");
	unsigned int i;

	for (i = 0; line[i] != NULL; i++) {
		if (i > 0)
			str_append_c(dest, ',');
		tool_append_json(dest, line[i]);
	}
}

static void
append_json(string_t *dest, const struct doctor_finding *finding)
{
	str_append(dest, "{\"check\":");
	tool_append_json(dest, finding->check);
	str_append(dest, ",\"level\":");
	tool_append_json(dest, level_names[finding->level]);
	str_append(dest, ",\"text\":");
	tool_append_json(dest, finding->text);
	str_append(dest, ",\"lines\":[");
	if (finding->paste != NULL)
		append_lines_json(dest, finding->paste);
	str_append(dest, "]}");
}

static void
append_all_json(string_t *dest, const ARRAY_TYPE(doctor_finding) *findings)
{
	const struct doctor_finding *finding;
	const char *before = "[";

	array_foreach(findings, finding) {
		str_append(dest, before);
		append_json(dest, finding);
		before = ",\n ";
	}
	str_append(dest, "]\n");
}

static void
append_count(string_t *dest, const char *before, unsigned int count,
	     const char *name)
{
	str_printfa(dest, "%s%u %s%s", before, count, name,
		    count == 1 ? "" : "s");
}

static void
append_all_text(string_t *dest, const ARRAY_TYPE(doctor_finding) *findings)
{
	const struct doctor_finding *finding;
	unsigned int counts[N_ELEMENTS(level_names)] = { 0 };

	array_foreach(findings, finding) {
		append_text(dest, finding);
		counts[finding->level]++;
	}
	append_count(dest, "\n", counts[DOCTOR_ERROR], "error");
	append_count(dest, ", ", counts[DOCTOR_WARNING], "warning");
	append_count(dest, ", ", counts[DOCTOR_NOTE], "note");
	str_printfa(dest, ", %u ok\n", counts[DOCTOR_OK]);
}

static enum doctor_level worst(const ARRAY_TYPE(doctor_finding) *findings)
{
	const struct doctor_finding *finding;
	enum doctor_level level = DOCTOR_OK;

	array_foreach(findings, finding)
		level = I_MAX(level, finding->level);
	return level;
}

static enum tool_exit exit_code(const ARRAY_TYPE(doctor_finding) *findings)
{
	switch (worst(findings)) {
	case DOCTOR_ERROR:
		return TOOL_ERRORS;
	case DOCTOR_WARNING:
		return TOOL_WARNINGS;
	default:
		return TOOL_DONE;
	}
}

static int print(const ARRAY_TYPE(doctor_finding) *findings, bool json)
{
	struct ostream *output = tool_create_output();
	string_t *str = str_new(default_pool, 4096);

	if (json)
		append_all_json(str, findings);
	else
		append_all_text(str, findings);
	o_stream_nsend(output, str_data(str), str_len(str));
	str_free(&str);
	return tool_finish_output(&output);
}

static enum tool_exit look(const char *path, const char *module_dir, bool json)
{
	ARRAY_TYPE(doctor_finding) findings;
	pool_t pool = pool_alloconly_create("doctor", 64 * 1024);
	enum tool_exit exit = TOOL_NO_CONFIGURATION;

	if (doctor_look(pool, path, module_dir, &findings))
		exit = exit_code(&findings);
	if (print(&findings, json) < 0)
		exit = TOOL_IO;
	pool_unref(&pool);
	return exit;
}

int verb_doctor(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "modules", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 }
	};
	const char *path = NULL, *module_dir = NULL;
	bool json = FALSE;
	int c;

	while ((c = getopt_long(argc, argv, "c:m:", options, NULL)) != -1) {
		if (c == 'c')
			path = optarg;
		else if (c == 'm')
			module_dir = optarg;
		else if (c == 'j')
			json = TRUE;
		else
			return tool_fail_usage(argv[0]);
	}
	if (optind < argc)
		return tool_fail_usage(argv[0]);
	return look(path, module_dir, json);
}
