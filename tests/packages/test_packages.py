# SPDX-License-Identifier: LGPL-2.1-or-later
"""The packages on a Debian with its own configuration: nothing is prepared but
what an administrator does."""

import glob
import os
import re

import pytest
from debian import NEWER, SNIPPET, control, packages
from harness.wire import Failed, Imap, Lmtp, lmtp

WORDS = b"canary-of-the-packages"
MESSAGE = (b"From: sender@example.com\r\nTo: anna\r\nSubject: " + WORDS +
           b"\r\n\r\n" + WORDS + b"\r\n")
KEYRING = "/home/anna/mail-seal.keyring"
AGE = b"age-encryption.org/v1\n"


def deliver(debian):
    with Lmtp(debian) as client:
        (code, _), = client.deliver([debian.user], MESSAGE)
    return code


def login(debian):
    imap = Imap(debian, debian.user)
    imap.select()
    return imap


def stored(debian):
    """Messages in the Maildir as they lie on disk."""
    return [content for name, content
            in debian.files("/home/anna/Maildir").items()
            if re.search("/(cur|new)/", name)]


def seal_one(debian):
    """A key and a sealed message."""
    login(debian).close()
    assert deliver(debian) == 250


# What is in them.

def test_dependency_on_this_interface(unpacked):
    """What Dovecot compares when it loads a module is what dpkg compares."""
    built_for = set()
    for name in modules(unpacked["dovecot-mail-seal"]):
        with open(name, "rb") as file:
            built_for |= set(re.findall(rb"2\.\d\.ABIv\d+", file.read()))
    assert len(built_for) == 1
    abi = f"dovecot-abi-{built_for.pop().decode().lower()}"
    for deb in packages(os.environ["MAIL_SEAL_DEBS"]):
        assert abi in control(deb, "Depends").split(", ")


def modules(root):
    return glob.glob(f"{root}/usr/lib/dovecot/modules/**/*mail_seal*",
                     recursive=True)


def test_what_belongs_to_whom(unpacked):
    for package, names in (
            ("dovecot-mail-seal", (
                "/etc/dovecot/conf.d/10-mail-seal.conf",
                "/usr/share/man/man1/doveadm-seal.1.gz",
                "/usr/share/doc/dovecot-mail-seal/dict-pgsql.sql")),
            ("mail-seal", (
                "/usr/bin/mail-seal",
                "/usr/share/man/man1/mail-seal.1.gz"))):
        for name in names:
            assert os.path.exists(unpacked[package] + name), name


# Installing.

def test_off_until_enabled(installed):
    lines = installed.read(SNIPPET).splitlines()
    assert [line for line in lines if line and line[0] != "#"] == []
    assert "mail_seal" not in installed.run("doveconf", "-n")
    lmtp(installed, [installed.user], MESSAGE)
    with login(installed) as imap:
        assert WORDS in imap.body(1)
    assert WORDS in installed.files("/var/mail")["/var/mail/anna"]
    assert not os.path.exists(installed.path(KEYRING))


def test_sealed(enabled):
    enabled.allow_log("does not exist and there is no password")
    enabled.allow_log("user anna has no keyring yet")
    assert deliver(enabled) // 100 == 4, "without a key it must wait"
    seal_one(enabled)
    message, = stored(enabled)
    assert message.startswith(AGE)
    assert WORDS not in b"".join(enabled.files("/home/anna").values())
    with login(enabled) as imap:
        assert WORDS in imap.body(1)
    assert "anna" in enabled.run("doveadm", "seal", "status", "-u", "anna")


# Upgrading.

def test_upgrade(enabled, upgrade):
    """Debian restarts Dovecot when a module changes."""
    seal_one(enabled)
    edited = enabled.read(SNIPPET)
    master = enabled.master()
    with login(enabled) as imap:
        said = enabled.install(upgrade)
        assert imap.line().startswith(b"* BYE ")
    assert "is being removed" not in said
    assert enabled.master() != master
    assert enabled.read(SNIPPET) == edited
    version = enabled.run("dpkg-query", "-Wf", "${Version}", "mail-seal")
    assert version.endswith(NEWER)
    assert deliver(enabled) == 250
    with login(enabled) as imap:
        assert WORDS in imap.body(1) and WORDS in imap.body(2)


def test_upgrade_without_restart(enabled, upgrade):
    """An administrator may forbid that, and restart at night."""
    seal_one(enabled)
    enabled.policy(101)
    master = enabled.master()
    with login(enabled) as before:
        assert WORDS in before.body(1)
        enabled.install(upgrade)
        assert enabled.master() == master
        assert deliver(enabled) == 250
        before.ok("NOOP")
        assert WORDS in before.body(2)
        with login(enabled) as after:
            assert WORDS in after.body(1) and WORDS in after.body(2)


# Removing.

def remove(debian, verb="remove"):
    debian.allow_log("'mail_seal' not found")
    return debian.apt(verb, "dovecot-mail-seal")


def refused(debian):
    """Neither a session nor a delivery, so that nothing is stored plain. It
    ends with an answer or with the connection, as Dovecot's version goes."""
    with pytest.raises((Failed, EOFError, OSError)):
        login(debian)
    with pytest.raises((AssertionError, EOFError, OSError)):
        lmtp(debian, [debian.user], MESSAGE)


def export(debian):
    debian.write("/run/password", debian.user.password + "\n")
    debian.run("sh", "-c", f"mail-seal export --keyring {KEYRING} "
               "--password-fd 3 /home/anna/Maildir /run/out 3</run/password")
    return b"".join(debian.files("/run/out").values())


def test_removed_and_back(enabled):
    seal_one(enabled)
    before = enabled.files("/home/anna")
    said = " ".join(remove(enabled).split())
    for words in ("stay as they are", "mail-seal export", "mail_plugins",
                  "seal unseal", "purge", SNIPPET):
        assert words in said
    assert modules(enabled.root) == []
    refused(enabled)
    assert WORDS in export(enabled)
    assert enabled.files("/home/anna") == before
    enabled.install(os.environ["MAIL_SEAL_DEBS"])
    with login(enabled) as imap:
        assert WORDS in imap.body(1)


def test_purged(enabled):
    """The configuration goes, and nothing of the users' with it."""
    seal_one(enabled)
    before = enabled.files("/home/anna")
    remove(enabled, "purge")
    assert not os.path.exists(enabled.path(SNIPPET))
    assert enabled.files("/home/anna") == before
