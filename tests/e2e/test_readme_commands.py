# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands of README.md as they stand there, with the paths of these
tests. Some sections are in other files; all of them leave no command out."""

import ast
import glob
import json
import os
import re

import pytest

from harness import age, canary, disk, keyring, readme as text
from harness.config import Setup
from harness.readme import Commands
from harness.seal import enrol, open_all
from harness.server import dovecot_version
from harness.wire import Imap, lmtp

# What stands in README.md and can't be run here, by its beginning, and why.
NOT_RUN = {
    "apt-get install": "installs into the system",
    "autoreconf -fi": "build-aux/suite has built this already",
    "./configure": "the same",
    "make": "the same",
    "build-aux/demo": "installs, and stays",
    "build-aux/check": "runs these tests",
    "build-aux/deb": "build-aux/check runs it",
    "mail-seal doctor": "looks at the system's configuration",
}

pytestmark = pytest.mark.no_asan

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
# The key's name on the command line, which README.md gives as 2.3 has it.
WITHOUT_PLUGIN = {} if dovecot_version() < (2, 4) else {"plugin/": ""}
# Our servers have a passwd-file for each user, and can't list them.
ANNA = {"-A": "-u anna"}


def anna_with_mail(server, messages=1):
    anna = server.user("anna")
    with open(f"{anna.home}/password", "w", encoding="ascii") as file:
        file.write(f"{anna.password}\n")
    enrol(server, anna)
    for _ in range(messages):
        lmtp(server, [anna], MESSAGE)
    return anna


def states(server, user):
    return [message.is_sealed for message in disk.stored(server, user)]


def report(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def test_existing_mail(own_server):
    server = own_server(Setup(storage="maildir",
                              settings=(("mail_seal_save", "no"),)))
    anna = anna_with_mail(server, 2)
    readme = Commands(server, anna.home, "Existing mail")
    assert states(server, anna) == [False, False]
    readme.run("doveadm seal mail -u anna")
    assert states(server, anna) == [True, True]
    lmtp(server, [anna], MESSAGE)
    readme.run("doveadm seal mail -A --max-rate 20M", **ANNA)
    assert states(server, anna) == [True] * 3
    assert "sealed" in readme.run("doveadm seal verify -u anna --password-fd")
    readme.run("doveadm seal verify -A --json", **ANNA)
    [row] = report(f"{anna.home}/report.json")
    assert (row["state"], int(row["messages"])) == ("sealed", 3)
    readme.run("doveadm seal unseal -u anna --password-fd")
    assert states(server, anna) == [False] * 3
    assert readme.lines == []


def ssh(folder, host):
    """In the place of ssh newhost: another server, with nothing of the first
    one's environment."""
    path = f"{folder}/ssh"
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""#!/bin/sh
shift 2
exec env -i PATH={os.environ['PATH']} doveadm -c {host.config_file} "$@"
""")
    os.chmod(path, 0o755)
    return {" ssh ": f" {path} "}


def test_moving_plain_mail(own_server, tmp_path):
    server = own_server(Setup(plugin=""))
    host = own_server(Setup(storage="maildir"))
    there = enrol(host, host.user("anna"))
    lmtp(server, [server.user("anna")], MESSAGE)
    readme = Commands(server, tmp_path, "Moving mail")
    readme.run("doveadm backup -u anna ssh newhost", **ssh(tmp_path, host))
    assert states(host, there) == [True]


def test_moving_sealed_mail(own_server, tmp_path):
    server = own_server(Setup())
    host = own_server(Setup(storage="maildir"))
    there = enrol(host, host.user("anna"))
    anna = anna_with_mail(server)
    (tmp_path / "key").write_text(f"{anna.password}\n")
    readme = Commands(server, tmp_path, "Moving mail")
    readme.run("doveadm -o plugin/mail_seal_unlock_fd=3 backup",
               **WITHOUT_PLUGIN, **ssh(tmp_path, host))
    [message] = open_all(host, there)
    assert message.endswith(b"\nbody\n")


def test_auditors(own_server):
    server = own_server(Setup())
    anna = anna_with_mail(server)
    readme = Commands(server, anna.home, "For auditors")
    readme.run("doveadm seal verify -A --json", **ANNA)
    [row] = report(f"{anna.home}/report.json")
    assert row["state"] == "sealed"
    readme.run("doveadm -f json seal status -A", **ANNA)
    [row] = report(f"{anna.home}/keys.json")
    assert row["enrolled"] == "yes"
    lines = readme.run("grep 'mail_seal: audit:'", **{
        "/var/log/mail.log": f"{server.base}/log"})
    assert "enroll: user=<anna>" in lines
    assert readme.lines == []


def test_reading_without_the_server(own_server):
    server = own_server(Setup(storage="maildir"))
    anna = anna_with_mail(server)
    server.stop()
    os.rename(f"{anna.home}/mail", f"{anna.home}/Maildir")
    [path] = glob.glob(f"{anna.home}/Maildir/new/*")
    readme = Commands(server, anna.home, "Reading without the server")
    password = [("Password or recovery code: ", anna.password)]
    assert "argon2id" in readme.run("mail-seal keyring show")
    readme.run("mail-seal export -n --keyring mail-seal.keyring Maildir",
               password)
    assert not os.path.exists(f"{anna.home}/plain")
    readme.run("mail-seal export --keyring mail-seal.keyring Maildir plain",
               password)
    [plain] = glob.glob(f"{anna.home}/plain/*/*")
    with open(plain, "rb") as file:
        assert file.read().endswith(b"\nbody\n")
    readme.run("mail-seal keyring open -o keys.txt", password)
    assert "body" in readme.run("age -d -i keys.txt", **{
        "Maildir/cur/1736899200.M1P2.mx:2,S": path})
    assert readme.lines == []


def test_backup_and_restore(own_server, tmp_path):
    server = own_server(Setup(storage="maildir"))
    anna = anna_with_mail(server, 2)
    word = canary.word()
    lmtp(server, [anna], f"Subject: {word}\r\n\r\n{word}\r\n".encode())
    homes = {"/var/vmail": f"{server.base}/home"}
    readme = Commands(server, tmp_path, "Examples")
    readme.run("tar -C /var/vmail --exclude=dovecot.index.cache", **homes)
    assert canary.find(f"{tmp_path}/anna.tar.gz", [word]) == []
    with Imap(server, anna) as imap:
        imap.select()
        imap.ok("STORE 1:* +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        readme.run("doveadm kick anna")
    readme.run("mv /var/vmail/anna", **homes)
    readme.run("tar -C /var/vmail -xpzf", **homes)
    assert "sealed" in readme.run("doveadm seal verify -u anna")
    with Imap(server, anna) as imap:
        imap.select()
        assert word.encode() in imap.body(3)
    check_one_message(readme, server, anna, homes)
    check_second_store(readme, anna, tmp_path, word)
    assert readme.lines == []


def check_one_message(readme, server, anna, homes):
    readme.run("mail-seal keyring open -o keys.txt",
               [("Password or recovery code: ", anna.password)], **homes)
    path = disk.stored(server, anna)[0].path
    assert "body" in readme.run("age -d -i keys.txt", **{
        "/var/vmail/anna/Maildir/cur/1736899200.M1P2.mx:2,S": path})


def check_second_store(readme, anna, folder, word):
    """Sealed there, too."""
    store = f"{anna.home}/second"
    (folder / "key").write_text(f"{anna.password}\n")
    readme.run("doveadm -o", **{"/backup/anna": store})
    stored = glob.glob(f"{store}/**/cur/*", recursive=True)
    identity = keyring.identity(anna)
    opened = []
    for path in stored:
        with open(path, "rb") as file:
            opened.append(age.open_(identity, file.read()))
    assert len(opened) == 3
    assert canary.find(store, [word]) == []


# Whether all commands are run


def calls(path):
    """(name of the function, its literals) of each call in a test file."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), [
                argument.value for argument in node.args
                if isinstance(argument, ast.Constant) and
                isinstance(argument.value, str)]


def what_tests_run():
    """{section: beginnings of commands}, and names of examples."""
    run = {}
    examples = set()
    for path in glob.glob(f"{os.path.dirname(__file__)}/test_*.py"):
        found = list(calls(path))
        words = {text for name, literals in found if name == "readme.run"
                 for text in literals[:1]}
        for name, literals in found:
            if name == "Commands":
                run.setdefault(literals[0], set()).update(words)
            if name == "example":
                examples.update(literals[:1])
    return run, examples


def is_named(line, beginnings):
    return any(line.startswith(words) for words in beginnings)


def test_every_command_is_run():
    run, _ = what_tests_run()
    left = [f"{section}: {line}" for section in text.sections()
            for line in text.commands(section)
            if not is_named(line, NOT_RUN) and
            not is_named(line, run.get(section, ()))]
    assert not left, (
        "README.md has commands that no test runs (see harness/readme.py):\n" +
        "\n".join(left))


def test_every_example_is_tested():
    _, named = what_tests_run()
    left = [name for name in text.examples()
            if name not in named and
            re.sub(r" 2\.[34]$", "", name) not in named]
    assert not left, f"README.md has examples that no test takes: {left}"
    fences = len(re.findall(r"^ *```", text.text(), re.M))
    assert fences == 2 * len(text.examples()), (
        "README.md has a fenced block without a comment with its name above")
