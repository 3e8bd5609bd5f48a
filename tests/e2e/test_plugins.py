# SPDX-License-Identifier: LGPL-2.1-or-later
"""All of Dovecot's plugins beside ours in one configuration, each at work.

test_delivery.py and test_imap.py have some of them alone and in more depth.
"""

import glob
import itertools
import os
import re
import time

import pytest

from harness import age, corpus, disk, sanitizer
from harness.compare import Pair
from harness.config import FORMATS, MAIL_UID, Setup
from harness.seal import enrol, enrolled, open_all
from harness.server import dovecot_version
from harness.wire import Imap, Pop3, lmtp

MESSAGE = (b"From: a@example.com\r\nSubject: hello\r\n\r\n"
           b"The quick brown fox\r\n")
SPAM = MESSAGE.replace(b"hello", b"offer")
BIG = corpus.of_size(100000)
OUR_LOG = "mail_seal"

ON_23 = dovecot_version() < (2, 4)
# Backends of Dovecot's own, which Debian has in packages of their own. Squat
# crashes in 2.3.19.1 as soon as a mailbox is opened. AddressSanitizer doesn't
# bear the exceptions of their C++.
BACKEND = "lucene" if ON_23 else "flatcurve"
HAS_FTS = not sanitizer.variables() and \
    bool(glob.glob(f"/usr/lib/dovecot/modules/*_{BACKEND}_plugin.so"))
PLUGINS = ("acl", "lazy_expunge", "quota", "trash", "notify", "mail_log",
           "virtual", "last_login", "welcome") + \
    (("replication",) if ON_23 else ()) + \
    (("fts", f"fts_{BACKEND}") if HAS_FTS else ())
IMAP_PLUGINS = ("imap_acl", "imap_quota", "imap_sieve")

BOTH = """
service welcome {
  executable = script @base@/home/welcome.sh
  user = root
  unix_listener welcome {
    mode = 0666
  }
}
"""
CONFIG_23 = """
namespace virtual {
  prefix = virtual/
  separator = /
  location = virtual:~/virtual
}
service aggregator {
  fifo_listener replication-notify-fifo {
    mode = 0666
  }
  unix_listener replication-notify {
    mode = 0666
  }
}
service replicator {
  process_min_avail = 1
}
plugin {
  acl = vfile
  lazy_expunge = Expunged
  quota = @quota@:User quota
  quota_rule = *:storage=1000K
  quota_vsizes = yes
  trash = @base@/home/trash.conf
  mail_log_events = delete expunge copy save
  mail_log_fields = uid box msgid size
  last_login_dict = file:@base@/home/last-login
  welcome_script = welcome %u
  welcome_wait = yes
  sieve_plugins = sieve_imapsieve
  imapsieve_mailbox1_name = Junk
  imapsieve_mailbox1_causes = APPEND COPY
  imapsieve_mailbox1_before = file:@base@/home/junk.sieve
}
"""
CONFIG_24 = """
namespace virtual {
  prefix = virtual/
  separator = /
  mail_driver = virtual
  mail_path = ~/virtual
}
namespace inbox {
  mailbox Trash {
    trash_priority = 1
  }
  mailbox Junk {
    sieve_script junk {
      type = before
      cause = append copy
      path = @base@/home/junk.sieve
    }
  }
}
acl_driver = vfile
lazy_expunge_mailbox = Expunged
quota "User quota" {
  driver = @quota@
  storage_size = 1000K
}
mail_log_events = delete expunge copy save
mail_log_fields = uid box msgid size
last_login {
  dict file {
    path = @base@/home/last-login
  }
}
welcome {
  execute welcome {
    args = %{user}
  }
  wait = yes
}
sieve_plugins {
  sieve_imapsieve = yes
}
"""
FTS_23 = """
plugin {
  fts = lucene
  fts_lucene = whitespace_chars=@.
  fts_autoindex = no
}
"""
FTS_24 = """
fts_autoindex = no
fts flatcurve {
}
language en {
  default = yes
  language_tokenizers = generic
}
"""
JUNK = b"""
require ["body", "fileinto", "copy", "imap4flags", "mailbox"];
if body :text :contains "quick brown" {
  addflag "$Fox";
  fileinto :copy :create "Foxes";
}
"""
# What a site may do: the first mail comes from the administrator.
WELCOME = """#!/bin/sh
exec @environment@ doveadm -c @base@/dovecot.conf save -u "$1" 2>/dev/null <<END
Subject: welcome

Welcome, $1
END
"""
_numbers = itertools.count(1)


def with_everything(storage, plugin):
    """In a Maildir with the quota that is called Maildir++."""
    quota = "maildir" if storage == "maildir" else "count"
    config_23, config_24 = (config.replace("@quota@", quota)
                            for config in (CONFIG_23, CONFIG_24))
    return Setup(storage=storage, plugin=plugin, plugins=PLUGINS,
                 imap_plugins=IMAP_PLUGINS, extra=BOTH,
                 extra_23=config_23 + FTS_23 * HAS_FTS,
                 extra_24=config_24 + FTS_24 * HAS_FTS)


def put(server, name, content, mode=0o644):
    path = f"{server.base}/home/{name}"
    variables = {"PATH": "/usr/bin:/bin", **sanitizer.variables()}
    content = content.replace("@environment@", "env -i " + " ".join(
        f"{name}={value}" for name, value in variables.items()))
    with open(path, "w", encoding="ascii") as file:
        file.write(content.replace("@base@", server.base))
    os.chmod(path, mode)


@pytest.fixture
def all_plugins(serve, storage):
    """A plain and a sealed server with everything, and a user at each."""
    servers = [serve(with_everything(storage, plugin))
               for plugin in ("", "mail_seal")]
    for server in servers:
        put(server, "junk.sieve", JUNK.decode())
        put(server, "trash.conf", "1 Trash\n")
        put(server, "welcome.sh", WELCOME, 0o755)
        # 2.3's replicator asks for all users, its indexer greets wrongly.
        server.allow_log("auth-worker|replicator|indexer.*VERSION")
    plain, sealed = servers
    key = age.keygen()
    name = f"plugins{next(_numbers)}"
    pair = Pair(plain, sealed, plain.user(name),
                sealed.user(name, mail_seal_recipient=key.recipient,
                            mail_seal_identity=key.identity))
    pair.key = key
    yield pair
    pair.close()


def test_welcome(all_plugins, storage):
    """The script saves the first mail before INBOX is seen."""
    pair = all_plugins
    pair.select()
    pair.reconnect()
    if b"* 1 EXISTS" not in pair.same_ok("SELECT INBOX").raw:
        # 2.3 makes a Maildir's INBOX where welcome doesn't see it.
        assert ON_23 and storage == "maildir"
        return
    reply = pair.same_ok("FETCH 1 BODY.PEEK[]")
    assert b"Welcome, plugins" in reply.raw
    stored, = disk.stored(pair.servers[1], pair.users[1])
    assert stored.is_sealed


def test_last_login(all_plugins):
    pair = all_plugins
    for server, user in zip(pair.servers, pair.users):
        with open(f"{server.base}/home/last-login", encoding="ascii") as file:
            assert f"last-login/{user.name}\n" in file.read()


def test_imap_sieve(all_plugins):
    """A script looks into the bodies of what a client puts into Junk."""
    pair = all_plugins
    pair.same_ok("CREATE Junk")
    pair.same_ok("CREATE Work")
    for message in (SPAM, BIG, MESSAGE):
        pair.append(message, "Junk", date=corpus.DATE)
        pair.append(message, "Work", date=corpus.DATE)
    pair.same_ok("SELECT Work")
    for command in ("COPY 1:3 Junk", "MOVE 1 Junk", "SELECT Junk",
                    "FETCH 1:* (FLAGS BODY.PEEK[])", "SELECT Foxes",
                    "FETCH 1:* (FLAGS BODY.PEEK[])"):
        reply = pair.same_ok(command)
    assert len(reply.untagged) == 5
    open_all(pair.servers[1], pair.users[1], pair.key.identity)


def test_lazy_expunge_quota_acl_and_log(all_plugins):
    pair = all_plugins
    pair.same_ok("CREATE Work")
    pair.same_ok("CREATE Other")
    for size in (1000, 100000, 300000):
        pair.append(corpus.of_size(size), "Work", date=corpus.DATE)
    pair.same_ok("SELECT Work")
    for command in ("FETCH 1:3 (RFC822.SIZE BODY.PEEK[TEXT])", "COPY 1:3 Other",
                    r"STORE 2:3 +FLAGS (\Deleted)", "EXPUNGE",
                    "GETQUOTAROOT INBOX", "SELECT Expunged",
                    "FETCH 1:* (RFC822.SIZE BODY.PEEK[])",
                    "GETACL INBOX", "SETACL INBOX somebody lr", "GETACL INBOX",
                    f"SETACL Other {pair.users[0].name} lsw"):
        pair.same_ok(command)
    assert pair.same("SELECT Other").status == "NO"
    pair.same_ok("LOGOUT")
    plain, sealed = (log_lines(server, user)
                     for server, user in zip(pair.servers, pair.users))
    assert plain == sealed
    assert any("size=" in line for line in sealed)
    open_all(pair.servers[1], pair.users[1], pair.key.identity)


def log_lines(server, user):
    server.expect_log(rf"imap\({user.name}\).*Logged out")
    return re.findall(rf"imap\({user.name}\).*: "
                      r"((?:save|copy|expunge|delete)\b.*)",
                      server.new_log())


def test_trash_makes_room(all_plugins):
    pair = all_plugins
    pair.same_ok("CREATE Trash")
    for size in (400000, 410000):
        pair.append(corpus.of_size(size), "Trash", date=corpus.DATE)
    plain, sealed = pair.each(
        lambda session: session.append_cmd(corpus.of_size(450000)))
    assert plain.comparable() == sealed.comparable()
    assert sealed.status == "OK"
    for command in ("GETQUOTAROOT INBOX", "STATUS INBOX (MESSAGES)"):
        pair.same_ok(command)
    assert b"MESSAGES 2" not in pair.same_ok("STATUS Trash (MESSAGES)").raw


def test_virtual(all_plugins):
    pair = all_plugins
    for user in pair.users:
        folder = f"{user.home}/virtual/All"
        os.makedirs(folder)
        with open(f"{folder}/dovecot-virtual", "w", encoding="ascii") as file:
            file.write("Work\n  all\n")
        for path in (f"{user.home}/virtual", folder):
            os.chown(path, MAIL_UID, MAIL_UID)
    pair.same_ok("CREATE Work")
    pair.append(MESSAGE, "Work", date=corpus.DATE)
    pair.append(BIG, "Work", date=corpus.DATE)
    pair.reconnect()
    for command in ("SELECT virtual/All", "FETCH 1:2 BODY.PEEK[]",
                    "SEARCH BODY quick", "COPY 1:2 Work", "NOOP"):
        pair.same_ok(command)


# Full text search


NEEDS_FTS = pytest.mark.skipif(not HAS_FTS,
                               reason="no backend of fts is installed")


@NEEDS_FTS
def test_fts(all_plugins):
    pair = all_plugins
    pair.same_ok("CREATE Work")
    for message in (MESSAGE, BIG, SPAM):
        pair.append(message, "Work", date=corpus.DATE)
    pair.same_ok("SELECT Work")
    for command in ("SEARCH BODY quick", "SEARCH TEXT offer",
                    "SEARCH SUBJECT bytes", "SEARCH BODY nowhere",
                    "SEARCH NOT BODY fox", r"STORE 2 +FLAGS (\Deleted)",
                    "EXPUNGE", "SEARCH BODY quick"):
        pair.same_ok(command)
    for user in pair.users:
        assert any(name in ("lucene-indexes", "fts-flatcurve")
                   for _, folders, _ in os.walk(user.home)
                   for name in folders)


@NEEDS_FTS
def test_fts_without_an_identity(all_plugins):
    """The indexer is locked, so the session reads the mail itself."""
    server = all_plugins.servers[1]
    user = enrolled(server)
    server.allow_log("indexer|mail_seal")
    with Imap(server, user) as imap:
        imap.ok("CREATE Work")
        for message in (MESSAGE, BIG, SPAM):
            imap.append(message, "Work")
        imap.select("Work")
        assert imap.uids("BODY quick") == [1, 3]
    server.expect_log("indexer-worker.*Session is locked")


# Moving in from another server


@pytest.mark.parametrize("plugin", ["", "mail_seal"])
def test_pop3_migration(serve, own_server, plugin):
    """The UIDLs stay, so that POP3 clients download nothing again."""
    source = serve(Setup(plugin="", storage="maildir"))
    there = source.user()
    with Imap(source, there) as imap:
        for message in (MESSAGE, BIG, SPAM):
            imap.append(message, date=corpus.DATE)
    old = Pop3(source, there).ok("UIDL", True)
    target = own_server(migrating(plugin, source, there))
    here = target.user()
    if plugin:
        enrol(target, here)
    target.doveadm("backup", "-R", "-u", here.name, "imapc:")
    assert Pop3(target, here).ok("UIDL", True) == old
    with Imap(target, here) as imap:
        imap.select()
        assert [imap.body(uid) for uid in imap.uids()] == [MESSAGE, BIG, SPAM]
    if plugin:
        assert len(open_all(target, here)) == 3


def migrating(plugin, source, there):
    remote = "".join(f"""
{kind}_host = 127.0.0.1
{kind}_port = {source.ports[port]}
{kind}_user = {there.name}
{kind}_password = {there.password}
""" for kind, port in (("imapc", "imap"), ("pop3c", "pop3")))
    namespace = """
namespace pop3 {
  prefix = POP3/
  separator = /
  list = no
  hidden = yes
  @location@
}
"""
    return Setup(
        plugin=plugin, plugins=("pop3_migration",),
        extra=remote,
        extra_23=namespace.replace("@location@", "location = pop3c:") +
        "plugin {\n  pop3_migration_mailbox = POP3/INBOX\n}\n",
        extra_24=namespace.replace(
            "@location@", "mail_driver = pop3c\n  mail_path = ~/pop3") +
        "pop3_migration_mailbox = POP3/INBOX\n")


# Replication, which 2.4 no longer has


REPLICATED = """
dsync_remote_cmd = @base@/home/dsync.sh %u
service aggregator {
  fifo_listener replication-notify-fifo {
    mode = 0666
  }
  unix_listener replication-notify {
    mode = 0666
  }
}
service replicator {
  process_min_avail = 1
}
plugin {
  mail_replica = remote:replica
}
"""


@pytest.mark.skipif(not ON_23, reason="2.4 has no replication")
@pytest.mark.parametrize("plugin", ["", "mail_seal"])
def test_replication(serve, own_server, plugin):
    """What LMTP delivers here is soon there, sealed to its reader's key."""
    replica = serve(Setup(plugin=plugin, name="replica"))
    server = own_server(Setup(storage="mdbox", plugin=plugin,
                              plugins=("notify", "replication"),
                              extra=REPLICATED))
    put(server, "dsync.sh", "#!/bin/sh\nexec @environment@ "
        f'doveadm -c {replica.config_file} dsync-server -u "$1"\n', 0o755)
    server.allow_log("auth-worker|replicator")
    key = age.keygen()
    fields = {"mail_seal_recipient": key.recipient,
              "mail_seal_identity": key.identity} if plugin else {}
    name = f"replicated{next(_numbers)}"
    user, copy = server.user(name, **fields), replica.user(name, **fields)
    for message in (MESSAGE, BIG):
        lmtp(server, [user], message)
    end = time.monotonic() + 60
    while not os.path.exists(f"{copy.home}/mail") or \
            len(disk.stored(replica, copy)) < 2:
        assert time.monotonic() < end, "nothing is replicated"
        time.sleep(0.1)
    with Imap(replica, copy) as imap:
        imap.select()
        first, second = imap.uids()
        assert imap.body(second).endswith(BIG)
    if plugin:
        assert len(open_all(replica, copy, key.identity)) == 2
