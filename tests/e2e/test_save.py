# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every way into a mailbox seals; the stock age opens what lies on disk."""

import os

import pytest

from harness import age, corpus, disk, keyring
from harness.config import Setup
from harness.seal import enrol, enrolled, open_all, stanzas
from harness.wire import Imap, Lmtp, append_part, lmtp


MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
LF = MESSAGE.replace(b"\r\n", b"\n")


def same_on_disk(pair):
    """The sealed files open to exactly what the plain server stores."""
    plain, sealed = pair.servers
    plain_user, sealed_user = pair.users
    stored = disk.contents(plain, plain_user)
    opened = open_all(sealed, sealed_user)
    assert len(stored) == len(opened)
    assert sorted(stored) == sorted(opened)
    return opened


# IMAP


def test_append_corpus(pair):
    for _, message in corpus.everything():
        pair.append(message)
    assert len(same_on_disk(pair)) == len(corpus.everything())


def test_append_at_chunk_borders(pair):
    messages = corpus.borders(pair.servers[0].setup.stored_ends)
    for _, message in messages:
        pair.append(message)
    sizes = [len(message) for message in same_on_disk(pair)]
    assert sorted(sizes) == sorted(
        chunks * corpus.CHUNK + d for chunks in (1, 2, 3) for d in (-1, 0, 1))


def test_append_with_crlf_storage(make_pair):
    pair = make_pair(storage="maildir", crlf=True)
    for _, message in corpus.borders("\r\n") + corpus.odd():
        pair.append(message)
    same_on_disk(pair)


@pytest.mark.parametrize("method", ["gz", "zstd"])
def test_compression_lies_under_the_seal(make_pair, storage, method):
    pair = make_pair(storage=storage, compress=method)
    message = corpus.of_size(300000)
    pair.append(message)
    opened = same_on_disk(pair)[0]
    assert len(opened) < len(message) / 10
    pair.same_ok("SELECT INBOX")
    pair.reconnect()
    pair.select()
    pair.same_ok("FETCH 1 (RFC822.SIZE BODY.PEEK[])")


def test_append_of_nuls(pair):
    plain, sealed = pair.each(lambda session: session.append_cmd(
        corpus.NULS, binary=True))
    assert plain.status == sealed.status == "OK"
    same_on_disk(pair)


def test_multiappend(pair):
    for session in pair.sessions:
        session.ok(b"APPEND INBOX" + b"".join(
            append_part(corpus.of_size(size), "\\Seen", corpus.DATE)
            for size in (100 * 2, 65536, 70000)))
    assert len(same_on_disk(pair)) == 3


def test_multiappend_is_all_or_nothing(pair):
    """The second message breaks off: the first isn't there either."""
    for session in pair.sessions:
        session.send(b"x APPEND INBOX" + append_part(MESSAGE) +
                     b" {1000+}\r\nonly this")
        session.close()
    pair.reconnect()
    pair.same_ok("STATUS INBOX (MESSAGES)")
    assert disk.stored(pair.servers[1], pair.users[1]) == []


def test_catenate(pair):
    pair.append(MESSAGE)
    for session in pair.sessions:
        session.select()
        session.ok(b'APPEND INBOX CATENATE (URL "/INBOX/;UID=1/;SECTION=HEADER'
                   b'" TEXT {10+}\r\nnew body\r\n URL "/INBOX/;UID=1/;'
                   b'SECTION=TEXT")')
    assert len(same_on_disk(pair)) == 2


def test_dates_and_flags_are_kept(pair):
    pair.append(MESSAGE, flags=r"\Seen \Flagged keyword", date=corpus.DATE)
    pair.select()
    pair.same_ok("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)")


def test_size_on_disk_is_the_plain_one(pair):
    """S=, W= and dbox's V count the message, not the seal."""
    for size in (100 * 2, 65536, 200000):
        pair.append(corpus.of_size(size))
    plain, sealed = (sorted(m.size_field for m in disk.stored(server, user))
                     for server, user in zip(pair.servers, pair.users))
    assert plain == sealed


def test_every_file_is_sealed_to_the_keyring(sealed):
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        imap.append(MESSAGE)
        imap.append(MESSAGE)
    first, second = disk.contents(sealed, user)
    assert stanzas(first) == stanzas(second) == ["X25519"]
    assert first != second, "a file key was used twice"


# Delivery, while nobody is logged in


def delivered(server, user):
    """The only message of a user, opened, without what delivery adds."""
    opened, = open_all(server, user)
    return opened[opened.index(b"From: "):] if b"From: " in opened else opened


def test_lmtp(sealed):
    user = enrolled(sealed)
    lmtp(sealed, [user], MESSAGE)
    assert delivered(sealed, user) == LF


def test_lmtp_to_several(sealed):
    users = enrol(sealed, *(sealed.user() for _ in range(4)))
    message = corpus.of_size(200000)
    lmtp(sealed, users, message)
    files = set()
    for user in users:
        assert delivered(sealed, user) == message.replace(b"\r\n", b"\n")
        stored, = disk.stored(sealed, user)
        assert os.stat(stored.path).st_nlink == 1
        files.add(stored.content)
        with Imap(sealed, user) as imap:
            imap.select()
            assert imap.body(1).endswith(message)
    assert len(files) == len(users)
    for user, other in zip(users, users[1:]):
        with pytest.raises(age.AgeFailed):
            age.open_(keyring.identity(other),
                      disk.contents(sealed, user)[0])


def test_lmtp_before_enrolment_is_refused_for_that_user(sealed):
    first, new, last = (sealed.user() for _ in range(3))
    enrol(sealed, first, last)
    sealed.allow_log("mail_seal|keyring|enrol")
    with Lmtp(sealed) as client:
        codes = [code for code, _ in
                 client.deliver([first, new, last], MESSAGE)]
    assert codes == [250, 451, 250]
    assert delivered(sealed, first) == delivered(sealed, last) == LF
    assert not os.path.exists(f"{new.home}/mail") or \
        disk.stored(sealed, new) == []
    enrol(sealed, new)
    lmtp(sealed, [new], MESSAGE)
    assert delivered(sealed, new) == LF


def test_plaintext_before_enrolment_by_setting(serve, storage):
    server = serve(Setup(storage=storage, settings=(
        ("mail_seal_unenrolled", "plaintext"),)))
    user = server.user()
    lmtp(server, [user], MESSAGE)
    assert [message.is_sealed for message in disk.stored(server, user)] == \
        [False]
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
        imap.select()
        assert imap.body(1).endswith(MESSAGE)
        assert imap.body(2) == MESSAGE
    lmtp(server, [user], MESSAGE)
    # The first one, too, by and by: see test_catch_up.py.
    assert sum(message.is_sealed
               for message in disk.stored(server, user)) >= 2


def test_save_no_stores_plain_and_reads_sealed(serve, sealed, storage):
    off = serve(Setup(storage=storage, settings=(("mail_seal_save", "no"),)))
    user = off.user()
    lmtp(off, [user], MESSAGE)
    with Imap(off, user) as imap:
        imap.append(MESSAGE)
        reply = imap.append_cmd(b"age-encryption.org/v1\n-> X25519 a\nb\n")
        assert reply.status == "NO"
    assert [message.is_sealed for message in disk.stored(off, user)] == \
        [False, False]


def test_lda(sealed):
    user = enrolled(sealed)
    sealed.lda(user, LF)
    assert delivered(sealed, user) == LF


def test_lda_before_enrolment_is_tempfail(sealed):
    user = sealed.user()
    sealed.allow_log("mail_seal|keyring|enrol")
    assert sealed.lda(user, LF, check=False).returncode == os.EX_TEMPFAIL


def test_lda_with_a_large_message(sealed):
    """LDA spools what it reads to a file; that file must not be linked."""
    user = enrolled(sealed)
    message = corpus.of_size(1 << 20)
    sealed.lda(user, message)
    stored, = disk.stored(sealed, user)
    assert os.stat(stored.path).st_nlink == 1
    assert delivered(sealed, user) == message.replace(b"\r\n", b"\n")


def test_doveadm_save(sealed):
    user = enrolled(sealed)
    sealed.doveadm("save", "-u", user.name, stdin=LF)
    assert open_all(sealed, user) == [LF]


SIEVE = b"""
require ["fileinto", "copy", "mailbox"];
fileinto :create :copy "Copies";
fileinto :create :copy "Second";
"""


def test_sieve_fileinto_and_keep(sealed):
    user = enrolled(sealed)
    with open(f"{user.home}/.dovecot.sieve", "wb") as file:
        file.write(SIEVE)
    os.chown(f"{user.home}/.dovecot.sieve", 5000, 5000)
    lmtp(sealed, [user], MESSAGE)
    opened = open_all(sealed, user)
    assert len(opened) == 3
    assert all(message.endswith(LF) for message in opened)
    with Imap(sealed, user) as imap:
        for mailbox in ("INBOX", "Copies", "Second"):
            imap.select(mailbox)
            assert imap.body(1).endswith(MESSAGE)


# Copies


def test_copy_keeps_the_sealed_file(sealed):
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        imap.append(MESSAGE)
        imap.ok("CREATE Other")
        imap.select()
        imap.ok("COPY 1 Other")
        imap.ok("MOVE 1 Other")
        imap.select("Other")
        assert imap.body(1) == imap.body(2) == MESSAGE
    assert len(set(disk.contents(sealed, user))) == 1
