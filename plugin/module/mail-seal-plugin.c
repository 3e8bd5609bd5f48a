/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "module-dir.h"
#include "mail-storage-hooks.h"
#include "crypto/secret.h"
#include "index/index.h"
#include "mail/mail-seal-hooks.h"
#include "mail/metadata.h"
#include "mail/unlock-fd.h"
#include "companion.h"
#include "mail-seal-plugin.h"

const char *mail_seal_plugin_version = DOVECOT_ABI_VERSION;

/* By the number in its own file name (lib10_) this module comes before the
   compression plugins (lib20_): its istream_opened() sees the stored bytes
   first. */
static const struct mail_storage_hooks mail_seal_hooks = {
	.mail_user_created = mail_seal_user_created,
	.mail_namespaces_created = mail_seal_namespaces_created,
	.mail_allocated = mail_seal_mail_allocated,
};

/* Saving goes the other way: who registers last wraps the output first, so
   that compression comes above the seal. Forced, because a mailbox of a user
   without the plugin must not get a copy of another user's ciphertext. */
static const struct mail_storage_hooks mail_seal_late_hooks = {
	.mailbox_allocated = mail_seal_mailbox_allocated,
};
static struct module mail_seal_late_module = {
	.path = "lib95_mail_seal_plugin.so"
};

/* The cache answers before a message is opened: above that. */
static const struct mail_storage_hooks mail_seal_early_hooks = {
	.mailbox_allocated = seal_index_mailbox_allocated,
	.mail_allocated = seal_index_mail_allocated,
};
static const struct mail_storage_hooks mail_seal_traces_hooks = {
	.mailbox_allocated = seal_index_traces_mailbox_allocated,
};
static struct module mail_seal_early_module = {
	.path = "lib09_mail_seal_plugin.so"
};

/* More than what saving or opening a message takes for a time: chunks, and the
   buffers that hold them. */
#define HEAP_KEPT_SIZE (256 * 1024)

/* The C library gives the end of the heap back to the kernel whenever 128 KiB
   of it are free. That was so after each message, and to get it again for the
   next one, a page at a time, cost more than to seal it. glibc keeps twice the
   size of the largest block of its own that was freed (mallopt(3),
   M_MMAP_THRESHOLD), unless the administrator has set it otherwise. */
static void keep_heap(void)
{
	void *block = i_malloc(HEAP_KEPT_SIZE);

	i_free(block);
}

void mail_seal_plugin_init(struct module *module)
{
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("mail_seal: %s", error);
	keep_heap();
	mail_storage_hooks_add(module, &mail_seal_hooks);
	mail_storage_hooks_add_forced(&mail_seal_late_module,
				      &mail_seal_late_hooks);
	mail_storage_hooks_add_forced(&mail_seal_early_module,
				      &mail_seal_early_hooks);
	mail_storage_hooks_add_forced(&mail_seal_early_module,
				      &mail_seal_traces_hooks);
	mail_seal_metadata_init();
	seal_index_init();
	companion_init(module);
}

void mail_seal_plugin_deinit(void)
{
	companion_deinit();
	mail_storage_hooks_remove(&mail_seal_traces_hooks);
	mail_storage_hooks_remove(&mail_seal_early_hooks);
	mail_storage_hooks_remove(&mail_seal_late_hooks);
	mail_storage_hooks_remove(&mail_seal_hooks);
	seal_index_deinit();
	mail_seal_metadata_deinit();
	unlock_fd_deinit();
}
