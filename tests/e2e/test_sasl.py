# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways of logging in: with a password that we see, and without one."""

import base64
import hmac
import os
import tempfile

import pytest

from harness import age, disk, keyring, oauth2
from harness.config import Setup
from harness.seal import enrolled
from harness.server import User
from harness.wire import Imap, lmtp

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"
MASTER = "master"
MASTER_PASSWORD = "of the master"

COMMON = """
auth_mechanisms = plain login cram-md5 oauthbearer
auth_master_user_separator = *
"""
PASSDBS_23 = """
passdb {
  driver = passwd-file
  master = yes
  args = @files@/masters
  @result@
}
passdb {
  driver = oauth2
  mechanisms = oauthbearer
  args = @files@/oauth2.conf
  override_fields = userdb_mail_seal_password=%{sha256:password}
}
"""
PASSDBS_24 = """
passdb passwd-file2 {
  driver = passwd-file
  master = yes
  passwd_file_path = @files@/masters
  @result@
}
passdb oauth2 {
  mechanisms_filter = oauthbearer
  fields {
    userdb_mail_seal_password = %{password | sha256 | hexlify}
  }
}
"""


@pytest.fixture(scope="module")
def auth_files():
    """A folder with what the auth process reads."""
    with tempfile.TemporaryDirectory(prefix="mse-") as folder:
        os.chmod(folder, 0o755)
        write(f"{folder}/masters", f"{MASTER}:{{PLAIN}}{MASTER_PASSWORD}\n")
        oauth2.write_files(folder)
        yield folder


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


@pytest.fixture(scope="module", params=["", "result_success = continue"],
                ids=["master alone", "master, then user"])
def server(serve, auth_files, request):
    def filled(text):
        return text.replace("@files@", auth_files).replace(
            "@result@", request.param)

    return serve(Setup(extra=COMMON, extra_23=filled(PASSDBS_23),
                       extra_24=filled(PASSDBS_24 +
                                       oauth2.SETTINGS_24)))


def base64_line(text):
    return base64.b64encode(text.encode()) + b"\r\n"


def sasl_plain(imap, user):
    tag = imap.start("AUTHENTICATE PLAIN")
    assert imap.answer() == b"+ \r\n"
    imap.send(base64_line(f"\0{user.name}\0{user.password}"))
    return imap.finish(tag)


def sasl_plain_at_once(imap, user):
    response = base64.b64encode(f"\0{user.name}\0{user.password}".encode())
    return imap.cmd(b"AUTHENTICATE PLAIN " + response)


def sasl_login(imap, user):
    tag = imap.start("AUTHENTICATE LOGIN")
    assert imap.answer().startswith(b"+ ")
    imap.send(base64_line(user.name))
    assert imap.answer().startswith(b"+ ")
    imap.send(base64_line(user.password))
    return imap.finish(tag)


def cram_md5(imap, user):
    tag = imap.start("AUTHENTICATE CRAM-MD5")
    challenge = base64.b64decode(imap.answer()[2:])
    digest = hmac.new(user.password.encode(), challenge, "md5").hexdigest()
    imap.send(base64_line(f"{user.name} {digest}"))
    return imap.finish(tag)


def as_master(imap, user):
    return imap.login(User(f"{user.name}*{MASTER}", MASTER_PASSWORD,
                           user.home))


def logged_in(server, user, mechanism):
    imap = Imap(server)
    imap.login_reply = mechanism(imap, user)
    assert imap.login_reply.status == "OK", imap.login_reply
    return imap


WITH_PASSWORD = [sasl_plain, sasl_plain_at_once, sasl_login]
WITHOUT_PASSWORD = [cram_md5, oauth2.login, as_master]


@pytest.mark.parametrize("mechanism", WITH_PASSWORD)
def test_mechanisms_with_a_password_unlock(server, mechanism):
    user = server.user()
    with logged_in(server, user, mechanism) as imap:
        imap.append(MESSAGE)
    assert keyring.identity(user)
    with logged_in(server, user, mechanism) as imap:
        imap.select()
        assert imap.body(1) == MESSAGE


@pytest.mark.parametrize("mechanism", WITHOUT_PASSWORD)
def test_mechanisms_without_a_password_enrol_nobody(server, mechanism):
    """A keyring that everybody or the master could open would be none."""
    user = server.user()
    server.allow_log("mail_seal: ")
    with logged_in(server, user, mechanism) as imap:
        assert b"* OK [ALERT] " in imap.login_reply.raw
        assert imap.cmd("SELECT INBOX").status == "NO"
    assert not os.path.exists(keyring.path(user))
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
    assert keyring.identity(user)


@pytest.mark.parametrize("mechanism", WITHOUT_PASSWORD)
def test_mechanisms_without_a_password_stay_locked(server, mechanism):
    user = enrolled(server)
    before = keyring.read(user)
    server.allow_log("mail_seal: ")
    lmtp(server, [user], MESSAGE)
    with logged_in(server, user, mechanism) as imap:
        assert b"* OK [ALERT] " in imap.login_reply.raw
        reply = imap.cmd("SELECT INBOX")
        assert reply.status == "NO" and b"[UNAVAILABLE]" in reply.text
        imap.append(MESSAGE)
        imap.ok("NOOP")
    assert keyring.read(user) == before
    assert len(disk.stored(server, user)) == 2
    assert all(stored.is_sealed for stored in disk.stored(server, user))


@pytest.mark.parametrize("mechanism", WITHOUT_PASSWORD)
def test_identity_from_the_userdb_unlocks_all(server, mechanism):
    key = age.keygen()
    user = server.user(mail_seal_recipient=key.recipient,
                       mail_seal_identity=key.identity)
    with logged_in(server, user, mechanism) as imap:
        assert b"ALERT" not in imap.login_reply.raw
        imap.append(MESSAGE)
        imap.select()
        assert imap.body(1) == MESSAGE
