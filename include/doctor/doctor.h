/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "array-decl.h"

/* Looks at a configuration of Dovecot, the modules and the machine, for
   mail-seal doctor. It reads alone, and runs doveconf and the like. */

/* In the order in which they weigh. */
enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE,
	DOCTOR_WARNING,
	DOCTOR_ERROR
};

struct doctor_finding {
	enum doctor_level level;
	/* What scripts know the check by. */
	const char *check;
	/* What was found and what was expected. What the configuration holds
	   is in it as it is: control characters may be there. */
	const char *text;
	/* Lines that mend it, NULL if there are none. */
	const char *paste;
};
ARRAY_DEFINE_TYPE(doctor_finding, struct doctor_finding);

/* Run all checks. path is that of dovecot.conf and module_dir the folder of the
   modules, NULL for those that Dovecot itself would take. The findings, at least
   one for each check that ran, are allocated from pool. Returns FALSE if there
   is no configuration that could be looked at: the findings say why. */
bool doctor_look(pool_t pool, const char *path, const char *module_dir,
		 ARRAY_TYPE(doctor_finding) *findings_r);

#endif
