/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "ioloop.h"
#include "time-util.h"
#include "mail-user.h"
#include "crypto/secret.h"
#include "doveadm-seal.h"
#include "doveadm-print.h"

/* A recovery code is shown once, when it was stored: as it is, for programs, and
   in a line that says what it is, for paper. */

void seal_code_print_headers(void)
{
	doveadm_print_header_simple("recovery_code");
	doveadm_print_header_simple("print_this");
}

void seal_code_print(struct mail_user *user,
		     const struct age_x25519_identity *code)
{
	char str[AGE_X25519_IDENTITY_CHARS + 1], line[512];

	if (code == NULL) {
		doveadm_print("");
		doveadm_print("");
		return;
	}
	age_x25519_identity_str(code, str);
	(void)i_snprintf(line, sizeof(line), "Recovery code for the sealed "
		"mail of %.255s, %s: %s (keep this secret: it opens the mail)",
		user->username, t_strflocaltime("%Y-%m-%d", ioloop_time), str);
	doveadm_print(str);
	doveadm_print(line);
	secret_wipe(line, sizeof(line));
	secret_wipe(str, sizeof(str));
}
