/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "strnum.h"
#include "age/argon2id.h"
#include "doctor-private.h"

/* Limits of processes: memory for Argon2id, locked memory for the keys, and
   whether they leave core files. */

/* A process of imap has 30 MB of address space with our plugin and without
   Argon2id; large mailboxes and other plugins take their part. */
#define PROCESS_MEMORY (64 * MIB)
/* Each secret has pages of its own: 12 KB for an open session, and what is in a
   keyring while it is opened. */
#define SESSION_LOCKED ((uint64_t)64 * 1024)
#define MIB ((uint64_t)1024 * 1024)

static const struct doctor_section *
find_service(struct doctor *doctor, const char *name)
{
	return doctor_section_find(&doctor->conf->root, "service", name);
}

static const char *
service_get(struct doctor *doctor, const char *service, const char *name)
{
	const struct doctor_section *section = find_service(doctor, service);
	const char *value = section == NULL ? NULL :
		doctor_section_get(section, name);

	return value == NULL ? "" : value;
}

/* What isn't set is the default for all: 2.3 prints its largest number. */
static uint64_t vsz_limit(struct doctor *doctor, const char *service)
{
	const char *value = service_get(doctor, service, "vsz_limit");
	uint64_t size;

	if (*value == '\0' || doctor_begins(value, "18446744073709551615"))
		value = doctor_conf_get(doctor->conf, NULL,
					"default_vsz_limit");
	if (!doctor_parse_size(value, &size) || size == 0)
		return UINT64_MAX;
	return size;
}

static uint64_t argon2_memory(struct doctor *doctor)
{
	const char *value = doctor_conf_get_plugin(doctor->conf, NULL,
						   "mail_seal_argon2_memory");
	uint64_t size;

	if (!doctor_parse_size(value, &size))
		size = 64 * MIB;
	return I_MIN(size, (uint64_t)AGE_ARGON2ID_MAX_MEMORY_KIB * 1024);
}

/* Returns FALSE if something was found. */
static bool check_vsz(struct doctor *doctor, const char *service)
{
	uint64_t limit = vsz_limit(doctor, service);
	uint64_t argon2 = argon2_memory(doctor);

	if (limit >= argon2 + PROCESS_MEMORY)
		return TRUE;
	doctor_say(doctor, DOCTOR_ERROR, "memory",
		   "service %s may have %"PRIu64" MB (vsz_limit), and opening "
		   "a keyring takes %"PRIu64" MB (mail_seal_argon2_memory) "
		   "beside the process itself: logins would fail. Expected "
		   "at least", service, limit / MIB, argon2 / MIB);
	doctor_paste(doctor, "service %s {\n  vsz_limit = %"PRIu64"M\n}",
		     service, (argon2 + PROCESS_MEMORY) / MIB);
	return FALSE;
}

/* doveadm has a service, too, that does what other servers ask for. */
void doctor_check_memory(struct doctor *doctor)
{
	static const char *const services[] = { "imap", "pop3", "doveadm" };
	const char *const *used = doctor_mail_services(doctor);
	bool ok = TRUE;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(services); i++) {
		if (str_array_find(used, services[i]) &&
		    !check_vsz(doctor, services[i]))
			ok = FALSE;
	}
	if (ok) {
		doctor_say(doctor, DOCTOR_OK, "memory",
			   "%"PRIu64" MB for opening a keyring fit into "
			   "vsz_limit (keyrings that were made with more need "
			   "more)", argon2_memory(doctor) / MIB);
	}
}

/* The soft limit of a running process, as text; NULL if it isn't known. */
static const char *process_limit(unsigned int pid, const char *name)
{
	const char *text, *line;
	size_t size;

	text = doctor_read_file(t_strdup_printf("/proc/%u/limits", pid),
				64 * 1024, &size);
	line = text == NULL ? NULL : strstr(text, name);
	if (line == NULL)
		return NULL;
	line += strlen(name);
	line += strspn(line, " ");
	return t_strdup_until(line, line + strcspn(line, " \n"));
}

static const char *unit_limit(const char *property)
{
	const char *argv[] = {
		"systemctl", "show", "dovecot", "--value", "-p", property, NULL
	};
	string_t *output = t_str_new(64), *errors = t_str_new(64);
	const char *error;

	if (doctor_exec(argv, output, errors, &error) != 0 ||
	    str_len(output) < 2)
		return NULL;
	return t_strcut(str_c(output), '\n');
}

/* Of Dovecot as it runs, or as systemd would start it. */
static const char *
dovecot_limit(struct doctor *doctor, const char *name, const char *property)
{
	unsigned int pid = doctor_master_pid(doctor);
	const char *limit = pid == 0 ? NULL : process_limit(pid, name);

	return limit != NULL ? limit : unit_limit(property);
}

/* How much the secrets of one process need, at most. */
static uint64_t locked_memory(struct doctor *doctor)
{
	const char *value = service_get(doctor, "imap", "client_limit");
	unsigned int clients;

	if (str_to_uint(value, &clients) < 0 || clients == 0)
		clients = 1;
	return (clients + 1) * SESSION_LOCKED;
}

static void
say_mlock(struct doctor *doctor, uint64_t limit, uint64_t needed)
{
	doctor_say(doctor, doctor_swap_is_clear() ? DOCTOR_WARNING :
		   DOCTOR_NOTE, "mlock", "Dovecot may lock %"PRIu64" KB of "
		   "memory in a process: keys that don't fit may come into "
		   "swap. Expected %"PRIu64" KB; with systemctl edit dovecot:",
		   limit / 1024, needed / 1024);
	doctor_paste(doctor, "[Service]\nLimitMEMLOCK=%"PRIu64, needed);
}

void doctor_check_mlock(struct doctor *doctor)
{
	const char *limit = dovecot_limit(doctor, "Max locked memory",
					  "LimitMEMLOCK");
	uint64_t needed = locked_memory(doctor), size = UINT64_MAX;

	if (limit == NULL) {
		doctor_say(doctor, DOCTOR_NOTE, "mlock",
			   "Dovecot doesn't run and there is no systemd unit: "
			   "how much memory it may lock isn't known. Expected "
			   "%"PRIu64" KB (ulimit -l)", needed / 1024);
		return;
	}
	if (str_to_uint64(limit, &size) == 0 && size < needed) {
		say_mlock(doctor, size, needed);
		return;
	}
	doctor_say(doctor, DOCTOR_OK, "mlock", "Dovecot may lock enough "
		   "memory to keep keys out of swap");
}

/* Processes that change their user leave core files if the kernel may. */
void doctor_check_core(struct doctor *doctor)
{
	const char *dumpable, *limit;
	size_t size;

	dumpable = doctor_read_file("/proc/sys/fs/suid_dumpable", 16, &size);
	limit = dovecot_limit(doctor, "Max core file size", "LimitCORE");
	if (dumpable == NULL || *dumpable == '0' ||
	    (limit != NULL && strcmp(limit, "0") == 0)) {
		doctor_say(doctor, DOCTOR_OK, "core",
			   "mail processes leave no core files");
		return;
	}
	doctor_say(doctor, DOCTOR_NOTE, "core",
		   "mail processes may leave core files (fs.suid_dumpable = "
		   "%s): keys are left out of them, mail that is open isn't. "
		   "Expected none; with systemctl edit dovecot:",
		   t_strcut(dumpable, '\n'));
	doctor_paste(doctor, "[Service]\nLimitCORE=0");
}
