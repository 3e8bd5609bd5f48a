/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DOCTOR_FIELDS_H
#define DOCTOR_FIELDS_H

/* What passdbs and userdbs hand on to the plugin, in their sections or in the
   files that these name. */

#define DOCTOR_SECRET_FIELD "mail_seal_password"
#define DOCTOR_PASSDB_FIELD "userdb_"DOCTOR_SECRET_FIELD
#define DOCTOR_IDENTITY_FIELD "mail_seal_identity"

/* What is known of the field that hands on the secret. */
enum doctor_field {
	DOCTOR_FIELD_MISSING,
	/* In a file that can't be looked at. */
	DOCTOR_FIELD_UNSEEN,
	DOCTOR_FIELD_GOOD,
	/* Another value, which may be right. */
	DOCTOR_FIELD_OTHER,
	/* The password itself. */
	DOCTOR_FIELD_PASSWORD,
	/* For the passdb and not for the userdb. */
	DOCTOR_FIELD_UNPREFIXED
};

/* "sql", say, which 2.4 has as the name of the section if nothing else. */
const char *doctor_db_driver(const struct doctor_setting *db);
/* The file with its queries or users, NULL if it names none. */
const char *doctor_db_file(const struct doctor_setting *db);
/* How a passdb hands on DOCTOR_PASSDB_FIELD. */
enum doctor_field doctor_find_secret(const struct doctor_setting *passdb);
/* TRUE if a userdb, or a passdb on its way, gives DOCTOR_IDENTITY_FIELD. */
bool doctor_has_identity(struct doctor *doctor);

#endif
