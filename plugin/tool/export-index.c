/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "mail-index.h"
#include "str.h"
#include "unlink-directory.h"
#include "write-full.h"
#include "export-index.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_KEYWORDS 26

struct export_index {
	/* Where the copy is. */
	char *dir;
	struct mail_index *index;
	/* NULL if the index isn't open. */
	struct mail_index_view *view;
};

static int copy_fd(int from, int to)
{
	unsigned char *buffer = t_malloc_no0(64 * 1024);
	ssize_t size;

	while ((size = read(from, buffer, 64 * 1024)) > 0) {
		if (write_full(to, buffer, size) < 0)
			return -1;
	}
	return size < 0 ? -1 : 0;
}

/* Returns 1; 0 if there is no such file; -1 and error_r. */
static int copy_file(const char *from, const char *to, const char **error_r)
{
	int from_fd, to_fd, ret;

	from_fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (from_fd == -1 && errno == ENOENT)
		return 0;
	if (from_fd == -1) {
		*error_r = t_strdup_printf("can't open %s: %m", from);
		return -1;
	}
	to_fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ret = to_fd == -1 ? -1 : copy_fd(from_fd, to_fd);
	if (to_fd != -1 && close(to_fd) < 0)
		ret = -1;
	if (ret < 0)
		*error_r = t_strdup_printf("can't copy %s to %s: %m", from, to);
	i_close_fd(&from_fd);
	return ret < 0 ? -1 : 1;
}

/* In this order the copies fit together also if Dovecot begins a new log
   meanwhile. Returns as copy_file() does. */
static int copy_index(const char *dir, const char *prefix, const char *to,
		      const char **error_r)
{
	static const char *const suffixes[] = { "", ".log", ".log.2" };
	bool found = FALSE;
	int ret;

	for (unsigned int i = 0; i < N_ELEMENTS(suffixes); i++) {
		const char *name = t_strconcat(prefix, suffixes[i], NULL);

		ret = copy_file(t_strdup_printf("%s/%s", dir, name),
				t_strdup_printf("%s/%s", to, name), error_r);
		if (ret < 0)
			return -1;
		if (ret > 0)
			found = TRUE;
	}
	return found ? 1 : 0;
}

static const char *index_error(struct mail_index *index)
{
#if DOVECOT_PREREQ(2, 4, 0)
	enum mail_index_error_code code;

	return mail_index_get_last_error(index, &code);
#else
	return mail_index_get_error_message(index);
#endif
}

static void
ignore_error(const struct failure_context *ctx ATTR_UNUSED,
	     const char *format ATTR_UNUSED, va_list args ATTR_UNUSED)
{
}

static int open_copy(struct export_index *index, const char *prefix,
		     const char **error_r)
{
	failure_callback_t *fatal_cb, *error_cb, *info_cb, *debug_cb;
	int ret;

	/* It would be logged besides, with the path of the copy. */
	i_get_failure_handlers(&fatal_cb, &error_cb, &info_cb, &debug_cb);
	i_set_error_handler(ignore_error);
	index->index = mail_index_alloc(NULL, index->dir, prefix);
	ret = mail_index_open(index->index,
			      MAIL_INDEX_OPEN_FLAG_NEVER_IN_MEMORY);
	if (ret > 0) {
		if (mail_index_refresh(index->index) < 0)
			ret = -1;
		index->view = mail_index_view_open(index->index);
	}
	if (ret < 0) {
		*error_r = t_strdup_printf("its index can't be read: %s",
					   index_error(index->index));
	}
	i_set_error_handler(error_cb);
	return ret;
}

int export_index_open(const char *dir, const char *prefix,
		      struct export_index **index_r, const char **error_r)
{
	const char *temp = getenv("TMPDIR");
	struct export_index *index;
	int ret;

	index = i_new(struct export_index, 1);
	index->dir = i_strconcat(temp == NULL || *temp == '\0' ? "/tmp" : temp,
				 "/mail-seal-index.XXXXXX", NULL);
	if (mkdtemp(index->dir) == NULL) {
		*error_r = t_strdup_printf("can't make %s to copy its index "
					   "to: %m", index->dir);
		i_free(index->dir);
		i_free(index);
		return -1;
	}
	ret = copy_index(dir, prefix, index->dir, error_r);
	if (ret > 0)
		ret = open_copy(index, prefix, error_r);
	if (ret <= 0)
		export_index_close(&index);
	*index_r = index;
	return ret;
}

void export_index_close(struct export_index **_index)
{
	struct export_index *index = *_index;
	const char *error;

	*_index = NULL;
	if (index->view != NULL) {
		mail_index_view_close(&index->view);
		mail_index_close(index->index);
	}
	if (index->index != NULL)
		mail_index_free(&index->index);
	(void)unlink_directory(index->dir, UNLINK_DIRECTORY_FLAG_RMDIR, &error);
	i_free(index->dir);
	i_free(index);
}

uint32_t export_index_count(const struct export_index *index)
{
	return mail_index_view_get_messages_count(index->view);
}

bool export_index_find(const struct export_index *index, uint32_t uid,
		       uint32_t *seq_r)
{
	return mail_index_lookup_seq(index->view, uid, seq_r);
}

uint32_t export_index_next_uid(const struct export_index *index)
{
	const struct mail_index_header *header =
		mail_index_get_header(index->view);

	return (header->flags & MAIL_INDEX_HDR_FLAG_FSCKD) != 0 ? 0 :
		header->next_uid;
}

static int compare_idxs(const unsigned int *a, const unsigned int *b)
{
	return *a < *b ? -1 : *a > *b ? 1 : 0;
}

static void append_keywords(const struct export_index *index, uint32_t seq,
			    string_t *dest)
{
	ARRAY_TYPE(keyword_indexes) idxs;
	unsigned int idx;

	t_array_init(&idxs, 8);
	mail_index_lookup_keywords(index->view, seq, &idxs);
	array_sort(&idxs, compare_idxs);
	array_foreach_elem(&idxs, idx) {
		if (idx < MAX_KEYWORDS)
			str_append_c(dest, 'a' + idx);
	}
}

void export_index_get(const struct export_index *index, uint32_t seq,
		      struct export_index_record *record_r)
{
	static const struct {
		enum mail_flags flag;
		char letter;
	} flags[] = {
		{ MAIL_DRAFT, 'D' }, { MAIL_FLAGGED, 'F' },
		{ MAIL_ANSWERED, 'R' }, { MAIL_SEEN, 'S' },
		{ MAIL_DELETED, 'T' },
	};
	const struct mail_index_record *record =
		mail_index_lookup(index->view, seq);
	string_t *letters = t_str_new(32);

	for (unsigned int i = 0; i < N_ELEMENTS(flags); i++) {
		if ((record->flags & flags[i].flag) != 0)
			str_append_c(letters, flags[i].letter);
	}
	append_keywords(index, seq, letters);
	record_r->uid = record->uid;
	record_r->flags = str_c(letters);
}

uint32_t export_index_uidvalidity(const struct export_index *index)
{
	return mail_index_get_header(index->view)->uid_validity;
}

const void *export_index_extension(const struct export_index *index,
				   uint32_t seq, const char *name, size_t size)
{
	struct mail_index_map *map;
	const void *data;
	uint32_t id, header_size;
	uint16_t record_size, align;
	bool expunged;

	if (!mail_index_ext_lookup(index->index, name, &id))
		return NULL;
	mail_index_lookup_ext_full(index->view, seq, id, &map, &data,
				   &expunged);
	if (data == NULL)
		return NULL;
	mail_index_ext_get_size(map, id, &header_size, &record_size, &align);
	return record_size < size ? NULL : data;
}

const char *export_index_keywords(const struct export_index *index)
{
	const ARRAY_TYPE(keywords) *keywords =
		mail_index_get_keywords(index->index);
	string_t *text = t_str_new(256);
	const char *name;
	unsigned int i = 0;

	array_foreach_elem(keywords, name) {
		if (i < MAX_KEYWORDS && strpbrk(name, "\r\n") == NULL)
			str_printfa(text, "%u %s\n", i, name);
		i++;
	}
	return str_c(text);
}

unsigned int export_index_lost_keywords(const struct export_index *index)
{
	unsigned int count =
		array_count(mail_index_get_keywords(index->index));

	return count <= MAX_KEYWORDS ? 0 : count - MAX_KEYWORDS;
}
