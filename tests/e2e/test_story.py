# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of a user's keys from the first to the last day, as README.md's
"Living with keys" tells it: each step on the state that the one before left."""

import glob
import hashlib
import re

import pytest

from harness import age, canary, config, disk, keyring
from harness.config import Setup
from harness.doveadm import seal_user
from harness.seal import open_all
from harness.wire import Failed, Imap, Pop3, lmtp

pytestmark = pytest.mark.no_asan

FIRST, SECOND, THIRD = "first password", "second password", "third password"


class Story:
    """One user, what was sent, and every secret that was used."""

    def __init__(self, server):
        self.server = server
        self.user = server.user(password=FIRST)
        self.words = []
        self.secrets = [FIRST, SECOND, THIRD]

    def send(self):
        word = canary.word()
        self.words.append(word)
        lmtp(self.server, [self.user],
             f"Subject: {word}\r\n\r\nThe word is {word}.\r\n".encode())

    def set_password(self, password):
        """In the password database, as a site's own tools do."""
        self.user = self.server.user(self.user.name, password)

    def seal(self, verb, *words, **secrets):
        done = seal_user(self.server, self.user, verb, *words, **secrets)
        shown = done.out + done.err
        for secret in self.secrets:
            assert secret not in shown
        return done

    def status(self):
        return self.seal("status").row

    def assert_readable(self):
        """Over IMAP and POP3, and by the stock age; nothing of it on disk."""
        with Imap(self.server, self.user) as imap:
            imap.select()
            for uid, word in enumerate(self.words, 1):
                assert f"The word is {word}.".encode() in imap.body(uid)
        with Pop3(self.server, self.user) as pop3:
            last = pop3.ok(f"RETR {len(self.words)}", multiline=True)
            assert self.words[-1].encode() in last
        assert canary.find(self.server.base, self.words) == []

    def assert_locked(self):
        with Imap(self.server, self.user) as imap:
            assert b"[ALERT]" in imap.login_reply.raw
            with pytest.raises(Failed, match="UNAVAILABLE"):
                imap.select()
        self.server.expect_log("Session is locked")


@pytest.mark.parametrize("storage", config.FORMATS)
def test_life_of_a_users_keys(own_server, storage):
    escrow = age.keygen()
    server = own_server(Setup(storage=storage, settings=(
        ("mail_seal_escrow_recipients", escrow.recipient),)))
    story = Story(server)
    story.secrets.append(escrow.identity)

    # enrol, receive, read
    story.seal("enroll", password=FIRST)
    story.send()
    story.assert_readable()
    recovery = story.seal("recovery new", password=FIRST).row["recovery_code"]
    story.secrets.append(recovery)
    status = story.status()
    assert (status["password_slots"], status["recovery_slots"],
            status["escrow_slots"]) == (1, 1, 1)
    assert escrow.recipient in status["slots"]

    # change the password, read
    with Imap(server, story.user) as open_session:
        open_session.select()
        story.seal("password", password=[FIRST, SECOND])
        story.set_password(SECOND)
        story.send()
        open_session.ok("NOOP")
        assert story.words[1].encode() in open_session.body(2)
    story.assert_readable()

    # lose the password: the site sets a new one, which opens nothing
    story.set_password(THIRD)
    story.send()
    story.assert_locked()

    # recover by the code, read
    story.seal("recover", code=recovery, password=THIRD)
    story.assert_readable()

    # read by escrow, with the stock age alone
    slot = re.search(r"^slot: escrow .*\n(-----BEGIN(?s:.*?)-----END.*\n)",
                     keyring.read(story.user), re.M).group(1)
    identities = age.open_(escrow.identity, slot.encode()).decode()
    opened = open_all(server, story.user, identities)
    assert len(opened) == len(story.words)

    # rotate with reseal, read
    before = story.status()["recipient"]
    old = re.search("^AGE-SECRET-KEY-1.*$", identities, re.M).group()
    row = story.seal("rotate", "--reseal", password=THIRD).row
    assert row["resealed"] == 3
    assert story.status()["recipient"] == row["recipient"] != before
    story.send()
    story.assert_readable()
    for message in disk.stored(server, story.user):
        with pytest.raises(age.AgeFailed):
            age.open_(old, message.content)
    if storage == "sdbox":
        # waits for deliveries of before the rotation
        story.seal("slot remove", "--forget-old", password=THIRD)
        assert story.status()["earlier"] == ""
        story.assert_readable()

    # destroy, unreadable
    kept = keyring.read(story.user)
    row = story.seal("destroy", "--confirm", story.user.name).row
    assert row["sealed"] == 4
    assert glob.glob(keyring.path(story.user) + "*") == []
    # the next login enrols anew, which opens nothing of what was
    with Imap(server, story.user) as imap:
        assert keyring.recipient(keyring.read(story.user)) != \
            keyring.recipient(kept)
        imap.select()
        for uid in range(1, 5):
            with pytest.raises(Failed):
                imap.body(uid)
    server.expect_log("UID[= ]4: mail_seal: cannot open")
    server.allow_log("UID[= ][123]: mail_seal: cannot open")

    # no secret anywhere on disk, nor in the log
    hashes = [hashlib.sha256(password.encode()).hexdigest() for password in (FIRST, SECOND, THIRD)]
    assert canary.find(server.base, [recovery, old, *hashes]) == []
