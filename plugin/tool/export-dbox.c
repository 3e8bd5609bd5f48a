/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "istream.h"
#include "str.h"
#include "export-dbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAILBOXES_DIR "mailboxes"
#define MESSAGES_DIR "dbox-Mails"
#define ALT_DIR "dbox-alt-root"
#define INDEX_PREFIX "dovecot.index"
/* Symbolic links may lead back. */
#define MAX_DEPTH 64

/* As Dovecot names a folder of Maildir++, with its plugin listescape: "." parts
   the levels, and one within a name is written in hex. */
static const char *folder_of(const char *mailbox)
{
	string_t *folder = t_str_new(64);

	if (strcmp(mailbox, "INBOX") == 0)
		return "";
	str_append_c(folder, '.');
	for (; *mailbox != '\0'; mailbox++) {
		if (*mailbox == '/')
			str_append_c(folder, '.');
		else if (*mailbox == '.')
			str_append(folder, "\\2e");
		else
			str_append_c(folder, *mailbox);
	}
	return str_c(folder);
}

enum tool_exit export_dbox_begin(struct export *export, const char *mailbox)
{
	return export->target == NULL ? TOOL_DONE :
		export_target_begin(export->target, folder_of(mailbox));
}

static enum tool_exit
write_keywords(struct export *export, const char *path,
	       const struct export_index *index)
{
	const char *text = export_index_keywords(index);
	unsigned int lost = export_index_lost_keywords(index);

	if (lost > 0) {
		export_note(export, path, "%u of its keywords are left out: "
			    "a Maildir has room for 26", lost);
	}
	if (export->target == NULL || *text == '\0')
		return TOOL_DONE;
	return export_target_write(export->target, "dovecot-keywords",
				   text, strlen(text));
}

static enum tool_exit
write_uids(struct export *export, const struct export_dbox_mailbox *mailbox)
{
	uint32_t validity = export_index_uidvalidity(mailbox->index);
	uint32_t next_uid = export_index_next_uid(mailbox->index);
	string_t *text;
	enum tool_exit ret;

	if (export->target == NULL || validity == 0 || next_uid == 0)
		return TOOL_DONE;
	text = str_new(default_pool, str_len(mailbox->uids) + 64);
	str_printfa(text, "3 V%u N%u\n", validity, next_uid);
	str_append_str(text, mailbox->uids);
	ret = export_target_write(export->target, "dovecot-uidlist",
				  str_data(text), str_len(text));
	str_free(&text);
	return ret;
}

static enum tool_exit
export_mailbox(struct export *export, struct export_dbox_mailbox *mailbox,
	       export_dbox_mailbox_t *callback, void *context)
{
	const char *error = "it has no index ("INDEX_PREFIX"), without which "
		"nothing is known of flags";
	enum tool_exit ret = TOOL_DONE;

	if (export_index_open(mailbox->path, INDEX_PREFIX, &mailbox->index,
			      &error) <= 0)
		export_fail(export, mailbox->path, "%s", error);
	else {
		if (export_index_next_uid(mailbox->index) == 0) {
			export_fail(export, mailbox->path, "its index is "
				    "damaged: flags may be missing");
		}
		ret = write_keywords(export, mailbox->path, mailbox->index);
	}
	if (ret == TOOL_DONE)
		ret = callback(export, mailbox, context);
	if (mailbox->index != NULL) {
		if (ret == TOOL_DONE)
			ret = write_uids(export, mailbox);
		export_index_close(&mailbox->index);
	}
	return ret;
}

static enum tool_exit
export_dbox_mailbox(struct export *export, const char *name, const char *path,
		    export_dbox_mailbox_t *callback, void *context)
{
	struct export_dbox_mailbox mailbox = { .path = path };
	enum tool_exit ret;

	export->counts.folders++;
	ret = export_dbox_begin(export, name);
	if (ret != TOOL_DONE)
		return ret;
	mailbox.uids = str_new(default_pool, 1024);
	ret = export_mailbox(export, &mailbox, callback, context);
	str_free(&mailbox.uids);
	return ret;
}

struct walk {
	struct export *export;
	export_dbox_mailbox_t *callback;
	void *context;
};

static enum tool_exit
walk_below(const struct walk *walk, const char *mailbox, unsigned int depth);

static enum tool_exit
walk_entry(const struct walk *walk, const char *mailbox, const char *name,
	   unsigned int depth)
{
	const char *path;
	struct stat st;

	path = t_strdup_printf("%s/"MAILBOXES_DIR"%s%s/%s",
			       walk->export->source,
			       *mailbox == '\0' ? "" : "/", mailbox, name);
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return TOOL_DONE;
	if (strcmp(name, MESSAGES_DIR) != 0) {
		return walk_below(walk, *mailbox == '\0' ? name :
				  t_strdup_printf("%s/%s", mailbox, name),
				  depth + 1);
	}
	return *mailbox == '\0' ? TOOL_DONE :
		export_dbox_mailbox(walk->export, mailbox, path,
				    walk->callback, walk->context);
}

static enum tool_exit
walk_below(const struct walk *walk, const char *mailbox, unsigned int depth)
{
	const char *path = t_strdup_printf("%s/"MAILBOXES_DIR"/%s",
					   walk->export->source, mailbox);
	enum tool_exit ret = TOOL_DONE;
	struct dirent *entry;
	DIR *dir;

	dir = depth > MAX_DEPTH ? NULL : opendir(path);
	if (dir == NULL) {
		if (depth > MAX_DEPTH)
			errno = ELOOP;
		export_fail(walk->export, path, "can't read the folder: %m");
		return TOOL_DONE;
	}
	while (ret == TOOL_DONE && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		T_BEGIN {
			ret = walk_entry(walk, mailbox, entry->d_name, depth);
		} T_END;
	}
	(void)closedir(dir);
	return ret;
}

enum tool_exit
export_dbox_mailboxes(struct export *export, export_dbox_mailbox_t *callback,
		      void *context)
{
	struct walk walk = { export, callback, context };
	enum tool_exit ret;

	/* The root is a Maildir also where there is no INBOX. */
	ret = export_dbox_begin(export, "INBOX");
	if (ret == TOOL_DONE) {
		ret = export_control_file(export,
			t_strconcat(export->source, "/subscriptions", NULL),
			"subscriptions");
	}
	return ret != TOOL_DONE ? ret : walk_below(&walk, "", 0);
}

static const char *find_path(struct export *export, const char *path)
{
	const char *normal = t_strdup_printf("%s/%s", export->source, path);
	const char *alt = t_strdup_printf("%s/"ALT_DIR"/%s", export->source,
					  path);
	struct stat st;

	return stat(normal, &st) < 0 && errno == ENOENT &&
		stat(alt, &st) == 0 ? alt : normal;
}

int export_dbox_open(struct export *export, const char *path,
		     struct dbox_file *file_r)
{
	const char *found = find_path(export, path), *error;
	struct istream *input;
	struct stat st;

	if (export_open(export, AT_FDCWD, found, found, &input, &st) < 0)
		return -1;
	if (dbox_file_init(file_r, input, &error) < 0) {
		export_fail(export, found, "%s", error);
		i_stream_unref(&input);
		return -1;
	}
	file_r->mtime = st.st_mtime;
	return 0;
}

void export_dbox_close(struct dbox_file *file)
{
	i_stream_unref(&file->input);
}

enum tool_exit
export_dbox_message(struct export *export, struct dbox_file *file,
		    const struct dbox_message *message,
		    const struct export_dbox_place *place)
{
	struct export_message out = {
		.name = t_strdup_printf("%s at %"PRIuUOFF_T, place->path,
					place->offset),
		.date = message->received != 0 ? message->received :
			file->mtime,
		.frame_error = message->metadata_error,
	};
	struct istream *content;
	enum tool_exit ret;

	if (message->has_attachments) {
		export_fail(export, out.name, "parts of it are kept as "
			    "attachments in other files");
		return TOOL_DONE;
	}
	out.file = t_strdup_printf("%"PRIdTIME_T".M%06uP%u.%s%c2,%s",
		out.date, place->number[0], place->number[1],
		message->guid == NULL ? "mail-seal" : message->guid,
		EXPORT_FLAGS_SEPARATOR, place->flags);
	if (place->uids != NULL) {
		str_printfa(place->uids, "%u :%s\n", place->number[0],
			    t_strcut(out.file, EXPORT_FLAGS_SEPARATOR));
	}
	content = dbox_file_content(file, message);
	ret = export_message(export, &out, content, message->content_size);
	i_stream_unref(&content);
	return ret;
}

enum tool_exit
export_dbox_place(struct export *export, struct dbox_file *file,
		  const struct export_dbox_place *place)
{
	struct dbox_message message;
	const char *error;
	int ret;

	ret = dbox_file_read(file, place->offset, &message, &error);
	if (ret == 0)
		error = "it ends before this message";
	if (ret <= 0) {
		export_fail(export, t_strdup_printf("%s at %"PRIuUOFF_T,
			place->path, place->offset), "%s", error);
		return TOOL_DONE;
	}
	return export_dbox_message(export, file, &message, place);
}
