/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_DOVEADM_DOVEADM_SEAL_H
#define PLUGIN_DOVEADM_DOVEADM_SEAL_H

#include "doveadm-mail.h"
#include "keyring/edit.h"
#include "keyring/store.h"
#include "mail/mail-seal-keys.h"
#include "mail/scan.h"
#include "secrets.h"

/* What the commands "doveadm seal …" share. Each is a file with its alloc(),
   which calls seal_cmd_alloc(), and its run(). */

struct seal_cmd_context {
	struct doveadm_mail_cmd_context ctx;
	/* Which secrets the command may be given. */
	enum seal_secret_flags wanted;
	struct seal_secrets *secrets;
	/* Print the headers and look at options, before any user. */
	void (*start)(struct seal_cmd_context *cmd);
	int (*run)(struct seal_cmd_context *cmd, struct mail_user *user);
	/* Where doveadm gets the next user from. */
	int (*next_user)(struct doveadm_mail_cmd_context *ctx,
			 const char **username_r);
	/* It was said already why the command can't run at all. */
	bool failed;
};

/* What every command is registered with as its cmd. Its parameters begin with
   DOVEADM_CMD_MAIL_COMMON. */
void seal_cmd_exec(struct doveadm_cmd_context *cctx);

/* What a command is made of: the secrets that it may be given, what it does
   before any user, and for each. formatter is doveadm's if -f isn't given. */
struct doveadm_mail_cmd_context *
seal_cmd_alloc(enum seal_secret_flags wanted, const char *formatter,
	       void (*start)(struct seal_cmd_context *cmd),
	       int (*run)(struct seal_cmd_context *cmd,
			  struct mail_user *user));

/* For start(): fail if there is no new password. */
void seal_require_new_password(struct seal_cmd_context *cmd);
/* For start(): the column of seal_change_run_and_print(). */
void seal_start_result(struct seal_cmd_context *cmd);

/* TRUE if an option was given. */
bool seal_cmd_has(const struct seal_cmd_context *cmd, const char *name);
/* An option without a value. */
bool seal_cmd_flag(const struct seal_cmd_context *cmd, const char *name);
/* The value of an option, or NULL. */
const char *
seal_cmd_str(const struct seal_cmd_context *cmd, const char *name);

/* The values of one that may be given several times, NULL-terminated, or NULL. */
const char *const *
seal_cmd_array(const struct seal_cmd_context *cmd, const char *name);

/* For start(): a column of numbers. */
void seal_print_number_header(const char *name);

/* For start(): set an option as if it had been given. */
void seal_cmd_set_str(struct seal_cmd_context *cmd, const char *name,
		      const char *value);

/* Say on behalf of this user what went wrong, and remember the exit code:
   EX_TEMPFAIL wins, else the first one. Returns -1, for run(). */
int seal_cmd_fail(struct seal_cmd_context *cmd, struct mail_user *user,
		  int exit_code, const char *fmt, ...) ATTR_FORMAT(4, 5);
/* For start(): the command can't run. Doesn't return on the command line. */
void seal_cmd_fail_start(struct seal_cmd_context *cmd, int exit_code,
			 const char *error);

/* change.c: one change of one user's keyring. */

struct seal_change {
	struct seal_cmd_context *cmd;
	struct mail_user *user;
	/* For the log, e.g. "slot remove"; and the kind of slot or NULL. */
	const char *action, *slot_kind;
	/* Make the change by edit. Returns 1; 0 if there is nothing to change;
	   -1 and error_r, with exit_code set. Called again if another process
	   was faster. */
	int (*apply)(struct seal_change *change, const char **error_r);
	/* For what was done: apply()'s own. */
	const char *result;

	/* For apply(): */
	const struct keyring *keyring;
	const struct keyring_opened *opened;
	struct keyring_edit *edit;
	enum keyring_edit_flags flags;
	/* A secret that has to open the new keyring; NULL if none does. */
	const char *verify_secret;
	/* Set by seal_check_last_slot(). */
	bool is_last_slot;
	/* What a failure of apply() ends with; EX_TEMPFAIL if it sets none. */
	int exit_code;

	/* The identities after the change, current one first; NULL if nothing
	   was changed. */
	struct age_identities *identities;
};

/* Open the stored keyring with the secrets at hand, apply the change, store it
   and log it. Returns 1 if changed, 0 if not, -1 if it failed, which was said.
   In the first two cases the caller frees *keyring_r, and
   change->identities is set after 1, to be freed by seal_change_deinit(). */
int seal_change_run(struct seal_change *change, struct keyring **keyring_r);
void seal_change_deinit(struct seal_change *change);

/* As above, and print change->result. Returns 0, or -1. */
int seal_change_run_and_print(struct seal_change *change);
/* For apply(): give slot idx the new password, or add a slot for it if that is
   KEYRING_NO_SLOT, with a label or NULL. Returns as apply() does. */
int seal_set_or_add_password(struct seal_change *change, unsigned int idx,
			     const char *label, const char **error_r);
/* For apply() when the identities were changed: have the password slot hold them
   that the secret at hand opened. Other ones are written anew when their secret
   is seen. Returns as apply() does. */
int seal_renew_password(struct seal_change *change, const char **error_r);
/* For apply() when a slot was removed: refuse if none is left that opens the
   keyring, unless --force was given. Returns as apply() does. */
int seal_check_last_slot(struct seal_change *change, const char **error_r);

/* The costs of new password slots. */
void seal_costs(struct mail_user *user, struct keyring_costs *costs_r);
/* Why there is no keyring to manage, or NULL if there may be one. */
const char *seal_no_keyring_reason(struct mail_user *user);
/* The keyring's store, or NULL if this user has none, which was said. */
struct keyring_store *
seal_store_init(struct seal_cmd_context *cmd, struct mail_user *user);
/* Load the keyring. Returns 0, or -1 if there is none or it can't be read,
   which was said. */
int seal_load(struct seal_cmd_context *cmd, struct mail_user *user,
	      struct keyring_store *store, struct keyring **keyring_r);

/* mailboxes.c: call this for every mailbox that holds messages of the user's
   own, and that the positional parameter "mailbox-mask" matches if the command
   was given any. It returns 0, or -1 to end, having said why. So does this. */
#define SEAL_MASK_PARAM \
DOVEADM_CMD_PARAM('\0', "mailbox-mask", CMD_PARAM_ARRAY, \
		  CMD_PARAM_FLAG_POSITIONAL)
typedef int seal_mailbox_callback_t(struct mailbox *box, void *context);
int seal_visit_mailboxes(struct seal_cmd_context *cmd, struct mail_user *user,
			 enum mailbox_flags flags,
			 seal_mailbox_callback_t *callback, void *context);
/* mail_seal_scan_mailbox(), which says itself why it failed. */
int seal_scan_mailbox(struct seal_cmd_context *cmd, struct mail_user *user,
		      struct mailbox *box,
		      const struct age_identities *identities,
		      struct mail_seal_scan *scan);
/* For all mailboxes. scan_r is zeroed by the caller. */
int seal_scan_all(struct seal_cmd_context *cmd, struct mail_user *user,
		  const struct age_identities *identities,
		  struct mail_seal_scan *scan_r);

/* Give every recipient of mail_seal_escrow_recipients a slot, and nobody else.
   Returns 1 if something was changed, 0 if not, -1 and error_r. */
int seal_sync_escrow(struct mail_user *user, struct keyring_edit *edit,
		     const char **error_r);

/* slot-print.c: for people. "good"; "outdated" if a rotation could not write it
   anew; "unlisted" if it isn't one of ours; "refused" if its costs are beyond
   the limits. */
const char *seal_slot_state(const struct keyring_slot *slot);
/* Costs of password slots, else "". */
const char *seal_slot_memory(const struct keyring_slot *slot);
const char *seal_slot_passes(const struct keyring_slot *slot);
/* All slots in one line. */
const char *seal_slots_str(const struct keyring *keyring);
const char *seal_recipients_str(const struct keyring *keyring);

/* doveadm seal slot remove --forget-old. */
int seal_forget_old(struct seal_cmd_context *cmd, struct mail_user *user);

/* code-print.c: the two columns of a new recovery code; NULL for none. */
void seal_code_print_headers(void);
void seal_code_print(struct mail_user *user,
		     const struct age_x25519_identity *code);

/* Open the keyring with the secrets at hand, or else take what the user is
   unlocked with, and unlock the user in this process. Returns 1; 0 if there was
   no secret, which only the caller knows to be wrong; -1, which was said. */
int seal_unlock_user(struct seal_cmd_context *cmd, struct mail_user *user);

/* Load and open the keyring without changing it. Returns 0, the keyring and
   what opened it, which the caller frees; or -1, which was said. */
int seal_open_stored(struct seal_change *change, struct keyring **keyring_r,
		     struct keyring_opened *opened_r);

/* The commands. */
extern struct doveadm_cmd_ver2 seal_cmd_status, seal_cmd_enroll,
	seal_cmd_password, seal_cmd_recover, seal_cmd_recovery_new,
	seal_cmd_recovery_remove, seal_cmd_slot_list, seal_cmd_slot_add,
	seal_cmd_slot_remove, seal_cmd_escrow_sync, seal_cmd_rotate,
	seal_cmd_reseal, seal_cmd_mail, seal_cmd_unseal, seal_cmd_verify,
	seal_cmd_destroy;

#endif
