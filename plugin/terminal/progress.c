/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "time-util.h"
#include "terminal/progress.h"

#include <stdio.h>

#define INTERVAL_USECS (200 * 1000)
#define BAR_WIDTH 20

struct progress {
	uint64_t begun_usecs, shown_usecs;
	bool visible;
};

struct progress *progress_init(void)
{
	struct progress *progress = i_new(struct progress, 1);

	progress->begun_usecs = i_microseconds();
	return progress;
}

void progress_deinit(struct progress **_progress)
{
	struct progress *progress = *_progress;

	*_progress = NULL;
	progress_hide(progress);
	i_free(progress);
}

const char *progress_size_str(uint64_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned int i = 0;
	double value = size;

	for (; value >= 1024 && i + 1 < N_ELEMENTS(units); i++)
		value /= 1024;
	return t_strdup_printf(i == 0 ? "%.0f %s" : "%.1f %s", value, units[i]);
}

/* From 0 to 1. There may be more than was expected. */
static double part_done(const struct progress_state *state)
{
	uint64_t done = state->messages, total = state->total_messages;

	if (state->total_bytes > 0) {
		done = state->bytes;
		total = state->total_bytes;
	}
	return done >= total ? 1 : (double)done / total;
}

static const char *bar(double part)
{
	char *str = t_malloc0(BAR_WIDTH + 1);

	memset(str, '.', BAR_WIDTH);
	memset(str, '#', (size_t)(part * BAR_WIDTH));
	return str;
}

const char *progress_text(const struct progress *progress,
			  const struct progress_state *state)
{
	double secs = (i_microseconds() - progress->begun_usecs) / 1000000.0;
	double part = part_done(state);
	unsigned int left = part <= 0 ? 0 : secs * (1 - part) / part;
	const char *of = "";

	if (state->total_bytes > 0) {
		of = t_strconcat(" of ", progress_size_str(
			I_MAX(state->total_bytes, state->bytes)), NULL);
	}
	return t_strdup_printf(
		"%"PRIu64"/%"PRIu64" messages, %s%s, %s/s, %u:%02u left",
		state->messages, I_MAX(state->total_messages, state->messages),
		progress_size_str(state->bytes), of,
		progress_size_str(secs <= 0 ? 0 : state->bytes / secs),
		left / 60, left % 60);
}

/* What is logged meanwhile begins where the line does. */
static void draw(struct progress *progress, const struct progress_state *state)
{
	fprintf(stderr, "\r\033[K[%s] %s\r", bar(part_done(state)),
		progress_text(progress, state));
	(void)fflush(stderr);
}

void progress_show(struct progress *progress,
		   const struct progress_state *state)
{
	uint64_t now = i_microseconds();

	if (now - progress->shown_usecs < INTERVAL_USECS)
		return;
	progress->shown_usecs = now;
	progress->visible = TRUE;
	T_BEGIN {
		draw(progress, state);
	} T_END;
}

void progress_hide(struct progress *progress)
{
	if (progress->visible)
		fputs("\r\033[K", stderr);
	progress->visible = FALSE;
	progress->shown_usecs = 0;
}
