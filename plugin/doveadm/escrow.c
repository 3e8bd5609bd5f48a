/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "doveadm-seal.h"

int seal_sync_escrow(struct mail_user *user, struct keyring_edit *edit,
		     const char **error_r)
{
	return 0;
}
