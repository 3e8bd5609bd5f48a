# SPDX-License-Identifier: LGPL-2.1-or-later
"""What copies within a mailbox are answered from, and begin with."""

import re

from harness.cached import COUNT, fill, visit
from harness.seal import enrolled
from harness.wire import Imap


def envelopes(imap, numbers):
    found = re.findall(rb"\(ENVELOPE.*", imap.ok(
        f"FETCH {numbers} (ENVELOPE)").raw)
    assert len(found) == COUNT
    return found


def test_copies_within_a_mailbox(sealed):
    """Dovecot would give the copies the records of their originals, which are
    those of other UIDs."""
    user = enrolled(sealed)
    fill(sealed, user)
    for _ in range(2):
        visit(sealed, user)
    with Imap(sealed, user) as imap:
        imap.select()
        originals = envelopes(imap, f"1:{COUNT}")
        imap.ok("COPY 1:* INBOX")
        imap.ok("LOGOUT")
    for _ in range(2):
        with Imap(sealed, user) as imap:
            imap.select()
            assert envelopes(imap, f"1:{COUNT}") == originals
            assert envelopes(imap, f"{COUNT + 1}:*") == originals
            imap.ok("LOGOUT")
    assert "mail_seal: A record" not in sealed.new_log()
