# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands of README.md's "Living with keys", as they stand there, at a
terminal, one after the other."""

import os
import re

import pytest

from harness import age, canary, disk, keyring
from harness.config import Setup
from harness.readme import Commands
from harness.wire import Imap, lmtp

pytestmark = pytest.mark.no_asan

OLD, NEW, LAST, PHONE = ("first password", "second password",
                         "third password", "phone password")
PASSWORD = [("Password: ", NEW)]


def new_password(password):
    return [("New password: ", password), ("New password, again: ", password)]


def test_commands_of_living_with_keys(own_server, tmp_path):
    escrow = age.keygen()
    server = own_server(Setup(storage="maildir", settings=(
        ("mail_seal_escrow_recipients", escrow.recipient),)))
    anna = server.user("anna", OLD)
    server.user("bert")
    readme = Commands(server, anna.home, "Living with keys")
    word = canary.word()
    (tmp_path / "escrow.txt").write_text(escrow.identity + "\n")
    escrow_file = f"{tmp_path}/escrow.txt"

    readme.run("doveadm seal enroll -u anna", new_password(OLD))
    code = readme.run("doveadm seal enroll -u bert")
    assert "AGE-SECRET-KEY-1" in code
    lmtp(server, [anna], f"Subject: {word}\r\n\r\n{word}\r\n".encode())
    assert escrow.recipient in readme.run("doveadm seal status -u anna")
    # this server's users can't be listed
    assert '"sealed":1' in readme.run("doveadm -f json seal status -A",
                                      **{"-A": "-u anna"})
    code = readme.run("doveadm seal recovery new -u anna", [("Password: ", OLD)])
    code = re.search("AGE-SECRET-KEY-1[A-Z0-9]+", code).group()

    readme.run("doveadm seal password -u anna",
               [("Old password: ", OLD), *new_password(NEW)])
    anna = server.user("anna", NEW)
    readme.run("doveadm seal slot add -u anna --label phone",
               [("Password: ", NEW), *new_password(PHONE)])
    assert "phone" in readme.run("doveadm seal slot list -u anna")
    readme.run("doveadm seal slot remove -u anna phone", PASSWORD)

    [message] = disk.stored(server, anna)
    readme.run("sed -n", **{"escrow.txt": escrow_file})
    opened = readme.run("age -d -i anna.txt",
                        **{"Maildir/cur/MESSAGE": message.path})
    assert word in opened
    os.unlink(f"{anna.home}/anna.txt")
    readme.run("mail-seal export", **{
        "escrow.txt": escrow_file, " Maildir": " mail",
        "outdir": f"{tmp_path}/out"})
    assert canary.find(f"{tmp_path}/out", [word])

    readme.run("doveadm seal rotate -u anna --reseal", PASSWORD)
    assert disk.stored(server, anna)[0].content != message.content
    readme.run("doveadm seal slot remove -u anna --forget-old", PASSWORD)
    (tmp_path / "key").write_text(code + "\n")
    fetched = readme.run("doveadm -o", **{"3<key": f"3<{tmp_path}/key"})
    assert word in fetched

    readme.run("doveadm seal recover -u anna",
               [("Recovery code: ", code), *new_password(LAST)])
    anna = server.user("anna", LAST)
    with Imap(server, anna) as imap:
        imap.select()
        assert word.encode() in imap.body(1)

    readme.run("doveadm seal destroy -u anna",
               [("Type the user's name to go on: ", "anna")])
    assert not os.path.exists(keyring.path(anna))
    assert readme.lines == []
    assert canary.find(server.base, [word, code]) == []
