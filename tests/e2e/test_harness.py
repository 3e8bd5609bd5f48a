# SPDX-License-Identifier: LGPL-2.1-or-later
"""The harness itself, on plain Dovecot: what it says must be so."""

import base64
import bz2
import gzip
import lzma
import zlib

import pytest

from harness import age, cachefile, canary, corpus, disk
from harness.compare import assert_same
from harness.config import Setup
from harness.wire import Imap, Lmtp, Pop3, lmtp

pytestmark = pytest.mark.no_asan


def test_messages_on_disk_are_found(plain):
    user = plain.user()
    messages = [corpus.of_size(size, "\n") for size in (400, 65536, 200001)]
    with Imap(plain, user) as imap:
        for message in messages:
            imap.append(message)
        imap.ok("CREATE Other")
        imap.append(b"Subject: other\r\n\r\nbody\r\n", "Other")
        imap.ok("LOGOUT")
    stored = disk.stored(plain, user)
    expected = [message.replace(b"\r\n", b"\n") for message in messages]
    expected.append(b"Subject: other\n\nbody\n")
    assert sorted(message.content for message in stored) == sorted(expected)
    assert [len(message) for message in expected[:3]] == [400, 65536, 200001]
    assert not any(message.is_sealed for message in stored)


def test_crlf_storage(serve, storage):
    plain = serve(Setup(storage=storage, plugin="", crlf=True))
    user = plain.user()
    ends = plain.setup.stored_ends
    message = corpus.of_size(65536, ends).replace(b"\r\n", ends.encode())
    assert len(message) == 65536
    with Imap(plain, user) as imap:
        imap.append(message)
    assert disk.contents(plain, user) == [message]


def test_literals_are_read_whole(plain):
    user = plain.user()
    message = corpus.with_attachment("t9 OK not the end", "t2 OK\r\n" * 9,
                                     "x", b"y" * 100000)
    with Imap(plain, user) as imap:
        imap.append(message)
        imap.select()
        assert imap.body(1) == message
        reply = imap.ok("FETCH 1 (BODY.PEEK[HEADER] BODY.PEEK[TEXT])")
        assert len(reply.untagged) == 1
        assert b"t9 OK not the end" in reply.raw


def test_clients_deliver_and_read(plain):
    user = plain.user()
    other = plain.user()
    message = b"Subject: hello\n\n.dot\n"
    lmtp(plain, [user, other], message)
    plain.lda(user, message)
    plain.doveadm("save", "-u", user.name, stdin=message)
    with Imap(plain, user, tls=True) as imap:
        imap.select()
        assert imap.uids() == [1, 2, 3]
        assert b"\r\n\r\n.dot\r\n" in imap.body(1)
    with Imap(plain, other) as imap:
        imap.select()
        assert imap.uids() == [1]
    with Pop3(plain, user) as pop3:
        assert b"\r\n..dot\r\n" in pop3.ok("RETR 1", multiline=True)


def test_lmtp_says_what_each_recipient_got(plain):
    user = plain.user()
    nobody = plain.user("nobody-here")
    unknown = type(user)("unknown", "", "")
    with Lmtp(plain) as client:
        codes = [code for code, _ in
                 client.deliver([user, unknown, nobody], b"Subject: x\n\n")]
    assert codes == [250, 550, 250]


def test_errors_in_the_log_are_seen(own_server):
    server = own_server(Setup(plugin="no_such_plugin_here",
                              plugins=("no_such",)))
    user = server.user()
    with pytest.raises((EOFError, OSError)), Imap(server, user) as imap:
        imap.cmd("NOOP")
    line = server.expect_log("no_such")
    server._allowed.clear()
    assert any(line.group() in bad for bad in server.bad_log_lines())
    server.allow_log("no_such")
    assert server.bad_log_lines() == []


def test_differences_are_seen():
    assert_same(b"abc", b"abc")
    with pytest.raises(AssertionError, match="at byte 2"):
        assert_same(b"abc", b"abd")
    with pytest.raises(AssertionError, match="at byte 3"):
        assert_same(b"abc", b"abcd")


def test_canaries_are_found(tmp_path):
    word = canary.word()
    files = {
        "plain": f"one {word} two", "capitals": word.upper(),
        "broken": f"{word[:7]}=\r\n{word[7:]}", "hex": word.encode().hex(),
        **{f"base64 {n}": base64.encodebytes(
            (f"{'x' * (70 + n)}{word}yyy").encode()).decode()
           for n in range(3)},
        "letters": "".join(f"={ord(letter):02X}" for letter in word.upper()),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for codec in ("utf-16-le", "utf-16-be", "utf-32-le"):
        (tmp_path / codec).write_bytes(b"." + f"a{word}b".encode(codec))
        files[codec] = b""
    (tmp_path / "clean").write_text("nothing here")
    found = {path.rpartition("/")[2]
             for path, _, _ in canary.find(tmp_path, [word])}
    assert found == set(files)


def packed(text):
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return {"zlib": b"before" + zlib.compress(text),
            "deflate": deflate.compress(text) + deflate.flush(),
            "gzip": bytes(9) + gzip.compress(text),
            "bzip2": bytes(9) + bz2.compress(text),
            "xz": bytes(9) + lzma.compress(text)}


def test_canaries_are_found_in_compressed_streams(tmp_path):
    """With no letters left of them in the file itself."""
    words = canary.words("ab")
    text = b"x" * 5000 + words["b"].encode() * 2 + b"y" * 5000
    files = packed(text[:5000] + text)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = {path.rpartition("/")[2] for path, word, _ in
             canary.find(tmp_path, words.values()) if word == words["b"]}
    assert found == set(files)
    assert canary.find(tmp_path, [words["a"]]) == []


@pytest.mark.parametrize("compress", ["gz", "bz2", "zstd", "lz4"])
def test_canaries_are_found_in_a_compressed_store(serve, compress):
    plain = serve(Setup(plugin="", compress=compress))
    user = plain.user()
    words = list(canary.words("abc").values())
    with Imap(plain, user) as imap:
        imap.append(corpus.with_attachment(
            words[0], (words[1] + "\n") * 99, "a.bin",
            words[2].encode() + bytes(9999)))
    hits = canary.find(user.home, words)
    assert {word for _, word, _ in hits} == set(words)
    assert any(", in " in form for _, _, form in hits)


def test_canaries_are_found_in_a_plain_store(plain):
    """What the sealed store must not show is shown by a plain one."""
    user = plain.user()
    words = [canary.word() for _ in range(3)]
    with Imap(plain, user) as imap:
        imap.append(corpus.with_attachment(words[0], words[1] + "\n", "a.bin",
                                           words[2].encode()))
    hits = canary.find(user.home, words)
    assert {word for _, word, _ in hits} == set(words)


def test_age_opens_what_it_sealed():
    key = age.keygen()
    sealed = age.seal(key.recipient, b"hello")
    assert age.open_(key.identity, sealed) == b"hello"
    with pytest.raises(age.AgeFailed):
        age.open_(age.keygen().identity, sealed)


def test_a_cache_file_is_read(serve, storage):
    plain = serve(Setup(storage=storage, plugin="", never_cache=False))
    user = plain.user()
    with Imap(plain, user) as imap:
        for number in range(5):
            imap.append(b"Subject: number %d\r\nX-%d: a\r\n\r\nbody\r\n" %
                        (number, number))
        imap.select()
        imap.ok("FETCH 1:3 (ENVELOPE BODYSTRUCTURE)")
        imap.ok("FETCH 4:* BODY.PEEK[HEADER.FIELDS (X-3 Subject)]")
        imap.ok("LOGOUT")
    fields = cachefile.CacheFile(cachefile.path(user)).fields()
    subjects = [field.data for field in fields
                if field.name.lower() == "hdr.subject"]
    assert len(subjects) == 5
    for number, subject in enumerate(subjects):
        assert b"Subject: number %d\n" % number in subject.replace(b"\r", b"")
    assert cachefile.sealed_fields(user) == []
