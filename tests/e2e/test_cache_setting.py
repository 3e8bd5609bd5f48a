# SPDX-License-Identifier: LGPL-2.1-or-later
"""mail_never_cache_fields = *: demanded, and enough where the plugin is not.

Dovecot's processes share the index cache of a mailbox, also with those that
know nothing of the plugin. Only this setting keeps all of them from writing
words of messages there.
"""

import os
import re

import pytest

from harness import canary, corpus, disk
from harness.config import Setup
from harness.seal import enrolled
from harness.server import dovecot_version
from harness.wire import Failed, Imap, Lmtp, Pop3, lmtp

IS_2_3 = dovecot_version() < (2, 4)
MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
REFUSED = (r"mail_seal: namespace '[^']*': mail_never_cache_fields is "
           r"'{}' instead of '\*', .*: set (\".*\")$")
DEFAULT = "imap\\.envelope"
# What sysexits.h says of a temporary failure, and of a wrong configuration.
REFUSALS = (75, 78)


def refused(server, fields=DEFAULT):
    """Returns the lines to paste, and takes the errors as expected."""
    server.allow_log("Error|Fatal")
    quoted = server.expect_log("(?m)" + REFUSED.format(fields)).group(1)
    return "\n".join(re.findall('"([^"]*)"', quoted))


@pytest.fixture(scope="module", params=[(), (("mail_seal_save", "no"),)],
                ids=["sealing", "reading"])
def server(request, serve):
    """Without the setting; also where no more mail is sealed."""
    return serve(Setup(never_cache=False, settings=request.param))


def test_imap_refuses(server):
    user = server.user()
    with pytest.raises((Failed, EOFError, OSError)) as error:
        with Imap(server, user) as imap:
            imap.ok("SELECT INBOX")
    assert "never_cache" not in str(error.value)
    refused(server)


def test_pop3_refuses(server):
    user = server.user()
    with pytest.raises((Failed, EOFError, OSError)):
        with Pop3(server, user) as pop3:
            pop3.ok("STAT")
    refused(server)


def test_lmtp_leaves_the_mail_with_the_sender(server):
    user = server.user()
    with Lmtp(server) as client:
        (code, text), = client.deliver([user], MESSAGE)
    assert code == 451 and "never_cache" not in text
    refused(server)
    assert not disk.stored(server, user)


def test_lda_leaves_the_mail_with_the_sender(server):
    user = server.user()
    assert server.lda(user, MESSAGE, check=False).returncode == 75
    refused(server)
    assert not disk.stored(server, user)


def test_doveadm_refuses(server):
    user = server.user()
    done = server.doveadm("save", "-u", user.name, stdin=MESSAGE, check=False)
    assert done.returncode in REFUSALS
    assert re.search("(?m)" + REFUSED.format(DEFAULT), done.stderr.decode())
    assert not disk.stored(server, user)


def test_another_value_is_named(own_server):
    server = own_server(Setup(never_cache=False, extra="""
mail_never_cache_fields = hdr.subject imap.envelope
"""))
    with Lmtp(server) as client:
        (code, _), = client.deliver([server.user()], MESSAGE)
    assert code == 451
    refused(server, r"hdr\.subject imap\.envelope")


def test_the_lines_of_the_log_can_be_pasted(serve, own_server):
    server = serve(Setup(never_cache=False))
    with Lmtp(server) as client:
        client.deliver([server.user()], MESSAGE)
    pasted = own_server(Setup(never_cache=False, extra=refused(server)))
    user = enrolled(pasted)
    lmtp(pasted, [user], MESSAGE)
    assert disk.stored(pasted, user)[0].is_sealed


@pytest.mark.skipif(IS_2_3, reason="2.3 has one setting for all namespaces")
def test_each_namespace_is_looked_at(own_server):
    server = own_server(Setup(extra_24="""
namespace archive {
  prefix = Archive/
  separator = /
  mail_driver = maildir
  mail_path = ~/archive
  mail_never_cache_fields = imap.envelope
}
"""))
    with Lmtp(server) as client:
        (code, _), = client.deliver([server.user()], MESSAGE)
    assert code == 451
    refused(server)
    assert "namespace 'Archive/'" in server.new_log()


# Processes without the plugin


def move_in(server, user):
    """The same user with the same home on another server."""
    other = server.user(user.name)
    os.rmdir(other.home)
    os.symlink(user.home, other.home)
    return other


WORDS = ("subject", "sender", "text", "name", "content")


def message(words):
    whole = corpus.with_attachment(
        words["subject"], words["text"] + "\r\n", words["name"],
        words["content"].encode() * 100)
    return f"Reply-To: <{words['sender']}@example.com>\r\n".encode() + whole


def use(server, user, words):
    """Delivered and read; what is sealed reads as an odd message there."""
    # Of the size that only the plugin understands.
    server.allow_log("size|orrupted|age-encryption")
    server.lda(user, message(words))
    lmtp(server, [user], message(words))
    server.doveadm("save", "-u", user.name, stdin=message(words))
    for fields in ("hdr.subject", "imap.envelope imap.bodystructure",
                   "body.snippet", "text"):
        server.doveadm("fetch", "-u", user.name, fields, "all", check=False)
    server.doveadm("search", "-u", user.name, "subject", words["subject"],
                   check=False)
    server.doveadm("index", "-u", user.name, "INBOX", check=False)


def in_cache(folder, words):
    """The words that an index cache of this home holds."""
    return {word for path, word, _ in canary.find(folder, words.values())
            if os.path.basename(path).startswith("dovecot.index")}


@pytest.fixture
def words():
    return {name: canary.word() for name in WORDS}


def test_nothing_is_cached_without_the_plugin(serve, sealed, storage, words):
    plain = serve(Setup(storage=storage, plugin=""))
    user = enrolled(sealed)
    lmtp(sealed, [user], message(words))
    with Imap(sealed, user) as imap:
        imap.select()
        imap.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)")
    use(plain, move_in(plain, user), words)
    assert len(disk.stored(sealed, user)) == 4
    assert in_cache(user.home, words) == set()
    with Imap(sealed, user) as imap:
        imap.select()
        assert imap.uids(f"SUBJECT {words['subject']}") == [1, 2, 3, 4]


def test_without_the_setting_it_would_be(serve, storage, words):
    server = serve(Setup(storage=storage, plugin="", never_cache=False))
    user = server.user()
    use(server, user, words)
    assert words["subject"] in in_cache(user.home, words)
