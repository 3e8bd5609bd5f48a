/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TERMINAL_PROGRESS_H
#define TERMINAL_PROGRESS_H

/* How far a long piece of work is, for a person: a line with a bar that stays in
   its place on a terminal, or the same words for a log. */

struct progress_state {
	/* Messages that are done with, and how many there are. */
	uint64_t messages, total_messages;
	/* Bytes that were read or written, and how many there will be; 0 if that
	   isn't known: then the messages tell what remains. */
	uint64_t bytes, total_bytes;
};

struct progress;

/* Time begins now. */
struct progress *progress_init(void);
void progress_deinit(struct progress **progress);

/* Draw the line on stderr, some times a second at most. */
void progress_show(struct progress *progress,
		   const struct progress_state *state);
/* Take the line away, to say something else. */
void progress_hide(struct progress *progress);

/* "3/10 messages, 1.2 MiB of 4.0 MiB, 600.0 KiB/s, 0:05 left". On the data
   stack. */
const char *progress_text(const struct progress *progress,
			  const struct progress_state *state);
/* "1.2 MiB". On the data stack. */
const char *progress_size_str(uint64_t size);

#endif
