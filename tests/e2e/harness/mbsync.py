# SPDX-License-Identifier: LGPL-2.1-or-later
"""mbsync, which keeps a copy of a user's mail in a folder."""

import os
import subprocess

_CONFIG = """
IMAPStore far
Host 127.0.0.1
Port {port}
User {user.name}
Pass "{user.password}"
SSLType IMAPS
CertificateFile {server.base}/cert.pem

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""


def mbsync(server, user, folder):
    """Sync FOLDER/mail with all mailboxes; returns what it said."""
    os.makedirs(folder / "mail", exist_ok=True)
    path = folder / "mbsyncrc"
    path.write_text(_CONFIG.format(server=server, user=user, folder=folder,
                                   port=server.ports["imaps"]))
    done = subprocess.run(["mbsync", "-V", "-c", path, "-a"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    return done.stdout
