/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "export.h"

#include <ctype.h>
#include <dirent.h>
#include <sys/stat.h>

/* Which format it is, told by the folders that Dovecot makes. */

#define MAP_PREFIX "dovecot.map.index"

static bool is_dir(const char *source, const char *name)
{
	struct stat st;

	return stat(t_strdup_printf("%s/%s", source, name), &st) == 0 &&
		S_ISDIR(st.st_mode);
}

/* A folder of a Maildir may be called "storage" too. */
static bool is_mdbox(const char *source)
{
	struct dirent *entry;
	bool found = FALSE;
	DIR *dir;

	dir = opendir(t_strdup_printf("%s/storage", source));
	if (dir == NULL)
		return FALSE;
	while (!found && (entry = readdir(dir)) != NULL) {
		found = strncmp(entry->d_name, MAP_PREFIX,
				strlen(MAP_PREFIX)) == 0 ||
			(entry->d_name[0] == 'm' && entry->d_name[1] == '.' &&
			 i_isdigit(entry->d_name[2]));
	}
	(void)closedir(dir);
	return found;
}

static bool is_maildir(const char *source)
{
	struct dirent *entry;
	bool found = is_dir(source, "cur") || is_dir(source, "new");
	DIR *dir;

	/* One that has no INBOX. */
	dir = found ? NULL : opendir(source);
	while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0) T_BEGIN {
			found = is_dir(source, t_strconcat(entry->d_name,
							   "/cur", NULL));
		} T_END;
	}
	if (dir != NULL)
		(void)closedir(dir);
	return found;
}

enum tool_exit export_store(struct export *export)
{
	const char *source = export->source;
	DIR *dir = opendir(source);

	if (dir == NULL)
		return tool_fail(TOOL_IO, source, "can't read it: %m");
	(void)closedir(dir);
	if (is_mdbox(source))
		return export_mdbox(export);
	if (is_maildir(source))
		return export_maildir(export);
	if (is_dir(source, "mailboxes"))
		return export_sdbox(export);
	return tool_fail(TOOL_USAGE, source, "there is neither a Maildir (cur) "
			 "nor an sdbox (mailboxes) nor an mdbox (storage)");
}
