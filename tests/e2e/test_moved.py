# SPDX-License-Identifier: LGPL-2.1-or-later
"""A store that moves between Dovecot 2.3 and 2.4, and back.

Each run takes the homes that the run before left in $MAIL_SEAL_MOVED, reads
all mail in them, adds some and leaves them there. build-aux/check runs it with
2.3, then with 2.4, then with 2.3 again; alone it is skipped.
"""

import json
import os
import shutil

import pytest

from harness import corpus, keyring
from harness.config import FORMATS, MAIL_UID, Setup
from harness.dict import Sqlite
from harness.doveadm import seal_user
from harness.seal import open_all
from harness.server import dovecot_version
from harness.wire import Imap, lmtp

FOLDER = os.environ.get("MAIL_SEAL_MOVED")
# Both versions have the same ones.
pytestmark = [pytest.mark.all_storages,
              pytest.mark.skipif(not FOLDER, reason="no store to move")]

FLAGS = (r"\Seen word", r"\Flagged \Answered", r"\Draft", "")
SIZES = (500, corpus.CHUNK - 1, corpus.CHUNK + 1, 300000)


def own(path):
    for folder, _, files in os.walk(path):
        for name in (folder, *(f"{folder}/{name}" for name in files)):
            os.chown(name, MAIL_UID, MAIL_UID)


def listed(server, user):
    """What is kept of a message beside its content."""
    output = server.doveadm(
        "-f", "json", "fetch", "-u", user.name,
        "uid guid mailbox-guid flags date.received", "mailbox", "INBOX",
        "all").stdout
    return json.loads(output)


def bring_in(storage, user):
    """What the run before left: the home, the messages in it, and what was
    listed of them."""
    kept = f"{FOLDER}/{storage}"
    if not os.path.exists(kept):
        return [], []
    shutil.rmtree(user.home)
    shutil.copytree(f"{kept}/home", user.home, symlinks=True)
    own(user.home)
    with open(f"{kept}/messages.json", encoding="ascii") as file:
        texts, rows = json.load(file)
    return [text.encode("ascii") for text in texts], rows


def take_out(storage, user, messages, rows):
    kept = f"{FOLDER}/{storage}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(user.home, f"{kept}/home", symlinks=True)
    with open(f"{kept}/messages.json", "w", encoding="ascii") as file:
        json.dump(([message.decode("ascii") for message in messages], rows),
                  file)


def new_messages():
    mark = b"X-Stored-By: Dovecot %d.%d\r\n" % dovecot_version()
    return [mark + corpus.of_size(size) for size in SIZES]


def read_all(imap):
    imap.select()
    return [imap.body(uid) for uid in imap.uids()]


@pytest.mark.parametrize("storage", FORMATS)
def test_dsync_from_what_other_version_wrote(own_server, storage):
    """Into a new store in another format, with the old one as it is."""
    if not os.path.exists(f"{FOLDER}/{storage}"):
        pytest.skip("this is the first run")
    server = own_server(Setup(storage=FORMATS[FORMATS.index(storage) - 1]))
    user = server.user("migrated")
    messages, rows = bring_in(storage, user)
    os.rename(f"{user.home}/mail", f"{user.home}/old")
    setting = ("plugin/" if server.version < (2, 4) else "") + \
        "mail_seal_unlock_fd=0"
    server.doveadm("-o", setting, "backup", "-R", "-u", user.name,
                   f"{storage}:{user.home}/old",
                   stdin=user.password.encode() + b"\n")
    assert listed(server, user) == rows
    with Imap(server, user) as imap:
        assert read_all(imap) == messages
    assert len(open_all(server, user)) == len(messages)


@pytest.mark.parametrize("storage", FORMATS)
def test_other_version_wrote_it(own_server, storage):
    server = own_server(Setup(storage=storage))
    user = server.user("moved")
    messages, rows = bring_in(storage, user)
    if rows:
        assert listed(server, user) == rows
    with Imap(server, user) as imap:
        assert read_all(imap) == messages
        for message, flags in zip(new_messages(), FLAGS):
            imap.append(message, flags=flags, date=corpus.DATE)
            messages.append(message)
    # Sealed to the recipient of a keyring that the other version made.
    lmtp(server, [user], b"Subject: delivered\r\n\r\nbody\r\n")
    with Imap(server, user) as imap:
        *read, delivered = read_all(imap)
        assert read == messages
        assert delivered.endswith(b"body\r\n")
        imap.ok("STORE %d FLAGS.SILENT \\Deleted" % (len(messages) + 1))
        imap.ok("EXPUNGE")
        imap.ok("LOGOUT")
    rows = listed(server, user)
    assert len({row["guid"] for row in rows}) == len(messages)
    server.stop()
    take_out(storage, user, messages, rows)


def test_other_version_changed_the_dict(own_server):
    """A keyring in a database that both use: each run adds a slot."""
    kept = f"{FOLDER}/dict.db"
    database = Sqlite()
    passwords = []
    if os.path.exists(kept):
        shutil.copyfile(kept, database.path)
    server = own_server(database.setup("moved"))
    user = server.user("moved")
    if os.path.exists(kept):
        passwords = [row["label"] for row in
                     seal_user(server, user, "slot list").rows if row["label"]]
        assert passwords
        lmtp(server, [user], b"Subject: delivered\r\n\r\nbody\r\n")
    with Imap(server, user) as imap:
        assert len(read_all(imap)) == min(1, len(passwords))
    added = f"the phone {len(passwords)}"
    seal_user(server, user, "slot add", "--label", added,
              password=[user.password, added])
    text = database.sql("SELECT keyring FROM mail_seal;")
    for password in (user.password, *passwords, added):
        assert keyring.open_password_slot(text, password)
    server.stop()
    shutil.copyfile(database.path, kept)
    database.remove()
