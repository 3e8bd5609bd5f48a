/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "doctor-private.h"
#include "doctor-fields.h"

/* More than any file with queries or users that is looked through. */
#define FILE_MAX_SIZE (16 * 1024 * 1024)

const char *doctor_db_driver(const struct doctor_setting *db)
{
	const char *driver = doctor_section_str(db->section, "driver");

	return *driver == '\0' ? db->value : driver;
}

static const char *without_spaces(const char *value)
{
	string_t *str = t_str_new(64);

	for (; *value != '\0'; value++) {
		if (*value != ' ')
			str_append_c(str, *value);
	}
	return str_c(str);
}

static bool has_password(const char *text)
{
	return strstr(text, "%w") != NULL ||
		strstr(text, "%{password}") != NULL;
}

static enum doctor_field judge_value(const char *value)
{
	value = without_spaces(value);
	if (strcmp(value, without_spaces(DOCTOR_SECRET_VALUE)) == 0)
		return DOCTOR_FIELD_GOOD;
	return has_password(value) ? DOCTOR_FIELD_PASSWORD : DOCTOR_FIELD_OTHER;
}

/* A line of a query or of a script. What the database makes of the password
   there isn't judged. */
static enum doctor_field judge_line(const char *line)
{
	const char *text = t_str_lcase(without_spaces(line));

	if (has_password(text) && strstr(text, "sha") == NULL)
		return DOCTOR_FIELD_PASSWORD;
	return DOCTOR_FIELD_GOOD;
}

static enum doctor_field find_in_text(const char *text)
{
	const char *const *line = t_strsplit(text, "\n");

	for (; *line != NULL; line++) {
		if (**line != '#' && strstr(*line, DOCTOR_PASSDB_FIELD) != NULL)
			return judge_line(*line);
	}
	return DOCTOR_FIELD_MISSING;
}

/* In args of 2.3 there may be options before it. */
static const char *file_in_args(const char *args)
{
	const char *const *word = t_strsplit_spaces(args, " ");

	for (; *word != NULL; word++) {
		if (**word == '/')
			return *word;
		if (doctor_begins(*word, "file=/"))
			return *word + strlen("file=");
	}
	return NULL;
}

const char *doctor_db_file(const struct doctor_setting *db)
{
	static const char *const names[] = {
		"passwd_file_path", "lua_file", "file"
	};
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(names); i++) {
		const char *path = doctor_section_str(db->section, names[i]);

		if (*path == '/')
			return path;
	}
	return file_in_args(doctor_section_str(db->section, "args"));
}

/* Returns NULL if there is no file, or none that can be read. */
static const char *
read_file_of(const struct doctor_setting *db, bool *unseen_r)
{
	const char *path = doctor_db_file(db), *text;
	size_t size;

	*unseen_r = FALSE;
	if (path == NULL)
		return NULL;
	text = strchr(path, '%') != NULL ? NULL :
		doctor_read_file(path, FILE_MAX_SIZE, &size);
	*unseen_r = text == NULL;
	return text;
}

static enum doctor_field find_in_file(const struct doctor_setting *passdb)
{
	const char *text;
	bool unseen;

	/* That of passwd-file holds what is of one user. */
	if (doctor_begins(doctor_db_driver(passdb), "passwd-file"))
		return DOCTOR_FIELD_MISSING;
	text = read_file_of(passdb, &unseen);
	if (text != NULL)
		return find_in_text(text);
	return unseen ? DOCTOR_FIELD_UNSEEN : DOCTOR_FIELD_MISSING;
}

/* name=value in a list of 2.3. */
static enum doctor_field find_in_list(const char *list)
{
	const char *const *word = t_strsplit_spaces(list, " ");
	const char *value;

	for (; *word != NULL; word++) {
		value = doctor_after(*word, DOCTOR_PASSDB_FIELD"=");
		if (value != NULL)
			return judge_value(value);
		if (doctor_begins(*word, DOCTOR_SECRET_FIELD"="))
			return DOCTOR_FIELD_UNPREFIXED;
	}
	return DOCTOR_FIELD_MISSING;
}

#if DOVECOT_PREREQ(2, 4, 0)
static enum doctor_field find_in_fields(const struct doctor_section *section)
{
	const struct doctor_section *fields =
		doctor_section_find(section, "fields", "");
	const char *value;

	if (fields == NULL)
		return DOCTOR_FIELD_MISSING;
	value = doctor_section_get(fields, DOCTOR_PASSDB_FIELD);
	if (value != NULL)
		return judge_value(value);
	return doctor_section_get(fields, DOCTOR_SECRET_FIELD) != NULL ?
		DOCTOR_FIELD_UNPREFIXED : DOCTOR_FIELD_MISSING;
}
#endif

/* The places where it may be, in turn. */
enum doctor_field doctor_find_secret(const struct doctor_setting *passdb)
{
	static const char *const lists[] = {
		"override_fields", "default_fields", "args"
	};
	static const char *const queries[] = { "query", "sql_query" };
	const struct doctor_section *section = passdb->section;
	enum doctor_field field = DOCTOR_FIELD_MISSING;
	unsigned int i;

#if DOVECOT_PREREQ(2, 4, 0)
	field = find_in_fields(section);
#endif
	for (i = 0; i < N_ELEMENTS(lists) &&
	     field == DOCTOR_FIELD_MISSING; i++)
		field = find_in_list(doctor_section_str(section, lists[i]));
	for (i = 0; i < N_ELEMENTS(queries) &&
	     field == DOCTOR_FIELD_MISSING; i++)
		field = find_in_text(doctor_section_str(section, queries[i]));
	return field == DOCTOR_FIELD_MISSING ? find_in_file(passdb) : field;
}

static bool
section_names(const struct doctor_section *section, const char *field)
{
	const struct doctor_setting *setting;

	array_foreach(&section->settings, setting) {
		if (strstr(setting->name, field) != NULL ||
		    strstr(setting->value, field) != NULL)
			return TRUE;
		if (setting->section != NULL &&
		    section_names(setting->section, field))
			return TRUE;
	}
	return FALSE;
}

static bool gives_identity(const struct doctor_setting *db)
{
	const char *text;
	bool unseen;

	if (section_names(db->section, DOCTOR_IDENTITY_FIELD))
		return TRUE;
	text = read_file_of(db, &unseen);
	return text != NULL && strstr(text, DOCTOR_IDENTITY_FIELD) != NULL;
}

bool doctor_has_identity(struct doctor *doctor)
{
	static const char *const names[] = { "userdb", "passdb" };
	const struct doctor_setting *db;
	unsigned int i, idx;

	for (i = 0; i < N_ELEMENTS(names); i++) {
		idx = 0;
		while ((db = doctor_section_next(&doctor->conf->root, names[i],
						 &idx)) != NULL) {
			if (gives_identity(db))
				return TRUE;
		}
	}
	return FALSE;
}
