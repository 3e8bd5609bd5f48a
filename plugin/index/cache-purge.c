/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "mail-cache-private.h"
#include "cache-private.h"
#include "compat-cache.h"
#include "rank-file.h"

/* What must not stay in the cache file: content that Dovecot had put there before
   the plugin came, and records that the key of now doesn't open. That they are
   there is all that has to be remembered: as long as they are, each visit begins
   by rewriting the file. */

static const char *const content_fields[] = {
	"date.sent", "imap.body", "imap.bodystructure", "imap.envelope",
	"mime.parts", "binary.parts", "body.snippet", NULL
};

static bool is_content(const char *name)
{
	return strncasecmp(name, "hdr.", 4) == 0 ||
		str_array_find(content_fields, name);
}

static bool is_slot(const char *name)
{
	return strncmp(name, CACHE_FIELD_PREFIX,
		       strlen(CACHE_FIELD_PREFIX)) == 0;
}

static bool is_own_slot(const struct cache_box *cbox, unsigned int field)
{
	unsigned int i;

	for (i = 0; i < CACHE_SLOTS_COUNT; i++) {
		if (cbox->slot_fields[i] == field)
			return TRUE;
	}
	return FALSE;
}

static void refuse_field(struct mail_cache *cache, unsigned int idx)
{
	cache->fields[idx].field.decision = MAIL_CACHE_DECISION_NO |
		MAIL_CACHE_DECISION_FORCED;
}

/* Let no field stay but the slots and what tells nothing of the content; without
   a key all slots stay. Returns TRUE if one of those that won't is in the file,
   and whether that's a slot. */
static bool
refuse_fields(struct mail_cache *cache, const struct cache_box *cbox,
	      bool *slot_r)
{
	bool found = FALSE;
	unsigned int i;

	*slot_r = FALSE;
	for (i = 0; i < cache->fields_count; i++) {
		const char *name = cache->fields[i].field.name;

		if (!is_content(name) && (!is_slot(name) || cbox->key == NULL ||
					  is_own_slot(cbox, i)))
			continue;
		refuse_field(cache, i);
		if (cache->field_file_map[i] == (uint32_t)-1)
			continue;
		found = TRUE;
		*slot_r = *slot_r || is_slot(name);
	}
	return found;
}

void cache_box_purge(struct mailbox *box, struct cache_box *cbox)
{
	struct mail_cache *cache = box->cache;
	int ret = mail_cache_open_and_verify(cache);
	bool old_key;

	cbox->purge_pending = cbox->key == NULL;
	if (ret < 0 || box->index->readonly ||
	    MAIL_INDEX_IS_IN_MEMORY(box->index))
		return;
	/* Whoever makes the file adds all fields that are known by then, with
	   the names that the client has asked for. */
	if (MAIL_CACHE_IS_UNUSABLE(cache))
		(void)mail_cache_purge(cache, 0, "mail_seal: make it");
	if (!refuse_fields(cache, cbox, &old_key) ||
	    MAIL_CACHE_IS_UNUSABLE(cache))
		return;
	if (old_key)
		rank_files_remove(box);
	if (mail_cache_purge(cache, (uint32_t)-1,
			     "mail_seal: drop what isn't sealed") < 0) {
		e_warning(box->event, "mail_seal: The index cache can't be "
			  "rewritten: what is in it stays until this succeeds");
	}
}

void cache_box_rewritten(struct mailbox *box, bool unsealed)
{
	struct cache_box *cbox = CACHE_BOX_CONTEXT(box);

	if (cbox == NULL)
		return;
	if (unsealed)
		rank_files_remove(box);
	else
		cache_box_purge(box, cbox);
}
