/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_REWRITE_MDBOX_PRIVATE_H
#define PLUGIN_MAIL_REWRITE_MDBOX_PRIVATE_H

#include "mdbox-storage.h"
#include "mdbox-file.h"
#include "mdbox-map-private.h"
#include "rewrite-private.h"

/* The journal of one file that is being rewritten: by it the next run removes
   what a killed one left. It is a text in the storage's folder,
   mail-seal-rewrite.N for m.N, locked while its process lives:

     temp NAME	a new file that has no number yet
     new ID	from here on new files are given numbers, and the map is
		changed in one step: once its highest number isn't below ID any
		more, everything is in the new files */
struct mdbox_journal {
	struct rewrite_temp temp;
	unsigned int new_count;
};

/* Returns 1, 0 if another process rewrites this file, -1 and error_r. */
int mdbox_journal_begin(struct rewrite_context *ctx,
			struct mdbox_storage *storage, uint32_t file_id,
			struct mdbox_journal *journal_r, const char **error_r);
int mdbox_journal_add_temp(struct mdbox_journal *journal, const char *path,
			   const char **error_r);
/* Makes the journal durable. */
int mdbox_journal_add_new(struct mdbox_journal *journal, uint32_t first_id,
			  const char **error_r);
void mdbox_journal_end(struct mdbox_journal *journal);
/* Do what the journals of killed processes say. */
void mdbox_journal_recover(struct rewrite_context *ctx,
			   struct mdbox_storage *storage);

uint32_t mdbox_highest_file_id(struct mdbox_map_atomic_context *atomic);

/* rewrite-mdbox-file.c */
struct mdbox_rewrite {
	struct rewrite_context *ctx;
	struct mdbox_storage *storage;
	/* Files that hold messages of this mailbox that are wanted. */
	ARRAY_TYPE(seq_range) file_ids;
	/* Files that could not be rewritten. */
	ARRAY_TYPE(seq_range) failed_file_ids;
	/* Messages whose payload is damaged: known only once it was read. */
	ARRAY_TYPE(seq_range) damaged_map_uids;
	/* Why a file could not be rewritten. */
	const char *error;
};

/* Rewrite all messages of a file. Returns 1; 0 if nothing in it could be
   changed, or not at the moment; -1 and rewrite->error. */
int rewrite_mdbox_file(struct mdbox_rewrite *rewrite, uint32_t file_id);

#endif
