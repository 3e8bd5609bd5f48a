/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "doctor-private.h"

/* What Dovecot itself would write down of passwords and mail. */

#if DOVECOT_PREREQ(2, 4, 0)
#  define DELIVER_FORMAT "%{message}: size=%{size}"
static const char *const telling[] = {
	"%{msgid", "%{message_id", "%{subject", "%{from"
};
#else
#  define DELIVER_FORMAT "%$: size=%p"
static const char *const telling[] = {
	"%m", "%{msgid", "%s", "%{subject", "%f", "%{from", "%e"
};
#endif

static const char *find_telling(const char *format)
{
	unsigned int i;

	format = t_str_replace(format, ' ', '_');
	for (i = 0; i < N_ELEMENTS(telling); i++) {
		if (strstr(format, telling[i]) != NULL)
			return telling[i];
	}
	return NULL;
}

/* Returns FALSE if something was found; protocol may be NULL. */
static bool check_format(struct doctor *doctor, const char *protocol)
{
	const char *format = doctor_conf_get(doctor->conf, protocol,
					     "deliver_log_format");

	if (find_telling(format) == NULL)
		return TRUE;
	doctor_say(doctor, DOCTOR_WARNING, "log",
		   "deliver_log_format = %s logs the Message-ID, sender or "
		   "subject of what is delivered%s%s. Expected none of them",
		   doctor_shown(format),
		   protocol == NULL ? "" : " in protocol ",
		   protocol == NULL ? "" : protocol);
	if (protocol == NULL) {
		doctor_paste(doctor, "deliver_log_format = %s",
			     DELIVER_FORMAT);
	} else {
		doctor_paste(doctor, "protocol %s {\n  deliver_log_format = "
			     "%s\n}", protocol, DELIVER_FORMAT);
	}
	return FALSE;
}

static bool check_formats(struct doctor *doctor)
{
	static const char *const protocols[] = { "lmtp", "lda" };
	const char *all = doctor_conf_get(doctor->conf, NULL,
					  "deliver_log_format");
	bool ok = check_format(doctor, NULL);
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(protocols); i++) {
		if (strcmp(doctor_conf_get(doctor->conf, protocols[i],
					   "deliver_log_format"), all) != 0 &&
		    !check_format(doctor, protocols[i]))
			ok = FALSE;
	}
	return ok;
}

static bool check_password_log(struct doctor *doctor, const char *name)
{
	const char *value = doctor_conf_get(doctor->conf, NULL, name);

	if (*value == '\0' || strcmp(value, "no") == 0)
		return TRUE;
	doctor_say(doctor, DOCTOR_WARNING, "log", "%s = %s: passwords, or what "
		   "is made of them, come into the log. Expected no", name,
		   doctor_shown(value));
	doctor_paste(doctor, "%s = no", name);
	return FALSE;
}

void doctor_check_log(struct doctor *doctor)
{
	bool ok = check_formats(doctor);

	ok = check_password_log(doctor, "auth_debug_passwords") && ok;
	ok = check_password_log(doctor, "auth_verbose_passwords") && ok;
	if (ok) {
		doctor_say(doctor, DOCTOR_OK, "log",
			   "no passwords, Message-IDs or subjects");
	}
}

static bool is_rawlog(const struct doctor_setting *setting)
{
	size_t size = strlen(setting->name);

	return setting->section == NULL && *setting->value != '\0' &&
		size >= strlen("rawlog_dir") &&
		strcmp(setting->name + size - strlen("rawlog_dir"),
		       "rawlog_dir") == 0;
}

/* Returns FALSE if something was found. */
static bool
check_rawlogs(struct doctor *doctor, const struct doctor_section *section,
	      const char *protocol)
{
	const struct doctor_setting *setting;
	bool ok = TRUE;

	array_foreach(&section->settings, setting) {
		if (!is_rawlog(setting))
			continue;
		ok = FALSE;
		doctor_say(doctor, DOCTOR_WARNING, "rawlog",
			   "%s = %s: whatever clients and servers say is "
			   "written there in clear text, mail and passwords "
			   "too. Expected nothing", setting->name,
			   doctor_shown(setting->value));
		if (protocol == NULL)
			doctor_paste(doctor, "%s =", setting->name);
		else {
			doctor_paste(doctor, "protocol %s {\n  %s =\n}",
				     protocol, setting->name);
		}
	}
	return ok;
}

void doctor_check_rawlog(struct doctor *doctor)
{
	const struct doctor_section *root = &doctor->conf->root;
	const struct doctor_setting *block;
	bool ok = check_rawlogs(doctor, root, NULL);
	unsigned int idx = 0;

	while ((block = doctor_section_next(root, "protocol", &idx)) != NULL) {
		if (!check_rawlogs(doctor, block->section, block->value))
			ok = FALSE;
	}
	if (ok) {
		doctor_say(doctor, DOCTOR_OK, "rawlog",
			   "no raw logs of what clients and servers say");
	}
}
