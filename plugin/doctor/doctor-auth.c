/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "doctor-private.h"
#include "doctor-fields.h"

/* Does each passdb hand on the SHA-256 of the password, or does a userdb give
   the identity itself? */

#define CHECK "passdb"

#if DOVECOT_PREREQ(2, 4, 0)
#  define MECHANISMS_SETTING "mechanisms_filter"
#else
#  define MECHANISMS_SETTING "mechanisms"
#endif

static bool is_master_or_deny(const struct doctor_section *section)
{
	return doctor_is_yes(doctor_section_str(section, "master")) ||
		doctor_is_yes(doctor_section_str(section, "deny"));
}

#if DOVECOT_PREREQ(2, 4, 0)
static void
paste_field(struct doctor *doctor, const struct doctor_setting *passdb)
{
	doctor_paste(doctor, "passdb %s {\n  fields {\n    "DOCTOR_PASSDB_FIELD
		     " = %s\n  }\n}", passdb->value, DOCTOR_SECRET_VALUE);
}
#else
static void
paste_field(struct doctor *doctor, const struct doctor_setting *passdb)
{
	const char *const *word = t_strsplit_spaces(
		doctor_section_str(passdb->section, "override_fields"), " ");
	string_t *kept = t_str_new(64);

	for (; *word != NULL; word++) {
		/* Values may be secrets. */
		if (strstr(*word, DOCTOR_SECRET_FIELD"=") == NULL &&
		    strchr(*word, '=') != NULL)
			str_printfa(kept, "%s=... ", t_strcut(*word, '='));
	}
	doctor_paste(doctor, "  override_fields = %s"DOCTOR_PASSDB_FIELD"=%s",
		     str_c(kept), DOCTOR_SECRET_VALUE);
}
#endif

static const char *const where_to =
#if DOVECOT_PREREQ(2, 4, 0)
	"Paste:";
#else
	"Into that passdb { }:";
#endif

/* "passdb 1 (sql)" */
static const char *
name_of(const struct doctor_setting *passdb, unsigned int number)
{
	return t_strdup_printf("passdb %u (%s)", number,
			       doctor_db_driver(passdb));
}

static void
say_missing(struct doctor *doctor, const struct doctor_setting *passdb,
	    const char *name)
{
	doctor_say(doctor, DOCTOR_ERROR, CHECK,
		   "%s doesn't hand on the SHA-256 of the password, so that "
		   "its users can't read or get sealed mail. Expected "
		   DOCTOR_PASSDB_FIELD". %s", name, where_to);
	paste_field(doctor, passdb);
}

static void
say_unseen(struct doctor *doctor, const struct doctor_setting *passdb,
	   const char *name)
{
	doctor_say(doctor, DOCTOR_WARNING, CHECK,
		   "%s may hand on "DOCTOR_PASSDB_FIELD" by %s, which can't be "
		   "read. Look whether it does, with the SHA-256 of the "
		   "password as 64 hex digits in lower case; if not: %s",
		   name, doctor_db_file(passdb), where_to);
	paste_field(doctor, passdb);
}

static const char *what_is_wrong(enum doctor_field field)
{
	switch (field) {
	case DOCTOR_FIELD_PASSWORD:
		return DOCTOR_PASSDB_FIELD" is the password itself, which "
			"Dovecot may log or change on the way";
	case DOCTOR_FIELD_UNPREFIXED:
		return DOCTOR_SECRET_FIELD" lacks userdb_ before its name and "
			"gets lost";
	default:
		return DOCTOR_PASSDB_FIELD" has another value than "
			DOCTOR_SECRET_VALUE" and opens only what was sealed by "
			"the same";
	}
}

static void
say_value(struct doctor *doctor, const struct doctor_setting *passdb,
	  const char *name, enum doctor_field field)
{
	doctor_say(doctor, field == DOCTOR_FIELD_OTHER ? DOCTOR_WARNING :
		   DOCTOR_ERROR, CHECK, "%s: %s. Expected "DOCTOR_PASSDB_FIELD
		   " with the SHA-256 of the password. %s", name,
		   what_is_wrong(field), where_to);
	paste_field(doctor, passdb);
}

static void
check_passdb(struct doctor *doctor, const struct doctor_setting *passdb,
	     const char *name, bool identity)
{
	enum doctor_field field = doctor_find_secret(passdb);

	if (field == DOCTOR_FIELD_GOOD) {
		doctor_say(doctor, DOCTOR_OK, CHECK,
			   "%s hands on the SHA-256 of the password", name);
	} else if (identity && field <= DOCTOR_FIELD_UNSEEN) {
		doctor_say(doctor, DOCTOR_OK, CHECK,
			   "%s: a userdb gives "DOCTOR_IDENTITY_FIELD, name);
	} else if (field == DOCTOR_FIELD_MISSING) {
		say_missing(doctor, passdb, name);
	} else if (field == DOCTOR_FIELD_UNSEEN) {
		say_unseen(doctor, passdb, name);
	} else {
		say_value(doctor, passdb, name, field);
	}
}

/* Those with which Dovecot sees the password. */
static bool mechanism_has_password(const char *name)
{
	return strcasecmp(name, "plain") == 0 ||
		strcasecmp(name, "login") == 0;
}

/* TRUE for a passdb of tokens and certificates. */
static bool is_without_password(const struct doctor_setting *passdb)
{
	const char *const *names = t_strsplit_spaces(doctor_section_str(
		passdb->section, MECHANISMS_SETTING), " ,");

	if (doctor_begins(doctor_db_driver(passdb), "oauth2"))
		return TRUE;
	if (*names == NULL)
		return FALSE;
	for (; *names != NULL; names++) {
		if (mechanism_has_password(*names))
			return FALSE;
	}
	return TRUE;
}

static void note_without(struct doctor *doctor, const char *what)
{
	doctor_say(doctor, DOCTOR_NOTE, CHECK, "%s: Dovecot doesn't see the "
		   "password, so that these sessions are locked unless the "
		   "userdb gives "DOCTOR_IDENTITY_FIELD, what);
}

void doctor_check_auth(struct doctor *doctor)
{
	const struct doctor_setting *passdb;
	unsigned int idx = 0, number = 0;
	bool identity = doctor_has_identity(doctor);

	while ((passdb = doctor_section_next(&doctor->conf->root, "passdb",
					     &idx)) != NULL) {
		const char *name = name_of(passdb, ++number);

		if (is_master_or_deny(passdb->section))
			continue;
		if (!is_without_password(passdb))
			check_passdb(doctor, passdb, name, identity);
		else if (!identity)
			note_without(doctor, name);
	}
	if (number == 0) {
		doctor_say(doctor, DOCTOR_ERROR, CHECK, "there is no passdb: "
			   "expected one that hands on "DOCTOR_PASSDB_FIELD
			   ", see mail_seal(7)");
	}
}

void doctor_check_mechanisms(struct doctor *doctor)
{
	const char *const *names =
		doctor_conf_list(doctor->conf, NULL, "auth_mechanisms");
	string_t *without = t_str_new(64);

	for (; *names != NULL; names++) {
		if (!mechanism_has_password(*names))
			str_printfa(without, " %s", *names);
	}
	if (str_len(without) > 0 && !doctor_has_identity(doctor)) {
		note_without(doctor, t_strconcat("auth_mechanisms has",
						 str_c(without), NULL));
	}
}
