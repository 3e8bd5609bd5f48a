/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DOCTOR_PRIVATE_H
#define DOCTOR_PRIVATE_H

#include "array.h"
#include "doctor/doctor.h"
#include "doctor-conf.h"

/* A check is a function in the table of doctor.c; it says what it found, at
   least one line, and never the value of a setting that may hold a secret. */

struct doctor {
	pool_t pool;
	/* NULL while there is none: checks of the configuration don't run. */
	const struct doctor_conf *conf;
	/* -m, or NULL */
	const char *module_dir;
	ARRAY_TYPE(doctor_finding) findings;
};

/* Names and lines that Dovecot 2.3 and 2.4 spell in their own way. */
#if DOVECOT_PREREQ(2, 4, 0)
#  define DOCTOR_SERIES "2.4"
#  define DOCTOR_SECRET_VALUE "%{password | sha256 | hexlify}"
#  define DOCTOR_ATTACHMENT_SETTING "mail_ext_attachment_path"
#  define DOCTOR_USER_VARIABLE "%{user}"
#else
#  define DOCTOR_SERIES "2.3"
#  define DOCTOR_SECRET_VALUE "%{sha256:password}"
#  define DOCTOR_ATTACHMENT_SETTING "mail_attachment_dir"
#  define DOCTOR_USER_VARIABLE "%u"
#endif

void doctor_say(struct doctor *doctor, enum doctor_level level,
		const char *check, const char *fmt, ...) ATTR_FORMAT(4, 5);
/* Lines for the finding that was said last, after those it has already. */
void doctor_paste(struct doctor *doctor, const char *fmt, ...)
	ATTR_FORMAT(2, 3);
/* The same of a setting of a plugin, in plugin { } on 2.3. */
void doctor_paste_plugin(struct doctor *doctor, const char *name,
			 const char *value);
/* A value to be shown: a long one is cut. */
const char *doctor_shown(const char *value);

/* Services that save or read mail and are in use, NULL at the end. */
const char *const *doctor_mail_services(struct doctor *doctor);
/* What follows the prefix, NULL if the text doesn't begin with it. */
const char *doctor_after(const char *text, const char *prefix);
static inline bool doctor_begins(const char *text, const char *prefix)
{
	return doctor_after(text, prefix) != NULL;
}
/* TRUE if the setting is a yes. */
bool doctor_is_yes(const char *value);
/* A size as Dovecot prints it: 256 M. UINT64_MAX is unlimited. Returns FALSE if
   it is none. */
bool doctor_parse_size(const char *value, uint64_t *size_r);
/* The process of a running Dovecot, 0 if there is none. */
unsigned int doctor_master_pid(struct doctor *doctor);
/* Whether something of swap would reach a disk in clear text. */
bool doctor_swap_is_clear(void);

/* Run a command, with nothing as its input, for some seconds at most, and
   append what it says. Returns its exit status, or -1 and error_r. */
int doctor_exec(const char *const argv[], string_t *output, string_t *errors,
		const char **error_r);
/* All of a file up to max_size bytes, NUL-terminated on the data stack. Returns
   NULL with errno set. */
const char *doctor_read_file(const char *path, size_t max_size,
			     size_t *size_r);

void doctor_check_modules(struct doctor *doctor);
void doctor_check_plugins(struct doctor *doctor);
void doctor_check_neighbours(struct doctor *doctor);
void doctor_check_auth(struct doctor *doctor);
void doctor_check_mechanisms(struct doctor *doctor);
void doctor_check_settings(struct doctor *doctor);
void doctor_check_storage(struct doctor *doctor);
void doctor_check_cache(struct doctor *doctor);
void doctor_check_temp_dir(struct doctor *doctor);
void doctor_check_memory(struct doctor *doctor);
void doctor_check_mlock(struct doctor *doctor);
void doctor_check_core(struct doctor *doctor);
void doctor_check_keyring(struct doctor *doctor);
void doctor_check_dict(struct doctor *doctor);
void doctor_check_log(struct doctor *doctor);
void doctor_check_rawlog(struct doctor *doctor);

#endif
