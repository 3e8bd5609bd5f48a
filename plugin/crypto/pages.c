/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE /* dl_iterate_phdr() */
#include "lib.h"
#include "pages.h"

/* On Linux MADV_DONTNEED drops pages at once. On 64-bit systems code isn't
   relocated in place, so that whatever isn't writable is as in the file. */
#if defined(__linux__) && defined(__LP64__)

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

static void release_segment(uintptr_t start, size_t size)
{
	uintptr_t page_mask = ~((uintptr_t)getpagesize() - 1);
	uintptr_t end = start + size;

	/* whole pages alone: a border may be shared with another segment */
	start = (start + ~page_mask) & page_mask;
	end &= page_mask;
	if (start < end) {
		/* fails for locked memory, which is as well */
		(void)madvise((void *)start, end - start, MADV_DONTNEED);
	}
}

static int release_library(struct dl_phdr_info *info,
			   size_t size ATTR_UNUSED, void *name)
{
	const ElfW(Phdr) *segment;
	unsigned int i;

	if (strstr(info->dlpi_name, name) == NULL)
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		segment = &info->dlpi_phdr[i];
		if (segment->p_type == PT_LOAD &&
		    (segment->p_flags & PF_W) == 0) {
			release_segment(info->dlpi_addr + segment->p_vaddr,
					segment->p_memsz);
		}
	}
	return 0;
}

void crypto_pages_release(const char *name)
{
	dl_iterate_phdr(release_library, (void *)name);
}

#else

void crypto_pages_release(const char *name ATTR_UNUSED)
{
}

#endif
