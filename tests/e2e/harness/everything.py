# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must stay as it is when stored mail is rewritten."""

import re

from .wire import Imap, Pop3


def seen(server, user, mailboxes=("INBOX", "Other")):
    """All that clients and administrators see of a store."""
    found = []
    with Imap(server, user) as imap:
        for mailbox in mailboxes:
            found += imap.ok(f"STATUS {mailbox} (MESSAGES UIDNEXT UIDVALIDITY "
                            "UNSEEN HIGHESTMODSEQ)").untagged
            imap.ok("ENABLE CONDSTORE")
            imap.ok(f"EXAMINE {mailbox}")
            for command in (
                    "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ "
                    "X-GUID ENVELOPE BODYSTRUCTURE)",
                    "UID FETCH 1:* BODY.PEEK[]", "THREAD REFS UTF-8 ALL",
                    "SORT (SIZE) UTF-8 ALL", "GETQUOTAROOT INBOX"):
                found += sorted(imap.cmd(command).untagged)
    found.append(server.doveadm(
        "fetch", "-u", user.name, "mailbox uid guid date.received date.saved "
        "size.physical size.virtual pop3.uidl flags", "all").stdout)
    with Pop3(server, user) as pop3:
        for command in ("UIDL", "LIST", "STAT"):
            found.append(pop3.ok(command, command != "STAT"))
    return [re.sub(rb"\[UNSEEN.*", b"", line) for line in found]
