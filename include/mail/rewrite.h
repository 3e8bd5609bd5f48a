/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_REWRITE_H
#define MAIL_REWRITE_H

/* Rewrite stored messages where they lie: the stored bytes of a message change,
   nothing else does. UID, GUID, flags, keywords, modseq, received date, sizes
   as clients and quota see them, POP3 UIDL and the index cache stay. What is
   below the seal is taken as it is: a message that was compressed before it was
   sealed stays compressed.

   - At every instant, also if the process is killed or the power fails, each
     message is there once, in its old or its new form. What a killed run left
     behind is removed by the next one, which goes on where that one ended.
   - Other sessions may change flags, expunge, copy, move, deliver, read and
     purge meanwhile, and others may rewrite as well.
   - The source is authenticated to its last byte and the new form is opened
     once before it takes the old one's place. Messages that are damaged, or
     sealed to nobody whose identity is at hand, are left as they are.
   - maildir, sdbox: copies of a message that are hard links stay links of one
     file, if they are rewritten within the life of one mail user. A process
     that is killed between them leaves two files.
   - mdbox: all messages of a file are rewritten at once, also those of other
     mailboxes: they are counted with the first mailbox. Expunged ones go.
   - The saved date of maildir and sdbox is the time of the inode's last change,
     unless it is in the index cache. It is put there, except where
     mail_never_cache_fields forbids it: then it becomes the time of rewriting.
     In mdbox it always stays.
   - Memory doesn't grow with messages, nor with their sizes. */

struct mailbox;

enum mail_seal_rewrite_mode {
	/* Sealed messages that the current identity doesn't open: seal them to
	   the current recipients. Plain ones stay. Needs the identities. */
	MAIL_SEAL_REWRITE_RESEAL,
	/* Plain messages: seal. Needs the recipients alone. */
	MAIL_SEAL_REWRITE_SEAL,
	/* Sealed messages: store plain. Needs the identities. */
	MAIL_SEAL_REWRITE_UNSEAL
};

struct mail_seal_rewrite_counts {
	/* Rewritten now; were so already; aren't of the kind that the mode
	   changes (plain ones, for RESEAL). */
	unsigned int done, already, other;
	/* Not opened by any identity at hand; damaged; gone meanwhile; failed
	   for another reason, e.g. no space. All but the gone ones are logged,
	   with mailbox and UID. */
	unsigned int foreign, damaged, gone, failed;
	/* As stored, in the new form. */
	uint64_t done_bytes;
};

/* Called after each message. Returns FALSE to stop: with mdbox after the file
   at hand. */
typedef bool
mail_seal_rewrite_progress_t(const struct mail_seal_rewrite_counts *counts,
			     void *context);

/* Rewrite the messages of a mailbox, which is opened and synced if need be, and
   add to counts; the caller zeroes them before the first mailbox. The keys are
   those of the mailbox's owner; the identities are those that the owner is
   unlocked with, the current one first. progress may be NULL. Returns 0 if all
   messages were looked at, or progress wanted to stop; -1 and error_r if the
   mailbox can't be worked on: another format, no owner, no key, a store that
   can't be written to, a mailbox that was deleted meanwhile. */
int mail_seal_rewrite_mailbox(struct mailbox *box,
			      enum mail_seal_rewrite_mode mode,
			      struct mail_seal_rewrite_counts *counts,
			      mail_seal_rewrite_progress_t *progress,
			      void *context, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

/* The same for the messages after *last_uid alone, until progress wants to stop,
   but for some messages at least; *last_uid is then the last one that was looked
   at. Call it again until *finished_r. mdbox may move messages from behind to
   before that: so a mailbox is done when nothing was rewritten from its first
   message to its last. */
int mail_seal_rewrite_step(struct mailbox *box,
			   enum mail_seal_rewrite_mode mode,
			   uint32_t *last_uid, bool *finished_r,
			   struct mail_seal_rewrite_counts *counts,
			   mail_seal_rewrite_progress_t *progress,
			   void *context, const char **error_r)
	ATTR_WARN_UNUSED_RESULT;

#endif
