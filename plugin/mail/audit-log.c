/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "ioloop.h"
#include "master-service-private.h"
#include "master-service-settings.h"
#include "str.h"
#include "time-util.h"
#include "syslog-util.h"
#include "write-full.h"
#include "mail-user.h"
#include "mail/mail-seal-user.h"
#include "audit-log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/* doveadm at the command line logs to the terminal. What it does to keys has to
   be in Dovecot's log as well. */

#define TERMINAL_FD 2

static struct {
	/* -1 if the log isn't a file, or is the terminal. */
	int fd;
	char *path;
	/* Why it could not be opened, NULL if it could. */
	char *error;
	/* openlog() keeps the pointer. NULL if the log isn't syslog. */
	char *syslog_name;
} audit_log = { .fd = -1 };

static bool is_terminal(int fd)
{
	struct stat log, terminal;

	return fstat(fd, &log) == 0 && fstat(TERMINAL_FD, &terminal) == 0 &&
		log.st_dev == terminal.st_dev && log.st_ino == terminal.st_ino;
}

static void open_file(const char *path)
{
	audit_log.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
			    0600);
	if (audit_log.fd == -1)
		audit_log.error = i_strdup_printf("open(%s) failed: %m", path);
	else if (is_terminal(audit_log.fd))
		i_close_fd(&audit_log.fd);
	else
		audit_log.path = i_strdup(path);
}

static void
open_syslog(const struct master_service_settings *set)
{
	int facility;

	if (!syslog_facility_find(set->syslog_facility, &facility))
		facility = LOG_MAIL;
	audit_log.syslog_name = i_strdup(set->instance_name);
	openlog(audit_log.syslog_name, LOG_NDELAY, facility);
}

static const struct master_service_settings *get_settings(void)
{
#if DOVECOT_PREREQ(2, 4, 0)
	return master_service_get_service_settings(master_service);
#else
	return master_service_settings_get(master_service);
#endif
}

void mail_seal_user_audit_init(void)
{
	const struct master_service_settings *set = get_settings();
	const char *path = *set->info_log_path != '\0' ? set->info_log_path :
		set->log_path;

	if ((master_service->flags & MASTER_SERVICE_FLAG_STANDALONE) == 0)
		return;
	if (*path == '\0' || strcmp(path, "syslog") == 0)
		open_syslog(set);
	else
		open_file(path);
}

void mail_seal_user_audit_deinit(void)
{
	i_close_fd(&audit_log.fd);
	i_free(audit_log.path);
	i_free(audit_log.error);
	if (audit_log.syslog_name != NULL)
		closelog();
	i_free(audit_log.syslog_name);
}

static void write_line(struct mail_user *user, const char *text)
{
	string_t *line = t_str_new(256);

	/* log_timestamp as it is by default */
	str_append(line, t_strflocaltime("%b %d %H:%M:%S ", ioloop_time));
	str_printfa(line, "%s(%s): Info: %s\n", user->service, user->username,
		    text);
	if (write_full(audit_log.fd, str_data(line), str_len(line)) < 0) {
		e_error(user->event, "mail_seal: write(%s) failed: %m: a "
			"change of the keyring is not in the log",
			audit_log.path);
	}
}

bool audit_log_is_open(void)
{
	return audit_log.syslog_name != NULL || audit_log.fd != -1;
}

void audit_log_write(struct mail_user *user, const char *text)
{
	if (audit_log.syslog_name != NULL)
		syslog(LOG_INFO, "%s(%s): Info: %s", user->service,
		       user->username, text);
	else if (audit_log.fd != -1)
		write_line(user, text);
	else if (audit_log.error != NULL) {
		e_warning(user->event, "mail_seal: the line above is not in "
			  "Dovecot's log: %s", audit_log.error);
	}
}
