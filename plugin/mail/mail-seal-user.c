/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "mail-namespace.h"
#include "mailbox-list-iter.h"
#include "mail/mail-seal-user.h"
#include "catch-up-private.h"
#include "rewrite-private.h"
#include "mail/unlock-fd.h"

struct mail_seal_user_module mail_seal_user_module =
	MODULE_CONTEXT_INIT(&mail_user_module_register);

static void mail_seal_user_deinit_pre(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	if (suser->catch_up != NULL)
		catch_up_deinit(&suser->catch_up);
	suser->module_ctx.super.deinit_pre(user);
}

static void mail_seal_user_deinit(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	if (suser->identities != NULL)
		age_identities_deinit(&suser->identities);
	if (suser->file_keys != NULL)
		file_keys_deinit(&suser->file_keys);
	if (suser->rewrite_links != NULL)
		rewrite_links_deinit(&suser->rewrite_links);
	suser->module_ctx.super.deinit(user);
}

void mail_seal_user_created(struct mail_user *user)
{
	struct mail_user_vfuncs *v = user->vlast;
	struct mail_seal_user *suser;
	const char *error;

	suser = p_new(user->pool, struct mail_seal_user, 1);
	suser->module_ctx.super = *v;
	user->vlast = &suser->module_ctx.super;
	v->deinit_pre = mail_seal_user_deinit_pre;
	v->deinit = mail_seal_user_deinit;
	p_array_init(&suser->recipients, user->pool, 1);
	MODULE_CONTEXT_SET(user, mail_seal_user_module, suser);

	mail_seal_config_mend(user);
	if (mail_seal_settings_get(user, &suser->set, &error) < 0 ||
	    (suser->set.unlock_fd != -1 &&
	     unlock_fd_read(user, suser->set.unlock_fd, &error) < 0)) {
		user->error = p_strdup_printf(user->pool,
					      "mail_seal: %s", error);
	}
}

void mail_seal_namespaces_created(struct mail_namespace *namespaces)
{
	struct mail_user *user = namespaces->user;
	struct mail_namespace *ns;
	const char *reason;

	/* The storage of LDA's and LMTP's spool file isn't where mail lives. */
	if (MAIL_SEAL_USER_CONTEXT(user) == NULL || user->autocreated)
		return;
	for (ns = namespaces; ns != NULL; ns = ns->next) {
		if (ns->storage == NULL)
			continue;
		reason = mail_seal_config_unfit(ns);
		if (reason == NULL)
			continue;
		user->error = p_strdup_printf(user->pool,
			"mail_seal: namespace '%s': %s", ns->prefix, reason);
		return;
	}
	mail_seal_config_warn(user);
}

struct mail_user *mail_seal_mailbox_owner(struct mailbox *box)
{
	struct mail_namespace *ns = mailbox_get_namespace(box);
	struct mail_user *owner =
		ns->type == MAIL_NAMESPACE_TYPE_PRIVATE ?
		box->storage->user : ns->owner;

	if (owner == NULL || MAIL_SEAL_USER_CONTEXT(owner) == NULL)
		return NULL;
	return owner;
}

bool mail_seal_mailbox_is_sealable(struct mailbox *box)
{
	enum mail_storage_class_flags flags = box->storage->class_flags;

	/* Mailboxes that are one file are mbox and the spool file of a
	   delivery (raw); those without a root lie on another server. */
	return (flags & MAIL_STORAGE_CLASS_FLAG_BINARY_DATA) != 0 &&
		(flags & (MAIL_STORAGE_CLASS_FLAG_MAILBOX_IS_FILE |
			  MAIL_STORAGE_CLASS_FLAG_NO_ROOT)) == 0;
}

void mail_seal_user_refuse_open(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	if (suser != NULL)
		suser->refuse_open = TRUE;
}

void mail_seal_user_verify_on_open(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	if (suser != NULL)
		suser->verify_on_open = TRUE;
}

struct mailbox_list_iterate_context *
mail_seal_user_list_mailboxes(struct mail_user *user,
			      const char *const *patterns)
{
	return mailbox_list_iter_init_namespaces(user->namespaces, patterns,
		MAIL_NAMESPACE_TYPE_PRIVATE,
		MAILBOX_LIST_ITER_SKIP_ALIASES |
		MAILBOX_LIST_ITER_NO_AUTO_BOXES |
		MAILBOX_LIST_ITER_STAR_WITHIN_NS);
}

bool mail_seal_user_is_sealed(struct mail_user *user)
{
	return MAIL_SEAL_USER_CONTEXT(user) != NULL;
}

bool mail_seal_user_has_lost_keys(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	return suser != NULL && suser->keys_lost;
}

void mail_seal_user_tell_refused(struct mail_user *user, const char *command)
{
	struct event_passthrough *e =
		event_create_passthrough(user->event)->
		set_name("mail_seal_locked_refused")->
		add_str("command", command);

	e_debug(e->event(), "mail_seal: %s is refused: the session is locked",
		command);
}

const char *mail_seal_user_get_locked_text(struct mail_user *user)
{
	struct mail_seal_user *suser = MAIL_SEAL_USER_CONTEXT(user);

	return suser == NULL ? NULL : suser->locked_text;
}
