/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "time-util.h"
#include "export.h"

#include <stdio.h>

#define INTERVAL_USECS (200 * 1000)
#define BAR_WIDTH 20

struct export_progress {
	struct export_counts total;
	uint64_t begun_usecs, shown_usecs;
	bool visible;
};

static const char *size_str(uint64_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned int i = 0;
	double value = size;

	for (; value >= 1024 && i + 1 < N_ELEMENTS(units); i++)
		value /= 1024;
	return t_strdup_printf(i == 0 ? "%.0f %s" : "%.1f %s", value, units[i]);
}

static const char *bar(uint64_t done, uint64_t total)
{
	char *str = t_malloc0(BAR_WIDTH + 1);
	unsigned int width = total == 0 || done >= total ? BAR_WIDTH :
		(unsigned int)((double)done / total * BAR_WIDTH);

	memset(str, '.', BAR_WIDTH);
	memset(str, '#', width);
	return str;
}

struct export_progress *export_progress_init(const struct export_counts *total)
{
	struct export_progress *progress = i_new(struct export_progress, 1);

	progress->total = *total;
	progress->begun_usecs = i_microseconds();
	return progress;
}

static void show(struct export_progress *progress,
		 const struct export_counts *counts, uint64_t now)
{
	double secs = (now - progress->begun_usecs) / 1000000.0;
	double rate = secs <= 0 ? 0 : counts->bytes / secs;
	uint64_t total = I_MAX(progress->total.bytes, counts->bytes);
	unsigned int left = rate < 1 ? 0 : (total - counts->bytes) / rate;

	fprintf(stderr, "\r\033[K[%s] %u/%u messages, %s of %s, %s/s, "
		"%u:%02u left", bar(counts->bytes, total),
		counts->messages + counts->present + counts->failed,
		progress->total.messages + progress->total.failed,
		size_str(counts->bytes), size_str(total), size_str(rate),
		left / 60, left % 60);
	(void)fflush(stderr);
}

void export_progress_show(struct export_progress *progress,
			  const struct export_counts *counts)
{
	uint64_t now = i_microseconds();

	if (now - progress->shown_usecs < INTERVAL_USECS)
		return;
	progress->shown_usecs = now;
	progress->visible = TRUE;
	T_BEGIN {
		show(progress, counts, now);
	} T_END;
}

void export_progress_hide(struct export_progress *progress)
{
	if (progress->visible)
		fputs("\r\033[K", stderr);
	progress->visible = FALSE;
	progress->shown_usecs = 0;
}

void export_progress_deinit(struct export_progress **progress)
{
	export_progress_hide(*progress);
	i_free(*progress);
}
