/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "str.h"
#include "strnum.h"
#include "doctor-private.h"

#include <ctype.h>
#include <fcntl.h>
#include <unistd.h>

/* What is longer makes a finding no clearer. */
#define SHOWN_MAX_CHARS 200
#define DEFAULT_BASE_DIR "/run/dovecot"

const char *doctor_shown(const char *value)
{
	if (strlen(value) <= SHOWN_MAX_CHARS)
		return value;
	return t_strconcat(t_strndup(value, SHOWN_MAX_CHARS), "...", NULL);
}

void doctor_paste_plugin(struct doctor *doctor, const char *name,
			 const char *value)
{
#if DOVECOT_PREREQ(2, 4, 0)
	doctor_paste(doctor, "%s = %s", name, value);
#else
	doctor_paste(doctor, "plugin {\n  %s = %s\n}", name, value);
#endif
}

/* Dovecot uses mail_plugins of these, if their protocol is on. */
static const struct {
	const char *service;
	bool always;
} mail_services[] = {
	{ "imap", FALSE },
	{ "pop3", FALSE },
	{ "lmtp", FALSE },
	{ "lda", TRUE },
	{ "doveadm", TRUE },
};

const char *const *doctor_mail_services(struct doctor *doctor)
{
	const char *const *protocols =
		doctor_conf_list(doctor->conf, NULL, "protocols");
	ARRAY_TYPE(const_string) services;
	unsigned int i;

	t_array_init(&services, N_ELEMENTS(mail_services) + 1);
	for (i = 0; i < N_ELEMENTS(mail_services); i++) {
		if (mail_services[i].always ||
		    str_array_find(protocols, mail_services[i].service))
			array_push_back(&services, &mail_services[i].service);
	}
	array_append_zero(&services);
	return array_front(&services);
}

const char *doctor_after(const char *text, const char *prefix)
{
	size_t size = strlen(prefix);

	return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

bool doctor_is_yes(const char *value)
{
	return strcasecmp(value, "yes") == 0 || strcasecmp(value, "y") == 0 ||
		strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0;
}

bool doctor_parse_size(const char *value, uint64_t *size_r)
{
	static const char units[] = "BKMGT";
	const char *unit, *found;

	if (strcmp(value, "unlimited") == 0) {
		*size_r = UINT64_MAX;
		return TRUE;
	}
	if (str_parse_uint64(value, size_r, &unit) < 0)
		return FALSE;
	unit += strspn(unit, " ");
	if (*unit == '\0')
		return TRUE;
	found = strchr(units, i_toupper(*unit));
	if (found == NULL)
		return FALSE;
	if (*size_r > UINT64_MAX >> (10 * (found - units)))
		return FALSE;
	*size_r <<= 10 * (found - units);
	return TRUE;
}

const char *doctor_read_file(const char *path, size_t max_size, size_t *size_r)
{
	string_t *text = t_str_new(4096);
	char buffer[4096];
	ssize_t ret = 0;
	int fd, saved_errno;

	/* A FIFO must not hang the doctor. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		return NULL;
	while (str_len(text) < max_size &&
	       (ret = read(fd, buffer, sizeof(buffer))) > 0)
		str_append_data(text, buffer, ret);
	saved_errno = errno;
	i_close_fd(&fd);
	errno = saved_errno;
	*size_r = str_len(text);
	return ret < 0 ? NULL : str_c(text);
}

unsigned int doctor_master_pid(struct doctor *doctor)
{
	const char *dir = doctor_conf_get(doctor->conf, NULL, "base_dir");
	const char *text;
	unsigned int pid;
	size_t size;

	text = doctor_read_file(t_strconcat(*dir == '\0' ? DEFAULT_BASE_DIR :
					    dir, "/master.pid", NULL),
				64, &size);
	if (text == NULL || str_to_uint(t_strcut(text, '\n'), &pid) < 0)
		return 0;
	/* It may be of one that was killed. */
	text = doctor_read_file(t_strdup_printf("/proc/%u/comm", pid), 64,
				&size);
	return text != NULL && doctor_begins(text, "dovecot") ? pid : 0;
}

/* A device-mapper device of dm-crypt's says so in its UUID. */
static bool is_encrypted(const char *device)
{
	const char *name, *uuid, *link;
	char target[PATH_MAX];
	ssize_t size;
	size_t uuid_size;

	size = readlink(device, target, sizeof(target) - 1);
	link = size < 0 ? device : t_strndup(target, size);
	name = strrchr(link, '/');
	name = name == NULL ? link : name + 1;
	uuid = doctor_read_file(t_strdup_printf("/sys/block/%s/dm/uuid", name),
				256, &uuid_size);
	return uuid != NULL && doctor_begins(uuid, "CRYPT-");
}

bool doctor_swap_is_clear(void)
{
	const char *text, *const *line;
	size_t size;

	text = doctor_read_file("/proc/swaps", 64 * 1024, &size);
	if (text == NULL)
		return FALSE;
	/* The first line is a heading. */
	for (line = t_strsplit(text, "\n") + 1; *line != NULL; line++) {
		const char *device = t_strcut(t_strcut(*line, ' '), '\t');

		if (*device != '\0' && strstr(device, "zram") == NULL &&
		    !is_encrypted(device))
			return TRUE;
	}
	return FALSE;
}
