# SPDX-License-Identifier: LGPL-2.1-or-later
"""Words of a message are found nowhere on disk after all that was done to it.

With mail_never_cache_fields = *, as the example configuration has it.
"""

import os

import pytest

from harness import canary, corpus
from harness.config import MAIL_UID, Setup
from harness.seal import enrolled
from harness.wire import Imap, Pop3, append_part, lmtp

WORDS = ("subject", "sender", "recipient", "id", "text", "name",
         "content", "header")


def message(words, size=5000):
    """A message that holds every word, as many programs would write it."""
    whole = corpus.with_attachment(
        words["subject"], f"{words['text']}\r\n" * 3, words["name"] + ".bin",
        words["content"].encode() + bytes(size))
    head = (f"X-Header: {words['header']}\r\n"
            f"Reply-To: <{words['sender']}@example.com>\r\n"
            f"Cc: <{words['recipient']}@example.org>\r\n"
            f"References: <{words['id']}@example.com>\r\n")
    return head.encode() + whole


def use(server, user, words):
    """What clients do with mail, with everything that may be cached."""
    with Imap(server, user) as imap:
        imap.ok("CREATE Other")
        imap.append(message(words))
        imap.ok(b"APPEND INBOX" + append_part(message(words)) +
                append_part(message(words, 3 << 20)))
        imap.select()
        for items in ("FULL", "BODYSTRUCTURE", "PREVIEW", "BODY.PEEK[]",
                      "BODY.PEEK[HEADER.FIELDS (X-Header References)]",
                      "BINARY.PEEK[2]", "BODY.PEEK[2]<100.100>"):
            imap.ok(f"FETCH 1:* {items}")
        for word in words.values():
            imap.ok(f"SEARCH TEXT {word}")
            imap.ok(f"SEARCH HEADER X-Header {word}")
        imap.ok("SORT (SUBJECT FROM TO CC DATE DISPLAYFROM) UTF-8 ALL")
        imap.ok("THREAD REFERENCES UTF-8 ALL")
        imap.ok("THREAD REFS UTF-8 ALL")
        imap.ok("COPY 1 Other")
        imap.ok("MOVE 2 Other")
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
    lmtp(server, [user], message(words))
    lmtp(server, [user], message(words, 3 << 20))
    server.lda(user, message(words))
    server.lda(user, message(words, 3 << 20))
    server.doveadm("save", "-u", user.name, stdin=message(words))
    with Pop3(server, user) as pop3:
        pop3.ok("UIDL", multiline=True)
        pop3.ok("TOP 1 5", multiline=True)
        pop3.ok("RETR 2", multiline=True)
        pop3.ok("QUIT")


@pytest.mark.parametrize("compress", ["", "gz"])
def test_no_word_is_left_on_disk(serve, storage, compress):
    server = serve(Setup(storage=storage, compress=compress))
    user = enrolled(server)
    words = {name: canary.word() for name in WORDS}
    use(server, user, words)
    assert canary.find(server.base, words.values()) == []
    assert os.listdir(f"{server.base}/tmp") == []


def test_the_search_would_find_them(plain):
    """The same on a plain Dovecot: every word is found."""
    user = plain.user()
    words = {name: canary.word() for name in WORDS}
    use(plain, user, words)
    found = {word for _, word, _ in canary.find(plain.base, words.values())}
    assert found == set(words.values())


def test_no_temporary_file_while_reading(serve):
    """The first bytes of a large message are read without a copy of it."""
    server = serve(Setup())
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.append(corpus.of_size(25 << 20))
        imap.select()
        # Nothing may be written there now, so that trying is an error.
        os.chmod(f"{server.base}/tmp", 0)
        try:
            imap.ok("FETCH 1 BODY.PEEK[]<0.100>")
            imap.ok(f"FETCH 1 BODY.PEEK[]<{(25 << 20) - 100}.100>")
        finally:
            os.chmod(f"{server.base}/tmp", 0o755)


SIEVE = b"""require ["copy", "duplicate", "fileinto", "mailbox", "vacation"];
redirect :copy "elsewhere@example.net";
vacation :addresses "anna@example.org" "I am away.";
if duplicate { fileinto :create "Trash"; stop; }
keep;
"""


def put(path, content, mode):
    with open(path, "wb") as file:
        file.write(content)
    os.chown(path, MAIL_UID, MAIL_UID)
    os.chmod(path, mode)


def test_sieve_remembers_no_word(serve):
    """Its databases of what was seen hold hashes, its log lines sizes."""
    server = serve(Setup(extra="submission_host =\n"
                               "sendmail_path = @base@/sendmail\n"))
    user = enrolled(server)
    put(f"{server.base}/sendmail", b"#!/bin/sh\ncat >/dev/null\n", 0o755)
    put(f"{user.home}/.dovecot.sieve", SIEVE, 0o600)
    words = {name: canary.word() for name in WORDS}
    mail = b"To: anna@example.org\r\n" + message(words, 300000)
    for _ in range(2):
        lmtp(server, [user], mail)
    with Imap(server, user) as imap:
        imap.select("Trash")
        assert imap.uids() == [1]
    assert os.path.getsize(f"{user.home}/.dovecot.lda-dupes") > 100
    assert canary.find(server.base, words.values()) == []
