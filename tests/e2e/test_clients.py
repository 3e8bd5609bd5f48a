# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that people use: curl, mbsync, Python's own clients, over TLS too."""

import imaplib
import poplib
import subprocess

import pytest

from harness import corpus
from harness.mbsync import mbsync as mailbox_sync
from harness.seal import enrolled, open_all
from harness.wire import Imap

pytestmark = pytest.mark.no_asan

MESSAGES = [message for _, message in corpus.cpython()] + [
    corpus.of_size(size) for size in (65536, 131073, 1 << 20)]


@pytest.fixture(scope="module")
def filled(sealed):
    """(server, user), with MESSAGES in INBOX."""
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        for message in MESSAGES:
            imap.append(message)
    return sealed, user


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, check=False, **options)
    assert done.returncode == 0, (command, done.stderr.decode())
    return done.stdout


def curl(server, user, url, *options):
    return run("curl", "-sS", "--cacert", f"{server.base}/cert.pem",
               "-u", f"{user.name}:{user.password}",
               url.format(**server.ports), *options)


def test_curl_reads_all(filled, tmp_path):
    server, user = filled
    curl(server, user, "imaps://127.0.0.1:{imaps}/INBOX;UID="
         f"[1-{len(MESSAGES)}]", "-o", f"{tmp_path}/#1")
    for uid, message in enumerate(MESSAGES, 1):
        assert (tmp_path / str(uid)).read_bytes() == corpus.crlf(message)


def test_curl_appends(sealed, tmp_path):
    user = enrolled(sealed)
    path = tmp_path / "message"
    path.write_bytes(MESSAGES[-1])
    curl(sealed, user, "imaps://127.0.0.1:{imaps}/INBOX", "-T", str(path))
    assert open_all(sealed, user) == [MESSAGES[-1].replace(b"\r\n", b"\n")]


def test_curl_reads_with_starttls(filled):
    server, user = filled
    assert curl(server, user, "imap://127.0.0.1:{imap}/INBOX;UID=1",
                "--ssl-reqd") == corpus.crlf(MESSAGES[0])


def test_imaplib_reads_all(filled):
    server, user = filled
    with imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"],
                           ssl_context=server.tls_context()) as imap:
        imap.login(user.name, user.password)
        imap.select(readonly=True)
        _, answers = imap.fetch("1:*", "(BODY.PEEK[])")
        bodies = [answer[1] for answer in answers if isinstance(answer, tuple)]
    assert bodies == [corpus.crlf(message) for message in MESSAGES]


def test_poplib_reads_all(filled):
    server, user = filled
    pop3 = poplib.POP3("127.0.0.1", server.ports["pop3"])
    pop3.user(user.name)
    pop3.pass_(user.password)
    assert pop3.stat()[1] == sum(len(corpus.crlf(message))
                                 for message in MESSAGES)
    for number, message in enumerate(MESSAGES, 1):
        lines = pop3.retr(number)[1]
        assert b"\r\n".join(lines) == corpus.crlf(message).removesuffix(
            b"\r\n")
    pop3.quit()


def mbsync(server, user, folder):
    mailbox_sync(server, user, folder)
    return folder / "mail" / "INBOX"


def synced(inbox):
    """What mbsync stored, without its own header and with CRLF."""
    found = []
    for folder in ("cur", "new"):
        for path in (inbox / folder).iterdir():
            lines = path.read_bytes().split(b"\n")
            found.append(corpus.crlf(b"\n".join(
                line for line in lines if not line.startswith(b"X-TUID: "))))
    return sorted(found)


def test_mbsync_down(pair, tmp_path):
    """The same files as from a plain server."""
    for message in MESSAGES:
        pair.append(message)
    plain, sealed = (
        synced(mbsync(server, user, tmp_path / (server.setup.plugin or "-")))
        for server, user in zip(pair.servers, pair.users))
    # It leaves a message out whose header has no end.
    assert len(sealed) >= len(MESSAGES) - 1
    assert plain == sealed


def test_mbsync_both_ways(sealed, tmp_path):
    """A new and a deleted message, up and down again."""
    server, user = sealed, enrolled(sealed)
    with Imap(server, user) as imap:
        imap.append(corpus.of_size(100000))
        imap.append(corpus.of_size(3000))
    inbox = mbsync(server, user, tmp_path / "one")
    new = corpus.of_size(70000, seed=7)
    (inbox / "new" / "1.2.here").write_bytes(new.replace(b"\r\n", b"\n"))
    mbsync(server, user, tmp_path / "one")
    with Imap(server, user) as imap:
        imap.select()
        assert len(imap.uids()) == 3
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
    mbsync(server, user, tmp_path / "one")
    assert synced(inbox) == sorted([corpus.of_size(3000), new])
    assert synced(mbsync(server, user, tmp_path / "two")) == synced(inbox)
    assert len(open_all(server, user)) >= 2
