/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "settings/mail-seal-settings.h"
#include "doctor-private.h"

/* mail_seal_*: are the values what the plugin takes, and what do they mean? */

#define CHECK "settings"

static void
get(struct doctor *doctor, const char *service, const char *name,
    const char **value)
{
	const char *text = doctor_conf_get_plugin(doctor->conf, service, name);

	if (*text != '\0')
		*value = text;
}

static void
get_texts(struct doctor *doctor, const char *service,
	  struct mail_seal_settings_text *text)
{
	get(doctor, service, "mail_seal_keyring", &text->keyring);
	get(doctor, service, "mail_seal_enroll", &text->enroll);
	get(doctor, service, "mail_seal_save", &text->save);
	get(doctor, service, "mail_seal_unenrolled", &text->unenrolled);
	get(doctor, service, "mail_seal_argon2_memory", &text->argon2_memory);
	get(doctor, service, "mail_seal_argon2_passes", &text->argon2_passes);
	get(doctor, service, "mail_seal_escrow_recipients",
	    &text->escrow_recipients);
	get(doctor, service, "mail_seal_unlock_fd", &text->unlock_fd);
}

static void
note_meanings(struct doctor *doctor, const struct mail_seal_settings *set)
{
	if (!set->save) {
		doctor_say(doctor, DOCTOR_NOTE, CHECK,
			   "mail_seal_save = no: new mail is stored plain");
	}
	if (set->unenrolled == MAIL_SEAL_UNENROLLED_PLAINTEXT) {
		doctor_say(doctor, DOCTOR_NOTE, CHECK,
			   "mail_seal_unenrolled = plaintext: mail for users "
			   "without a keyring is stored plain until they log "
			   "in");
	}
	if (!set->enroll) {
		doctor_say(doctor, DOCTOR_NOTE, CHECK,
			   "mail_seal_enroll = no: users need a keyring by "
			   "doveadm seal enroll before they can read and get "
			   "mail");
	}
	if (set->unlock_fd != -1) {
		doctor_say(doctor, DOCTOR_WARNING, CHECK,
			   "mail_seal_unlock_fd stands in the configuration: "
			   "it is for doveadm -o alone. Expected nothing");
		doctor_paste_plugin(doctor, "mail_seal_unlock_fd", "");
	}
}

/* The default mends whatever it is. */
static void paste_default(struct doctor *doctor, const char *error)
{
	static const struct mail_seal_settings_text defaults =
		MAIL_SEAL_SETTINGS_DEFAULTS;
	const struct {
		const char *name, *value;
	} names[] = {
		{ "mail_seal_keyring", defaults.keyring },
		{ "mail_seal_enroll", defaults.enroll },
		{ "mail_seal_save", defaults.save },
		{ "mail_seal_unenrolled", defaults.unenrolled },
		{ "mail_seal_argon2_memory", defaults.argon2_memory },
		{ "mail_seal_argon2_passes", defaults.argon2_passes },
	};
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(names); i++) {
		if (doctor_begins(error, names[i].name))
			doctor_paste_plugin(doctor, names[i].name,
					    names[i].value);
	}
}

/* TRUE if the protocol has other values than all have. */
static bool
differs(const struct mail_seal_settings_text *a,
	const struct mail_seal_settings_text *b)
{
	return memcmp(a, b, sizeof(*a)) != 0;
}

static bool
check_texts(struct doctor *doctor, const char *service,
	    const struct mail_seal_settings_text *text)
{
	struct mail_seal_settings set;
	const char *error;

	if (mail_seal_settings_parse(text, &set, &error) == 0) {
		note_meanings(doctor, &set);
		return TRUE;
	}
	doctor_say(doctor, DOCTOR_ERROR, CHECK, "%s%s%s",
		   service == NULL ? "" : service, service == NULL ? "" : ": ",
		   doctor_shown(error));
	if (service == NULL)
		paste_default(doctor, error);
	return FALSE;
}

void doctor_check_settings(struct doctor *doctor)
{
	const struct mail_seal_settings_text defaults =
		MAIL_SEAL_SETTINGS_DEFAULTS;
	struct mail_seal_settings_text all = defaults, own;
	const char *const *services = doctor_mail_services(doctor);
	bool ok;

	get_texts(doctor, NULL, &all);
	ok = check_texts(doctor, NULL, &all);
	for (; *services != NULL; services++) {
		own = defaults;
		get_texts(doctor, *services, &own);
		if (differs(&all, &own) &&
		    !check_texts(doctor, *services, &own))
			ok = FALSE;
	}
	if (ok) {
		doctor_say(doctor, DOCTOR_OK, CHECK,
			   "the plugin takes the values of mail_seal_*");
	}
}
