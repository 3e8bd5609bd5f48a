/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "buffer.h"
#include "file-dotlock.h"
#include "read-full.h"
#include "write-full.h"
#include "crypto/secret.h"
#include "cache-private.h"
#include "rank-file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of some millions of messages: larger files are none of ours. */
#define FILE_MAX_SIZE (64 * 1024 * 1024)

/* As in index-sort-string.c. The numbers are authenticated in the files. */
static const char *const key_names[RANK_KEYS_COUNT] = {
	"sort-c", "sort-f", "sort-s", "sort-t", "sort-df", "sort-dt"
};

const char *rank_key_name(unsigned int key)
{
	i_assert(key < RANK_KEYS_COUNT);
	return key_names[key];
}

static const char *get_path(struct mailbox *box, unsigned int key)
{
	return t_strconcat(box->index->filepath, ".seal-", rank_key_name(key),
			   NULL);
}

static struct cache_record_place get_place(struct mailbox *box, unsigned int key)
{
	const struct mail_index_header *hdr =
		mail_index_get_header(box->view);
	struct cache_record_place place = {
		.uid_validity = hdr->uid_validity, .slot = key
	};

	return place;
}

/* Returns NULL if there is none. */
static buffer_t *read_fd(int fd)
{
	struct stat st;
	buffer_t *file;
	void *data;

	if (fstat(fd, &st) < 0 || st.st_size == 0 ||
	    st.st_size > FILE_MAX_SIZE)
		return NULL;
	file = buffer_create_dynamic(default_pool, st.st_size);
	data = buffer_append_space_unsafe(file, st.st_size);
	if (read_full(fd, data, st.st_size) <= 0)
		buffer_free(&file);
	return file;
}

static buffer_t *read_file(struct mailbox *box, const char *path)
{
	buffer_t *file;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1) {
		if (errno != ENOENT)
			e_warning(box->event, "mail_seal: open(%s) failed: %m",
				  path);
		return NULL;
	}
	file = read_fd(fd);
	i_close_fd(&fd);
	return file;
}

static bool
open_record(struct cache_box *cbox, const struct cache_record_place *place,
	    const buffer_t *file, ARRAY_TYPE(cache_rank) *ranks)
{
	buffer_t *items = buffer_create_dynamic(default_pool, file->used);
	const unsigned char *data;
	struct cache_item item;
	size_t size;
	bool ok;

	ok = cache_record_open(cbox->key, place, file->data, file->used,
			       items);
	if (ok) {
		data = items->data;
		size = items->used;
		ok = cache_item_next(&data, &size, &item) > 0 &&
			cache_ranks_get(&item, ranks);
	}
	secret_wipe(buffer_get_modifiable_data(items, NULL), items->used);
	buffer_free(&items);
	return ok;
}

void rank_file_read(struct mailbox *box, struct cache_box *cbox,
		    unsigned int key, ARRAY_TYPE(cache_rank) *ranks)
{
	struct cache_record_place place = get_place(box, key);
	buffer_t *file;

	array_clear(ranks);
	T_BEGIN {
		file = read_file(box, get_path(box, key));
	} T_END;
	if (file == NULL)
		return;
	if (!open_record(cbox, &place, file, ranks))
		cache_box_log_damage(cbox, box->event);
	buffer_free(&file);
}

static void
write_file(struct mailbox *box, const char *path, const buffer_t *file)
{
	/* It replaces the file, too. Who comes second leaves it at the
	   other's. */
	static const struct dotlock_settings set = {
		.stale_timeout = 60, .use_excl_lock = TRUE
	};
	const struct mailbox_permissions *perm = mailbox_get_permissions(box);
	struct dotlock *lock;
	int fd;

	fd = file_dotlock_open_group(&set, path, DOTLOCK_CREATE_FLAG_NONBLOCK,
				     perm->file_create_mode,
				     perm->file_create_gid,
				     perm->file_create_gid_origin, &lock);
	if (fd == -1) {
		if (errno != EAGAIN)
			e_warning(box->event, "mail_seal: "
				  "creating %s.lock failed: %m", path);
		return;
	}
	if (write_full(fd, file->data, file->used) < 0) {
		e_warning(box->event, "mail_seal: write(%s) failed: %m", path);
		file_dotlock_delete(&lock);
	} else {
		(void)file_dotlock_replace(&lock, 0);
	}
}

void rank_file_write(struct mailbox *box, struct cache_box *cbox,
		     unsigned int key, const ARRAY_TYPE(cache_rank) *ranks)
{
	struct cache_record_place place = get_place(box, key);
	buffer_t *items = buffer_create_dynamic(default_pool, 64 +
						array_count(ranks) * 16);
	buffer_t *file = buffer_create_dynamic(default_pool, 1024);

	cache_ranks_add(items, ranks);
	cache_record_seal(cbox->key, &place, items->data, items->used, file);
	secret_wipe(buffer_get_modifiable_data(items, NULL), items->used);
	T_BEGIN {
		write_file(box, get_path(box, key), file);
	} T_END;
	buffer_free(&items);
	buffer_free(&file);
}

void rank_files_remove(struct mailbox *box)
{
	const char *path;
	unsigned int key;

	for (key = 0; key < RANK_KEYS_COUNT; key++) T_BEGIN {
		path = get_path(box, key);
		if (unlink(path) < 0 && errno != ENOENT)
			e_warning(box->event, "mail_seal: unlink(%s) failed: %m",
				  path);
	} T_END;
}
