/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGE_SCRYPT_H
#define AGE_SCRYPT_H

#include "age/recipient.h"

/* The scrypt recipient type (C2SP age.md, "The scrypt recipient type"): a
   passphrase, alone in its header. */

/* The highest base-two logarithm of the work factor that is tried on opening:
   2^22 is 4 GiB and about 15 s. The stock age writes 18. */
#define AGE_SCRYPT_MAX_LOG_N 22
#define AGE_SCRYPT_DEFAULT_LOG_N 18

struct age_scrypt_recipient {
	struct age_recipient recipient;
	/* Not copied: the caller keeps it while the recipient is in use. */
	const char *passphrase;
	unsigned int log_n;
};

struct age_scrypt_identity {
	struct age_identity identity;
	/* Not copied, likewise. */
	const char *passphrase;
	/* Refuse a higher work factor: AGE_SCRYPT_MAX_LOG_N or less. */
	unsigned int max_log_n;
};

void age_scrypt_recipient_init(struct age_scrypt_recipient *recipient_r,
			       const char *passphrase, unsigned int log_n);
void age_scrypt_identity_init(struct age_scrypt_identity *identity_r,
			      const char *passphrase, unsigned int max_log_n);

#endif
