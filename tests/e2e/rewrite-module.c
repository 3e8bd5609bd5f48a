/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "str.h"
#include "mailbox-list-iter.h"
#include "mail-namespace.h"
#include "mail-storage-private.h"
#include "doveadm-mail.h"
#include "age/keyfile.h"
#include "crypto/secret.h"
#include "mail/mail-seal-keys.h"
#include "mail/mail-seal-user.h"
#include "mail/rewrite.h"
#include "mail/scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Built by the tests alone (harness/rewrite.py): doveadm seal-rewrite-test, which
   calls include/mail/rewrite.h and scan.h for every mailbox of a user:

     MODE	reseal, seal, unseal or scan
     IDENTITIES	an identity file, the current one first; "-": the user's own
     SLEEP	microseconds to wait after each message
     STOP	stop after so many messages; 0: don't

   Prints names and numbers in a line. */

#pragma GCC visibility push(default)
const char *doveadm_seal_rewrite_test_plugin_version = DOVECOT_ABI_VERSION;
void doveadm_seal_rewrite_test_plugin_init(struct module *module);
void doveadm_seal_rewrite_test_plugin_deinit(void);
#pragma GCC visibility pop

static unsigned int seen, sleep_usecs, stop_count;

static bool
progress(const struct mail_seal_rewrite_counts *counts ATTR_UNUSED,
	 void *context ATTR_UNUSED)
{
	usleep(sleep_usecs);
	return ++seen != stop_count;
}

static void set_identities(struct mail_user *user, const char *path)
{
	struct age_identities *identities = age_identities_init();
	char text[16384];
	const char *error;
	ssize_t size;
	int fd = open(path, O_RDONLY);

	if (fd == -1 || (size = read(fd, text, sizeof(text))) <= 0)
		i_fatal("read(%s) failed: %m", path);
	i_close_fd(&fd);
	if (age_identities_parse(identities, text, size, &error) < 0)
		i_fatal("%s: %s", path, error);
	mail_seal_user_set_identities(user, identities);
	age_identities_deinit(&identities);
}

static int
scan_box(struct mailbox *box, struct mail_seal_scan *scan, const char **error_r)
{
	return mail_seal_scan_mailbox(box,
		mail_seal_user_get_identities(mailbox_get_namespace(box)->user),
		scan, error_r);
}

static int
work_on(struct mailbox *box, const char *mode, struct mail_seal_scan *scan,
	struct mail_seal_rewrite_counts *counts)
{
	const char *error;
	int ret;

	if (strcmp(mode, "scan") == 0) {
		ret = scan_box(box, scan, &error);
	} else {
		ret = mail_seal_rewrite_mailbox(box,
			strcmp(mode, "seal") == 0 ? MAIL_SEAL_REWRITE_SEAL :
			strcmp(mode, "unseal") == 0 ?
			MAIL_SEAL_REWRITE_UNSEAL : MAIL_SEAL_REWRITE_RESEAL,
			counts, progress, NULL, &error);
	}
	if (ret < 0)
		e_error(box->event, "refused: %s", error);
	return ret;
}

static void
print(const char *mode, const struct mail_seal_scan *scan,
      const struct mail_seal_rewrite_counts *counts)
{
	const uint32_t *earlier;

	if (strcmp(mode, "scan") != 0) {
		printf("done=%u already=%u other=%u foreign=%u damaged=%u "
		       "gone=%u failed=%u done_bytes=%"PRIu64"\n",
		       counts->done, counts->already, counts->other,
		       counts->foreign, counts->damaged, counts->gone,
		       counts->failed, counts->done_bytes);
		return;
	}
	printf("sealed=%u plain=%u damaged=%u sealed_bytes=%"PRIu64
	       " plain_bytes=%"PRIu64" current=%u foreign=%u", scan->sealed,
	       scan->plain, scan->damaged, scan->sealed_bytes,
	       scan->plain_bytes, scan->current, scan->foreign);
	array_foreach(&scan->earlier, earlier)
		printf(" earlier=%u", *earlier);
	printf("\n");
}

static int
cmd_run(struct doveadm_mail_cmd_context *ctx, struct mail_user *user)
{
	struct mail_seal_rewrite_counts counts;
	struct mail_seal_scan scan;
	struct mailbox_list_iterate_context *iter;
	const struct mailbox_info *info;
	const char *const *args, *mode;
	const char *error, *const patterns[] = { "*", NULL };
	int ret = 0;

	if (!doveadm_cmd_param_array(ctx->cctx, "how", &args) ||
	    str_array_length(args) != 4)
		i_fatal("MODE IDENTITIES SLEEP STOP");
	mode = args[0];
	sleep_usecs = atoi(args[2]);
	stop_count = atoi(args[3]);
	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	if (strcmp(args[1], "-") != 0)
		set_identities(user, args[1]);
	else if (strcmp(mode, "seal") != 0)
		(void)mail_seal_user_unlock(user);
	i_zero(&counts);
	i_zero(&scan);
	i_array_init(&scan.earlier, 4);
	iter = mailbox_list_iter_init_namespaces(user->namespaces, patterns,
		MAIL_NAMESPACE_TYPE_MASK_ALL,
		MAILBOX_LIST_ITER_RETURN_NO_FLAGS);
	while ((info = mailbox_list_iter_next(iter)) != NULL) {
		struct mailbox *box;

		if ((info->flags & (MAILBOX_NOSELECT |
				    MAILBOX_NONEXISTENT)) != 0)
			continue;
		box = mailbox_alloc(info->ns->list, info->vname, 0);
		if (work_on(box, mode, &scan, &counts) < 0)
			ret = -1;
		mailbox_free(&box);
	}
	if (mailbox_list_iter_deinit(&iter) < 0)
		ret = -1;
	print(mode, &scan, &counts);
	array_free(&scan.earlier);
	if (ret < 0)
		doveadm_mail_failed_error(ctx, MAIL_ERROR_NOTPOSSIBLE);
	return ret;
}

static struct doveadm_mail_cmd_context *cmd_alloc(void)
{
	struct doveadm_mail_cmd_context *ctx;

	ctx = doveadm_mail_cmd_alloc(struct doveadm_mail_cmd_context);
	ctx->v.run = cmd_run;
	return ctx;
}

static struct doveadm_cmd_ver2 cmd = {
	.name = "seal-rewrite-test",
	.mail_cmd = cmd_alloc,
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX,
DOVEADM_CMD_PARAMS_START
DOVEADM_CMD_MAIL_COMMON
DOVEADM_CMD_PARAM('\0', "how", CMD_PARAM_ARRAY, CMD_PARAM_FLAG_POSITIONAL)
DOVEADM_CMD_PARAMS_END
};

void doveadm_seal_rewrite_test_plugin_init(struct module *module ATTR_UNUSED)
{
	doveadm_cmd_register_ver2(&cmd);
}

void doveadm_seal_rewrite_test_plugin_deinit(void)
{
}
