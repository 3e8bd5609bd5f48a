# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration in README.md works as it stands there."""

import pytest

from harness import canary, corpus, disk
from harness.config import Setup
from harness.readme import example
from harness.seal import enrolled, open_all
from harness.server import dovecot_version
from harness.wire import Imap, Pop3, lmtp

pytestmark = pytest.mark.no_asan

def start(own_server):
    users = "%u" if dovecot_version() < (2, 4) else "%{user}"
    text = example("configuration", {
        "/etc/dovecot/users": f"@base@/users/{users}"})
    return own_server(Setup(plugin="", bare=True, extra=text))


def test_example_seals_and_opens(own_server):
    server = start(own_server)
    user = enrolled(server)
    words = [canary.word() for _ in range(4)]
    message = corpus.with_attachment(words[0], words[1], words[2],
                                     words[3].encode() * 30000)
    lmtp(server, [user], message)
    with Imap(server, user) as imap:
        imap.append(message)
        imap.select()
        assert imap.body(1).endswith(message)
        assert imap.body(2) == message
        imap.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)")
        assert imap.uids(f"SUBJECT {words[0]}") == [1, 2]
    with Pop3(server, user) as pop3:
        assert words[1].encode() in pop3.ok("RETR 2", multiline=True)
    assert len(open_all(server, user)) == 2
    assert all(message.is_sealed for message in disk.stored(server, user))
    assert canary.find(server.base, words) == []
    assert "attachment@example.com" not in server.all_log()
