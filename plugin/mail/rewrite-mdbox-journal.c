/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "istream.h"
#include "strnum.h"
#include "write-full.h"
#include "rewrite-mdbox-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/file.h>

struct journal_content {
	ARRAY_TYPE(const_string) temps;
	uint32_t first_id;
};

static char *
journal_path(struct mdbox_storage *storage, uint32_t file_id)
{
	return i_strdup_printf("%s/"REWRITE_TEMP_PREFIX"%u",
			       storage->storage_dir, file_id);
}

static bool lock_journal(const struct rewrite_temp *temp)
{
	struct stat st;

	if (flock(temp->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return FALSE;
	return fstat(temp->fd, &st) == 0 && st.st_nlink > 0;
}

int mdbox_journal_begin(struct rewrite_context *ctx,
			struct mdbox_storage *storage, uint32_t file_id,
			struct mdbox_journal *journal_r, const char **error_r)
{
	struct rewrite_temp *temp = &journal_r->temp;

	i_zero(journal_r);
	temp->path = journal_path(storage, file_id);
	temp->fd = open(temp->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
			0600);
	if (temp->fd != -1 && lock_journal(temp))
		return 1;
	if (temp->fd == -1 && errno != EEXIST) {
		*error_r = t_strdup_printf("open(%s) failed: %m", temp->path);
		if (errno == EROFS || errno == EACCES)
			ctx->fatal = i_strdup(*error_r);
		i_free(temp->path);
		return -1;
	}
	i_free(temp->path);
	i_close_fd(&temp->fd);
	return 0;
}

static int
journal_add(struct mdbox_journal *journal, const char *line,
	    const char **error_r)
{
	if (write_full(journal->temp.fd, line, strlen(line)) == 0)
		return 0;
	*error_r = t_strdup_printf("write(%s) failed: %m", journal->temp.path);
	return -1;
}

int mdbox_journal_add_temp(struct mdbox_journal *journal, const char *path,
			   const char **error_r)
{
	journal->new_count++;
	return journal_add(journal, t_strdup_printf("temp %s\n",
		strrchr(path, '/') + 1), error_r);
}

int mdbox_journal_add_new(struct mdbox_journal *journal, uint32_t first_id,
			  const char **error_r)
{
	if (journal_add(journal, t_strdup_printf("new %u\n", first_id),
			error_r) < 0)
		return -1;
	if (fdatasync(journal->temp.fd) < 0) {
		*error_r = t_strdup_printf("fdatasync(%s) failed: %m",
					   journal->temp.path);
		return -1;
	}
	return rewrite_sync_dir(t_strdup_until(journal->temp.path,
			strrchr(journal->temp.path, '/')), error_r);
}

void mdbox_journal_end(struct mdbox_journal *journal)
{
	rewrite_temp_discard(&journal->temp);
}

uint32_t mdbox_highest_file_id(struct mdbox_map_atomic_context *atomic)
{
	struct mdbox_map_mail_index_header header;
	const void *data;
	size_t size;

	i_zero(&header);
	mail_index_get_header_ext(atomic->sync_view, atomic->map->map_ext_id,
				  &data, &size);
	if (size > 0)
		memcpy(&header, data, I_MIN(size, sizeof(header)));
	return header.highest_file_id;
}

static void read_journal(int fd, struct journal_content *content_r)
{
	struct istream *input = i_stream_create_fd(fd, IO_BLOCK_SIZE);
	const char *line;

	i_zero(content_r);
	t_array_init(&content_r->temps, 4);
	/* A line that was cut short isn't returned. */
	while ((line = i_stream_read_next_line(input)) != NULL) {
		if (strncmp(line, "temp ", 5) == 0 &&
		    strchr(line, '/') == NULL) {
			line = t_strdup(line + 5);
			array_push_back(&content_r->temps, &line);
		} else if (strncmp(line, "new ", 4) == 0 &&
			   str_to_uint32(line + 4, &content_r->first_id) < 0) {
			content_r->first_id = 0;
		}
	}
	i_stream_unref(&input);
}

static bool
map_has_file(struct mdbox_map_atomic_context *atomic, uint32_t file_id)
{
	struct dbox_mail_lookup_rec rec;
	uint32_t seq, count;

	count = mail_index_view_get_messages_count(atomic->sync_view);
	for (seq = 1; seq <= count; seq++) {
		if (mdbox_map_view_lookup_rec(atomic->map, atomic->sync_view,
					      seq, &rec) < 0 ||
		    rec.rec.file_id == file_id)
			return TRUE;
	}
	return FALSE;
}

static void
remove_file(struct mdbox_storage *storage, const char *name)
{
	i_unlink_if_exists(t_strdup_printf("%s/%s", storage->storage_dir,
					   name));
	if (storage->alt_storage_dir != NULL) {
		i_unlink_if_exists(t_strdup_printf("%s/%s",
			storage->alt_storage_dir, name));
	}
}

static void
remove_id(struct mdbox_storage *storage,
	  struct mdbox_map_atomic_context *atomic, uint32_t file_id)
{
	if (!map_has_file(atomic, file_id)) {
		remove_file(storage, t_strdup_printf(MDBOX_MAIL_FILE_FORMAT,
						     file_id));
	}
}

/* The map is locked: no file can be given a number now. */
static void
recover(struct mdbox_storage *storage, struct mdbox_map_atomic_context *atomic,
	uint32_t file_id, const struct journal_content *content)
{
	const char *name;
	unsigned int i;

	array_foreach_elem(&content->temps, name)
		remove_file(storage, name);
	if (content->first_id == 0)
		return;
	if (mdbox_highest_file_id(atomic) >= content->first_id) {
		remove_id(storage, atomic, file_id);
		return;
	}
	for (i = 0; i < array_count(&content->temps); i++)
		remove_id(storage, atomic, content->first_id + i);
}

static void
recover_file(struct rewrite_context *ctx, struct mdbox_storage *storage,
	     struct mdbox_map_atomic_context *atomic, uint32_t file_id)
{
	struct journal_content content;
	struct mdbox_journal journal;

	i_zero(&journal);
	journal.temp.path = journal_path(storage, file_id);
	journal.temp.fd = open(journal.temp.path, O_RDWR | O_CLOEXEC);
	if (journal.temp.fd == -1 || !lock_journal(&journal.temp)) {
		i_free(journal.temp.path);
		i_close_fd(&journal.temp.fd);
		return;
	}
	e_debug(ctx->box->event, "mail_seal: Recovering from %s",
		journal.temp.path);
	read_journal(journal.temp.fd, &content);
	recover(storage, atomic, file_id, &content);
	mdbox_journal_end(&journal);
}

static void
find_journals(const char *dir, ARRAY_TYPE(seq_range) *file_ids)
{
	const size_t prefix_size = strlen(REWRITE_TEMP_PREFIX);
	struct dirent *d;
	uint32_t file_id;
	DIR *dirp = opendir(dir);

	if (dirp == NULL)
		return;
	while ((d = readdir(dirp)) != NULL) {
		if (strncmp(d->d_name, REWRITE_TEMP_PREFIX, prefix_size) == 0 &&
		    str_to_uint32(d->d_name + prefix_size, &file_id) == 0)
			seq_range_array_add(file_ids, file_id);
	}
	(void)closedir(dirp);
}

void mdbox_journal_recover(struct rewrite_context *ctx,
			   struct mdbox_storage *storage)
{
	struct mdbox_map_atomic_context *atomic;
	ARRAY_TYPE(seq_range) file_ids;
	struct seq_range_iter iter;
	unsigned int i = 0;
	uint32_t file_id;

	t_array_init(&file_ids, 4);
	find_journals(storage->storage_dir, &file_ids);
	if (array_count(&file_ids) == 0)
		return;
	atomic = mdbox_map_atomic_begin(storage->map);
	if (mdbox_map_atomic_lock(atomic, "mail_seal: recovery") == 0) {
		seq_range_array_iter_init(&iter, &file_ids);
		while (seq_range_array_iter_nth(&iter, i++, &file_id)) T_BEGIN {
			recover_file(ctx, storage, atomic, file_id);
		} T_END;
	}
	(void)mdbox_map_atomic_finish(&atomic);
}
