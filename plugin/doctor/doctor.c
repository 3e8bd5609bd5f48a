/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "doctor-private.h"

#include <unistd.h>

/* Of a line that doveconf says: the file and the setting come first. */
#define LINE_MAX_CHARS 1000

static const struct {
	void (*run)(struct doctor *doctor);
	bool needs_conf;
} checks[] = {
	{ doctor_check_modules, FALSE },
	{ doctor_check_plugins, TRUE },
	{ doctor_check_neighbours, TRUE },
	{ doctor_check_settings, TRUE },
	{ doctor_check_auth, TRUE },
	{ doctor_check_mechanisms, TRUE },
	{ doctor_check_storage, TRUE },
	{ doctor_check_cache, TRUE },
	{ doctor_check_temp_dir, TRUE },
	{ doctor_check_memory, TRUE },
	{ doctor_check_mlock, TRUE },
	{ doctor_check_core, TRUE },
	{ doctor_check_keyring, TRUE },
	{ doctor_check_dict, TRUE },
	{ doctor_check_log, TRUE },
	{ doctor_check_rawlog, TRUE },
};

void doctor_say(struct doctor *doctor, enum doctor_level level,
		const char *check, const char *fmt, ...)
{
	struct doctor_finding *finding = array_append_space(&doctor->findings);
	va_list args;

	va_start(args, fmt);
	finding->level = level;
	finding->check = check;
	finding->text = p_strdup_vprintf(doctor->pool, fmt, args);
	va_end(args);
}

void doctor_paste(struct doctor *doctor, const char *fmt, ...)
{
	struct doctor_finding *finding = array_back_modifiable(
		&doctor->findings);
	const char *lines;
	va_list args;

	va_start(args, fmt);
	lines = p_strdup_vprintf(doctor->pool, fmt, args);
	va_end(args);
	finding->paste = finding->paste == NULL ? lines :
		p_strconcat(doctor->pool, finding->paste, "\n", lines, NULL);
}

/* It says some things twice, as it runs itself for Sieve. */
static bool is_said(const struct doctor *doctor, const char *text)
{
	const struct doctor_finding *finding;

	array_foreach(&doctor->findings, finding) {
		if (strcmp(finding->text, text) == 0)
			return TRUE;
	}
	return FALSE;
}

static void say_line(struct doctor *doctor, const char *line)
{
	const char *after = doctor_after(line, "doveconf: ");
	const char *text = t_strconcat("doveconf says: ", t_strndup(
		after == NULL ? line : after, LINE_MAX_CHARS), NULL);
	bool warning = strstr(text, "Warning: ") != NULL;

	/* Sieve's part of it fails with the whole, which has said why. */
	if (*line != '\0' && strstr(line, "dump-capability") == NULL &&
	    !is_said(doctor, text)) {
		doctor_say(doctor, warning ? DOCTOR_NOTE : DOCTOR_ERROR,
			   "configuration", "%s", text);
	}
}

/* What doveconf says on standard error, a finding each. */
static void say_errors(struct doctor *doctor, const char *errors)
{
	const char *const *line;

	for (line = t_strsplit(errors, "\n"); *line != NULL; line++)
		say_line(doctor, *line);
}

/* A configuration of the other series has other settings. */
static bool is_our_series(struct doctor *doctor, const struct doctor_conf *conf)
{
	const char *version = conf->version;

	if (doctor_begins(version, DOCTOR_SERIES"."))
		return TRUE;
	doctor_say(doctor, DOCTOR_ERROR, "configuration",
		   "Dovecot is %s, and this mail-seal was built for "
		   DOCTOR_SERIES": build or install the one for it",
		   *version == '\0' ? "of an unknown version" : version);
	return FALSE;
}

/* Blocks by address or name aren't judged, as who is in them isn't known. */
static void note_blocks(struct doctor *doctor)
{
	static const char *const names[] = { "local", "local_name", "remote" };
	unsigned int i, idx;

	for (i = 0; i < N_ELEMENTS(names); i++) {
		idx = 0;
		if (doctor_section_next(&doctor->conf->root, names[i],
					&idx) == NULL)
			continue;
		doctor_say(doctor, DOCTOR_NOTE, "configuration",
			   "what stands in %s { } blocks is not looked at",
			   names[i]);
	}
}

static void
see_output(struct doctor *doctor, int status, const char *output,
	   const char *errors)
{
	const struct doctor_conf *conf = doctor_conf_parse(doctor->pool,
							   output);

	say_errors(doctor, errors);
	/* Of a configuration that can't be parsed there is a banner at most. */
	if (doctor_section_get(&conf->root, "mail_temp_dir") == NULL) {
		doctor_say(doctor, DOCTOR_ERROR, "configuration",
			   "doveconf shows no configuration (exit status %d): "
			   "mend what it says, and run this again", status);
		return;
	}
	if (!is_our_series(doctor, conf))
		return;
	doctor->conf = conf;
	if (status == 0) {
		doctor_say(doctor, DOCTOR_OK, "configuration",
			   "%s, Dovecot %s", conf->path, conf->version);
	}
	note_blocks(doctor);
}

static void read_configuration(struct doctor *doctor, const char *path)
{
	/* Without -P what looks like a password is hidden, which hides how the
	   passdb hands it on. */
	const char *argv[] = { "doveconf", "-a", "-P", NULL, NULL, NULL };
	string_t *output = str_new(doctor->pool, 64 * 1024);
	string_t *errors = str_new(doctor->pool, 1024);
	const char *error;
	int status;

	if (path != NULL) {
		argv[3] = "-c";
		argv[4] = path;
	}
	status = doctor_exec(argv, output, errors, &error);
	if (status < 0) {
		say_errors(doctor, str_c(errors));
		doctor_say(doctor, DOCTOR_ERROR, "configuration",
			   "can't run %s", error);
		return;
	}
	see_output(doctor, status, str_c(output), str_c(errors));
}

bool doctor_look(pool_t pool, const char *path, const char *module_dir,
		 ARRAY_TYPE(doctor_finding) *findings_r)
{
	struct doctor doctor = { .pool = pool, .module_dir = module_dir };
	unsigned int i;

	p_array_init(&doctor.findings, pool, 32);
	if (geteuid() != 0) {
		doctor_say(&doctor, DOCTOR_NOTE, "configuration", "not run as "
			   "root: what can't be read is not looked at");
	}
	read_configuration(&doctor, path);
	for (i = 0; i < N_ELEMENTS(checks); i++) {
		if (checks[i].needs_conf && doctor.conf == NULL)
			continue;
		T_BEGIN {
			checks[i].run(&doctor);
		} T_END;
	}
	*findings_r = doctor.findings;
	return doctor.conf != NULL;
}
