# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client can ask for by GETMETADATA."""

import re

import pytest

from harness import keyring
from harness.config import Setup
from harness.doveadm import seal_user
from harness.seal import enrolled
from harness.wire import Imap, lmtp

ENTRY = "/private/vendor/vendor.mail-seal/"
_DICT_23 = "mail_attribute_dict = file:%h/attributes"
_DICT_24 = """
mail_attribute {
  dict file {
    path = %{home}/attributes
  }
}
"""


@pytest.fixture(scope="module", params=["no", "yes"])
def server(serve, request):
    """Also where METADATA is off."""
    if request.param == "no":
        return serve(Setup())
    imap = "protocol imap {\n  imap_metadata = yes\n}\n"
    return serve(Setup(extra_23=_DICT_23 + "\n" + imap,
                       extra_24=_DICT_24 + imap))


def get(imap, name, mailbox='""'):
    """The entry's value, or None."""
    answer = imap.ok(f"GETMETADATA {mailbox} {ENTRY}{name}").raw.decode()
    found = re.search(rf"METADATA \S+ \({ENTRY}{name} (?:NIL|\"(.*?)\"|"
                      r"\{(\d+)\}\r\n(.*?))\)\r\n", answer, re.S)
    assert found, answer
    return found[3] if found[2] else found[1]


@pytest.mark.parametrize("mailbox", ['""', "INBOX"])
def test_of_a_session_with_its_key(server, mailbox):
    user = enrolled(server)
    with Imap(server, user) as imap:
        assert get(imap, "status", mailbox) == "sealed"
        assert get(imap, "recipient", mailbox) == \
            keyring.recipient(keyring.read(user))
        assert re.fullmatch(r"password \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
                            get(imap, "slots", mailbox))


def test_lists(server):
    """Of the server's entries, and of a mailbox's those that were put there."""
    user = enrolled(server)
    with Imap(server, user) as imap:
        command = "GETMETADATA (DEPTH infinity) {} /private/vendor"
        listed = imap.ok(command.format('""')).raw.decode()
        for name in "status", "recipient", "slots":
            assert f"{ENTRY}{name} " in listed
        assert ENTRY not in imap.ok(command.format("INBOX")).raw.decode()


def test_of_a_locked_session(server):
    user = enrolled(server)
    lmtp(server, [user], b"Subject: x\r\n\r\n")
    with Imap(server, server.user(user.name, "another one")) as imap:
        assert get(imap, "status") == "locked"
        assert get(imap, "recipient") == \
            keyring.recipient(keyring.read(user))
        assert get(imap, "slots").startswith("password ")
        assert imap.cmd("SELECT INBOX").status == "NO"
    server.expect_log("Session is locked")


def test_slots_that_come_later(server):
    user = enrolled(server)
    seal_user(server, user, "recovery new", password=user.password)
    with Imap(server, user) as imap:
        assert [slot.split()[0] for slot in get(imap, "slots").split("; ")] \
            == ["password", "recovery"]
        seal_user(server, user, "rotate", password=user.password)
        assert get(imap, "recipient") == \
            keyring.recipient(keyring.read(user))


def test_it_can_not_be_set(server):
    user = enrolled(server)
    with Imap(server, user) as imap:
        for mailbox in '""', "INBOX":
            answer = imap.cmd(f'SETMETADATA {mailbox} '
                              f'({ENTRY}status "plain")')
            assert answer.status in ("NO", "BAD")
            assert get(imap, "status", mailbox) == "sealed"


def test_of_a_user_without_a_key(serve):
    server = serve(Setup(settings=(("mail_seal_unenrolled", "plaintext"),
                                   ("mail_seal_enroll", "no"))))
    with Imap(server, server.user()) as imap:
        assert get(imap, "status") == "plain"
        assert get(imap, "recipient") is None
        assert get(imap, "slots") is None
