# SPDX-License-Identifier: LGPL-2.1-or-later
"""Wrong settings, stores that can't be sealed, and disks that are full."""

import os
import re
import subprocess

import pytest

from harness import disk, keyring
from harness.config import MAIL_UID, Setup
from harness.seal import enrolled, open_all
from harness.server import dovecot_version
from harness.wire import Failed, Imap, Lmtp

pytestmark = pytest.mark.no_asan

IS_2_3 = dovecot_version() < (2, 4)
MESSAGE = b"Subject: hello\r\n\r\nsome secret words\r\n"


def refusal(own_server, setup):
    """What the administrator reads: from doveconf or at the first login."""
    try:
        server = own_server(setup)
    except RuntimeError as error:
        return str(error)
    server.allow_log("Error|Fatal")
    user = server.user()
    with pytest.raises((Failed, EOFError, OSError)):
        with Imap(server, user) as imap:
            imap.ok("SELECT INBOX")
    assert not disk.stored(server, user)
    return server.expect_log("mail_seal: (?!audit).*").group(0)


@pytest.mark.parametrize("name, value, allowed", [
    ("mail_seal_keyring", "keyring", "absolute or beginning with ~/"),
    ("mail_seal_keyring", "~/", "absolute or beginning with ~/"),
    ("mail_seal_enroll", "perhaps", "yes or no"),
    ("mail_seal_save", "maybe", "yes or no"),
    ("mail_seal_unenrolled", "bounce", "tempfail or plaintext"),
    ("mail_seal_argon2_memory", "7M", "from 8M to 1G"),
    ("mail_seal_argon2_memory", "1025M", "from 8M to 1G"),
    ("mail_seal_argon2_memory", "lots", "from 8M to 1G"),
    ("mail_seal_argon2_memory", "99999999999999999999G", "from 8M to 1G"),
    ("mail_seal_argon2_passes", "0", "from 1 to 16"),
    ("mail_seal_argon2_passes", "17", "from 1 to 16"),
    ("mail_seal_argon2_passes", "two", "from 1 to 16"),
])
def test_wrong_setting_is_named(own_server, name, value, allowed):
    text = refusal(own_server, Setup(settings=((name, value),)))
    assert f"{name} = {value}: " in text and allowed in text


@pytest.mark.parametrize("name, value", [
    ("mail_seal_argon2_memory", "8M"), ("mail_seal_argon2_memory", "8192k"),
    ("mail_seal_argon2_memory", "8388608"), ("mail_seal_argon2_passes", "16"),
])
def test_border_values_are_allowed(serve, name, value):
    server = serve(Setup(settings=((name, value),)))
    assert os.path.exists(keyring.path(enrolled(server)))


def test_mbox_is_refused(own_server):
    extra = "mail_location = mbox:~/mbox" if IS_2_3 else \
        "mail_driver = mbox\nmail_path = ~/mbox\nmail_inbox_path = ~/inbox"
    text = refusal(own_server, Setup(extra=extra))
    assert "mbox" in text and "use maildir, sdbox or mdbox" in text


def test_attachments_outside_are_refused(own_server):
    name = "mail_attachment_dir" if IS_2_3 else "mail_ext_attachment_path"
    extra_24 = "mail_ext_attachment {\n  fs posix {\n  }\n}\n"
    text = refusal(own_server, Setup(extra=f"{name} = /var/tmp/attachments\n",
                                     extra_24=extra_24))
    assert name in text and "remove the setting" in text


# Full disks


@pytest.fixture
def small_disk():
    """small_disk(user, size): the user's home on a disk of its own."""
    mounted = []

    def mount(user, size):
        subprocess.run(["mount", "-t", "tmpfs", "-o",
                        f"size={size},mode=700,uid={MAIL_UID},gid={MAIL_UID}",
                        "tmpfs", user.home], check=True)
        mounted.append(user.home)

    yield mount
    for home in mounted:
        subprocess.run(["umount", "-l", home], check=True)


def fill(user, leave=0):
    """Leave so many bytes on the disk of this home."""
    with open(f"{user.home}/filler", "wb") as file:
        free = os.statvfs(user.home)
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - leave)))


def all_bytes(folder):
    for path, _, files in os.walk(folder):
        for name in files:
            with open(f"{path}/{name}", "rb") as file:
                yield name, file.read()


def test_enrolling_on_a_full_disk(own_server, small_disk):
    server = own_server(Setup())
    user = server.user()
    small_disk(user, "64k")
    fill(user)
    server.allow_log("Error")
    with Imap(server, user) as imap:
        assert b"* OK [ALERT] " in imap.login_reply.raw + imap.cmd("NOOP").raw
        assert imap.cmd("SELECT INBOX").status == "NO"
    server.expect_log("cannot enrol: .*[Nn]o space")
    assert not os.path.exists(keyring.path(user))
    assert [name for name, _ in all_bytes(user.home)] == ["filler"]
    # Once there is room again, the next login does it.
    os.unlink(f"{user.home}/filler")
    with Imap(server, user) as imap:
        imap.ok("SELECT INBOX")
    assert os.path.exists(keyring.path(user))


@pytest.mark.parametrize("storage", ["maildir", "sdbox", "mdbox"])
def test_saving_on_a_full_disk(own_server, small_disk, storage):
    server = own_server(Setup(storage=storage))
    user = server.user()
    small_disk(user, "4m")
    enrolled_mail = MESSAGE * 3
    with Imap(server, user) as imap:
        imap.append(enrolled_mail)
    fill(user, leave=20000)
    server.allow_log("Error")
    large = b"Subject: large\r\n\r\n" + b"some secret words\r\n" * 20000
    with Imap(server, user) as imap:
        with pytest.raises(Failed):
            imap.append(large)
    with Lmtp(server) as client:
        (code, _), = client.deliver([user], large)
    assert 400 <= code < 500
    for name, content in all_bytes(user.home):
        assert b"secret words" not in content, name
    os.unlink(f"{user.home}/filler")
    with Imap(server, user) as imap:
        imap.select()
        assert len(imap.uids()) == 1
        imap.append(large)
        assert imap.body(imap.uids()[-1]) == large
    assert len(open_all(server, user)) == 2


# What would be taken for a sealed message

LOOKS_SEALED = b"age-encryption.org/v1\r\n-> X25519 nonsense\r\n\r\nbody\r\n"


def test_a_plain_message_must_not_look_sealed(serve, sealed):
    """With mail_seal_save = no it would be opened when it's read."""
    server = serve(Setup(storage=sealed.setup.storage,
                         settings=(("mail_seal_save", "no"),)))
    user = enrolled(server)
    with Imap(server, user) as imap:
        with pytest.raises(Failed, match="age-encryption.org"):
            imap.append(LOOKS_SEALED)
        imap.append(MESSAGE)
        imap.select()
        assert [imap.body(uid) for uid in imap.uids()] == [MESSAGE]
    assert len(disk.stored(server, user)) == 1


def test_a_message_that_looks_sealed_is_sealed(sealed):
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        imap.append(LOOKS_SEALED)
    with Lmtp(sealed) as client:
        (code, _), = client.deliver([user], LOOKS_SEALED)
        assert code == 250
    sealed.lda(user, LOOKS_SEALED)
    with Imap(sealed, user) as imap:
        imap.select()
        bodies = [imap.body(uid) for uid in imap.uids()]
    assert bodies[0] == LOOKS_SEALED and len(bodies) == 3
    assert all(body.endswith(LOOKS_SEALED) for body in bodies)
    opened = open_all(sealed, user)
    assert all(re.search(rb"^age-encryption.org/v1\r?\n", content, re.M)
               for content in opened)
