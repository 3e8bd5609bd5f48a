/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "doctor-private.h"

/* mail_plugins: who loads ours, and what else is loaded beside it. */

#define OURS "mail_seal"

/* They read mail for others, or would put what is sealed into an index as if it
   were text. */
static const struct {
	const char *service, *what;
} readers[] = {
	{ "indexer-worker", "search indexes are made of sealed bytes" },
	{ "imap-urlauth-worker", "URLAUTH shows sealed bytes" },
	{ "submission", "BURL sends sealed bytes" },
};

static bool loads(struct doctor *doctor, const char *service, const char *name)
{
	return str_array_find(doctor_conf_list(doctor->conf, service,
					       "mail_plugins"), name);
}

static void paste_for_all(struct doctor *doctor)
{
#if DOVECOT_PREREQ(2, 4, 0)
	doctor_paste(doctor, "mail_plugins {\n  mail_seal = yes\n}");
#else
	doctor_paste(doctor, "mail_plugins = $mail_plugins mail_seal");
#endif
}

static void paste_for_one(struct doctor *doctor, const char *service)
{
#if DOVECOT_PREREQ(2, 4, 0)
	doctor_paste(doctor, "protocol %s {\n  mail_plugins {\n"
		     "    mail_seal = yes\n  }\n}", service);
#else
	doctor_paste(doctor, "protocol %s {\n"
		     "  mail_plugins = $mail_plugins mail_seal\n}", service);
#endif
}

static bool is_own(struct doctor *doctor, const char *service)
{
	return doctor_conf_list_is_own(doctor->conf, service, "mail_plugins",
				       OURS);
}

static bool is_any_own(struct doctor *doctor, const char *const *services)
{
	for (; *services != NULL; services++) {
		if (is_own(doctor, *services))
			return TRUE;
	}
	return FALSE;
}

static void
say_nowhere(struct doctor *doctor, const char *const *services)
{
	doctor_say(doctor, DOCTOR_ERROR, "plugins",
		   "mail_seal is not in mail_plugins of %s: nothing is sealed. "
		   "Expected it in all of them",
		   t_strarray_join(services, " "));
	if (!is_any_own(doctor, services)) {
		paste_for_all(doctor);
		return;
	}
	/* What a block says of its own isn't changed by what comes later for
	   all: Dovecot 2.3 takes it for a conflict. */
	for (; *services != NULL; services++)
		paste_for_one(doctor, *services);
}

static void say_missing(struct doctor *doctor, const char *service)
{
	doctor_say(doctor, DOCTOR_ERROR, "plugins",
		   "mail_plugins of protocol %s lacks mail_seal: it would "
		   "store mail plain, and show sealed bytes. Expected it there "
		   "as for the others", service);
	paste_for_one(doctor, service);
}

static void check_readers(struct doctor *doctor)
{
	const char *const *protocols =
		doctor_conf_list(doctor->conf, NULL, "protocols");
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(readers); i++) {
		const char *service = readers[i].service;

		if (loads(doctor, service, OURS) ||
		    !is_own(doctor, service) ||
		    (strcmp(service, "submission") == 0 &&
		     !str_array_find(protocols, service)))
			continue;
		doctor_say(doctor, DOCTOR_WARNING, "plugins",
			   "mail_plugins of protocol %s lacks mail_seal: %s. "
			   "Expected it there as for the others",
			   service, readers[i].what);
		paste_for_one(doctor, service);
	}
}

void doctor_check_plugins(struct doctor *doctor)
{
	const char *const *services = doctor_mail_services(doctor);
	ARRAY_TYPE(const_string) missing;
	const char *service;
	unsigned int i;

	t_array_init(&missing, 8);
	for (i = 0; services[i] != NULL; i++) {
		if (!loads(doctor, services[i], OURS))
			array_push_back(&missing, &services[i]);
	}
	if (array_count(&missing) == i) {
		say_nowhere(doctor, services);
		return;
	}
	array_foreach_elem(&missing, service)
		say_missing(doctor, service);
	if (array_is_empty(&missing)) {
		doctor_say(doctor, DOCTOR_OK, "plugins",
			   "%s load mail_seal (the order in mail_plugins "
			   "doesn't matter, modules load by file name)",
			   t_strarray_join(services, " "));
	}
	check_readers(doctor);
}

/* Where plugin is to go, of all that load it. */
static const char *
where_loaded(struct doctor *doctor, const char *name)
{
	const char *const *services = doctor_mail_services(doctor);
	string_t *where = t_str_new(64);

	for (; *services != NULL; services++) {
		if (loads(doctor, *services, name))
			str_printfa(where, "%s%s", str_len(where) == 0 ? "" :
				    " ", *services);
	}
	return str_len(where) == 0 ? NULL : str_c(where);
}

/* mail_plugins without those of fts; ours is to be there in any case. */
static const char *list_without_fts(struct doctor *doctor, const char *service)
{
	const char *const *words = doctor_conf_list(doctor->conf, service,
						    "mail_plugins");
	string_t *list = t_str_new(64);

#if DOVECOT_PREREQ(2, 4, 0)
	str_append(list, "mail_plugins {\n");
	for (; *words != NULL; words++) {
		if (doctor_begins(*words, "fts"))
			str_printfa(list, "  %s = no\n", *words);
	}
	str_append_c(list, '}');
#else
	str_append(list, "mail_plugins =");
	for (; *words != NULL; words++) {
		if (!doctor_begins(*words, "fts") && strcmp(*words, OURS) != 0)
			str_printfa(list, " %s", *words);
	}
	str_append(list, " "OURS);
#endif
	return str_c(list);
}

static void paste_without_fts(struct doctor *doctor)
{
	const char *const *services = doctor_mail_services(doctor);

	if (!is_any_own(doctor, services)) {
		doctor_paste(doctor, "%s", list_without_fts(doctor, NULL));
		return;
	}
	for (; *services != NULL; services++) {
		if (loads(doctor, *services, "fts")) {
			doctor_paste(doctor, "protocol %s {\n%s\n}", *services,
				     list_without_fts(doctor, *services));
		}
	}
}

static void check_fts(struct doctor *doctor)
{
	const char *where = where_loaded(doctor, "fts");

	if (where == NULL)
		return;
	doctor_say(doctor, DOCTOR_WARNING, "neighbours",
		   "fts is in mail_plugins of %s: it writes the words of mail "
		   "into its index in clear text. Expected none", where);
	paste_without_fts(doctor);
}

#if DOVECOT_PREREQ(2, 4, 0)
#  define CRYPT_SETTING "crypt_write_algorithm"
#  define CRYPT_OFF ""
#else
#  define CRYPT_SETTING "mail_crypt_save_version"
#  define CRYPT_OFF "0"
#endif

static void check_mail_crypt(struct doctor *doctor)
{
	const char *where = where_loaded(doctor, "mail_crypt");
	const char *value = doctor_conf_get_plugin(doctor->conf, NULL,
						   CRYPT_SETTING);

	if (where == NULL || strcmp(value, CRYPT_OFF) == 0)
		return;
	doctor_say(doctor, DOCTOR_WARNING, "neighbours",
		   "mail_crypt is in mail_plugins of %s and encrypts what is "
		   "saved once more ("CRYPT_SETTING" = %s), so that its keys "
		   "are needed too. Expected that it only reads what it "
		   "encrypted before", where, value);
	doctor_paste_plugin(doctor, CRYPT_SETTING, CRYPT_OFF);
}

static void check_mail_log(struct doctor *doctor)
{
	const char *where = where_loaded(doctor, "mail_log");
	const char *fields = doctor_conf_get_plugin(doctor->conf, NULL,
						    "mail_log_fields");
	const char *const *words = t_strsplit_spaces(fields, " ,");

#if DOVECOT_PREREQ(2, 4, 0)
	words = doctor_conf_list(doctor->conf, NULL, "mail_log_fields");
#endif
	if (where == NULL ||
	    (words[0] != NULL && !str_array_icase_find(words, "msgid") &&
	     !str_array_icase_find(words, "from") &&
	     !str_array_icase_find(words, "subject")))
		return;
	doctor_say(doctor, DOCTOR_WARNING, "neighbours",
		   "mail_log is in mail_plugins of %s, and mail_log_fields%s: "
		   "the log shows what is sealed in the mail. Expected no "
		   "msgid, from or subject", where, words[0] == NULL ?
		   " isn't set, which means that msgid is there" :
		   t_strconcat(" = ", t_strarray_join(words, " "), NULL));
	doctor_paste_plugin(doctor, "mail_log_fields", "uid box size");
}

static void check_replication(struct doctor *doctor)
{
	const char *where = where_loaded(doctor, "replication");

	if (where != NULL) {
		doctor_say(doctor, DOCTOR_NOTE, "neighbours",
			   "replication is in mail_plugins of %s: it runs "
			   "doveadm for users who aren't logged in, which "
			   "needs mail_seal_identity from the userdb", where);
	}
}

static void check_hibernation(struct doctor *doctor)
{
	const char *timeout = doctor_conf_get(doctor->conf, "imap",
					      "imap_hibernate_timeout");

	if (*timeout != '\0' && strcmp(timeout, "0") != 0) {
		doctor_say(doctor, DOCTOR_NOTE, "neighbours",
			   "imap_hibernate_timeout = %s: imap-hibernate holds "
			   "the fields of the userdb, and so what opens the "
			   "keyring, while a client idles", timeout);
	}
}

void doctor_check_neighbours(struct doctor *doctor)
{
	unsigned int before = array_count(&doctor->findings);

	check_fts(doctor);
	check_mail_crypt(doctor);
	check_mail_log(doctor);
	check_replication(doctor);
	check_hibernation(doctor);
	if (array_count(&doctor->findings) == before) {
		doctor_say(doctor, DOCTOR_OK, "neighbours",
			   "no other plugin stores or logs what is in mail");
	}
}
