# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saving that a full disk or a crash cuts short: nothing is lost or shown."""

import contextlib
import glob
import os
import re
import signal

import pytest

from harness import canary, corpus
from harness.disk import small_disk
from harness.seal import enrolled, open_all
from harness.wire import Imap, Lmtp

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
LF = MESSAGE.replace(b"\r\n", b"\n")


def deliver(server, user, message=MESSAGE):
    with Lmtp(server) as client:
        (code, _), = client.deliver([user], message)
    return code


def files_of(user):
    return {path for path in glob.glob(f"{user.home}/**", recursive=True,
                                       include_hidden=True)
            if os.path.isfile(path) and "dovecot" not in path}


def make_mailboxes(server, user):
    """So that later only mail is written."""
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
        imap.select()
        imap.ok("LOGOUT")


def test_disk_full_while_saving(sealed):
    word = canary.word()
    large = corpus.with_attachment(word, word, word, word.encode() * 50000)
    user = sealed.user()
    sealed.allow_log("No space left|disk")
    with small_disk(user) as fill:
        make_mailboxes(sealed, user)
        fill(200000)
        before = files_of(user)
        with Imap(sealed, user) as imap:
            reply = imap.append_cmd(large)
            assert reply.status == "NO"
            imap.ok("NOOP")
        assert deliver(sealed, user, large) == 451
        assert sealed.lda(user, large, check=False).returncode != 0
        assert sealed.doveadm("save", "-u", user.name, stdin=large,
                              check=False).returncode != 0
        assert files_of(user) == before
        assert canary.find(user.home, [word]) == []
        assert open_all(sealed, user) == [LF]
        os.unlink(f"{user.home}/filler")
        assert deliver(sealed, user, large) == 250
        with Imap(sealed, user) as imap:
            imap.append(large)
            imap.select()
            assert imap.body(3) == large


def test_disk_full_while_saving_is_answered_as_by_plain_dovecot(make_pair,
                                                                storage):
    pair = make_pair(storage=storage)
    large = corpus.of_size(900000)
    with contextlib.ExitStack() as stack:
        codes = []
        for server, user in zip(pair.servers, pair.users):
            server.allow_log("No space left|disk")
            fill = stack.enter_context(small_disk(user))
            make_mailboxes(server, user)
            fill(200000)
            codes.append(deliver(server, user, large))
        assert codes[0] == codes[1]
        pair.reconnect()
        plain, sealed = pair.each(lambda session: session.append_cmd(large))
        assert plain.comparable() == sealed.comparable()
        pair.close()


def test_killed_while_saving(sealed):
    """A crash in the middle of APPEND leaves no word on disk."""
    word = canary.word()
    user = enrolled(sealed)
    sealed.allow_log("killed with signal 9")
    message = corpus.with_attachment(word, word, word, word.encode() * 50000)
    with Imap(sealed, user) as imap:
        imap.select()
        pids = re.findall(rf"user=<{user.name}>.*mpid=(\d+)",
                          sealed.new_log())
        imap.send(b"x APPEND INBOX {%d+}\r\n" % len(message))
        imap.send(message[:-1000])
        imap.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            imap.sock.recv(1)
        os.kill(int(pids[-1]), signal.SIGKILL)
    sealed.expect_log("killed with signal 9")
    assert canary.find(f"{sealed.base}/home", [word]) == []
    assert canary.find(f"{sealed.base}/tmp", [word]) == []
    with Imap(sealed, user) as imap:
        imap.select()
        assert imap.uids() == []
