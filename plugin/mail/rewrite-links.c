/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "hash.h"
#include "rewrite-private.h"

#include <fcntl.h>
#include <unistd.h>
#include <sys/file.h>

/* Copies of a message are links of one file. After the first of them was
   rewritten, the others become links of its new file, so that there is one
   ciphertext as before, and no old one is left. */

/* More than this many files with further links, and some get two files. */
#define LINKS_MAX_COUNT 20000

struct link_key {
	dev_t dev;
	ino_t ino;
};

struct link_entry {
	struct link_key key;
	enum mail_seal_rewrite_mode mode;
	/* A name of the old file: while it is there, no other file has its
	   inode number. */
	char *old_path;
	char *new_path;
	ino_t new_ino;
};

struct rewrite_links {
	HASH_TABLE(struct link_key *, struct link_entry *) entries;
};

static unsigned int link_key_hash(const struct link_key *key)
{
	return (unsigned int)key->ino ^ (unsigned int)(key->ino >> 32) ^
		(unsigned int)key->dev;
}

static int link_key_cmp(const struct link_key *a, const struct link_key *b)
{
	return a->ino == b->ino && a->dev == b->dev ? 0 : 1;
}

static struct rewrite_links *links_init(void)
{
	struct rewrite_links *links = i_new(struct rewrite_links, 1);

	hash_table_create(&links->entries, default_pool, 0, link_key_hash,
			  link_key_cmp);
	return links;
}

static void entry_free(struct link_entry *entry)
{
	i_unlink_if_exists(entry->old_path);
	i_free(entry->old_path);
	i_free(entry->new_path);
	i_free(entry);
}

static void entry_remove(struct rewrite_links *links, struct link_entry *entry)
{
	hash_table_remove(links->entries, &entry->key);
	entry_free(entry);
}

void rewrite_links_deinit(struct rewrite_links **_links)
{
	struct rewrite_links *links = *_links;
	struct hash_iterate_context *iter;
	struct link_entry *entry;
	struct link_key *key;

	*_links = NULL;
	iter = hash_table_iterate_init(links->entries);
	while (hash_table_iterate(iter, links->entries, &key, &entry))
		entry_free(entry);
	hash_table_iterate_deinit(&iter);
	hash_table_destroy(&links->entries);
	i_free(links);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static struct link_entry *
entry_find(struct rewrite_context *ctx, const struct stat *old)
{
	struct link_key key = { .dev = old->st_dev, .ino = old->st_ino };
	struct link_entry *entry;
	struct stat st;

	if (ctx->suser->rewrite_links == NULL)
		return NULL;
	entry = hash_table_lookup(ctx->suser->rewrite_links->entries, &key);
	if (entry == NULL)
		return NULL;
	if (entry->mode == ctx->mode && lstat(entry->old_path, &st) == 0 &&
	    same_file(&st, old))
		return entry;
	/* Removed by the cleanup of another run: the number may belong to any
	   file now. */
	entry_remove(ctx->suser->rewrite_links, entry);
	return NULL;
}

void rewrite_links_add(struct rewrite_context *ctx, const struct stat *old,
		       const char *old_path, const char *new_path)
{
	struct rewrite_links *links = ctx->suser->rewrite_links;
	struct link_entry *entry = entry_find(ctx, old);
	struct link_key *key;
	struct stat st;

	if (links == NULL)
		links = ctx->suser->rewrite_links = links_init();
	if (entry != NULL) {
		/* The new file isn't where it was: this is the one now. */
		entry_remove(links, entry);
	}
	if (hash_table_count(links->entries) >= LINKS_MAX_COUNT ||
	    lstat(new_path, &st) < 0) {
		i_unlink_if_exists(old_path);
		return;
	}
	entry = i_new(struct link_entry, 1);
	entry->key.dev = old->st_dev;
	entry->key.ino = old->st_ino;
	entry->mode = ctx->mode;
	entry->old_path = i_strdup(old_path);
	entry->new_path = i_strdup(new_path);
	entry->new_ino = st.st_ino;
	key = &entry->key;
	hash_table_insert(links->entries, key, entry);
}

static int open_new_form(const struct link_entry *entry)
{
	struct stat st;
	int fd = open(entry->new_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd == -1)
		return -1;
	/* Locked, so that no cleanup takes the link for a leftover. */
	if (fstat(fd, &st) < 0 || st.st_ino != entry->new_ino ||
	    st.st_dev != entry->key.dev || flock(fd, LOCK_SH | LOCK_NB) < 0)
		i_close_fd(&fd);
	return fd;
}

bool rewrite_links_use(struct rewrite_context *ctx, const struct stat *old,
		       const char *dir, const char *prefix,
		       struct rewrite_temp *temp_r)
{
	struct link_entry *entry = entry_find(ctx, old);
	struct stat st;

	if (entry == NULL)
		return FALSE;
	temp_r->fd = open_new_form(entry);
	if (temp_r->fd == -1)
		return FALSE;
	temp_r->path = rewrite_temp_name(dir, prefix);
	if (link(entry->new_path, temp_r->path) < 0) {
		i_free(temp_r->path);
		i_close_fd(&temp_r->fd);
		return FALSE;
	}
	if (lstat(temp_r->path, &st) == 0 && st.st_ino == entry->new_ino)
		return TRUE;
	rewrite_temp_discard(temp_r);
	return FALSE;
}

void rewrite_links_release(struct rewrite_context *ctx, const struct stat *old)
{
	struct link_entry *entry = entry_find(ctx, old);
	struct stat st;

	if (entry != NULL && lstat(entry->old_path, &st) == 0 &&
	    st.st_nlink == 1)
		entry_remove(ctx->suser->rewrite_links, entry);
}
