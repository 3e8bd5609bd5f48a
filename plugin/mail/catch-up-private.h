/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLUGIN_MAIL_CATCH_UP_PRIVATE_H
#define PLUGIN_MAIL_CATCH_UP_PRIVATE_H

struct catch_up;

/* Go on for a moment, and free it. While the user has its namespaces still. */
void catch_up_deinit(struct catch_up **catch_up);

#endif
