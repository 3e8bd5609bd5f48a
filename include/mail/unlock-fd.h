/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MAIL_UNLOCK_FD_H
#define MAIL_UNLOCK_FD_H

/* The key that an administrator gives doveadm through a file descriptor: one
   line, a password or an identity. It is read once and tried for each user of
   this process. */

struct mail_user;
struct mail_seal_secrets;

/* TRUE if this process is doveadm, run at the command line. */
bool unlock_fd_is_doveadm(struct mail_user *user);

/* Read the key, if it wasn't read before. The descriptor is closed then, so that
   no child gets it, unless it's the standard input, of which no more than the
   line is taken. Returns 0, or -1 and error_r; every later call gives the same.
 */
int unlock_fd_read(struct mail_user *user, int fd, const char **error_r);
/* TRUE and the key if there is one. It lives until unlock_fd_deinit(). */
bool unlock_fd_get(struct mail_seal_secrets *secrets_r);
/* Wipe it. */
void unlock_fd_deinit(void);

#endif
