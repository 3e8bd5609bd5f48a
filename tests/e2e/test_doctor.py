# SPDX-License-Identifier: LGPL-2.1-or-later
"""mail-seal doctor, on configurations with one thing wrong. What it says to
paste is pasted, and mends it."""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

import pytest

from harness import sanitizer
from harness.config import Setup
from harness.doctor import (ERRORS, NO_CONFIGURATION, OK, WARNINGS, Doctor,
                            clean, example, run)
from harness.server import dovecot_version

pytestmark = pytest.mark.no_asan

OLD = dovecot_version() < (2, 4)
SECRET = ("override_fields = userdb_mail_seal_password=%{sha256:password}"
          if OLD else
          "userdb_mail_seal_password = %{password | sha256 | hexlify}")


@pytest.fixture
def doctor(tmp_path):
    return Doctor(tmp_path)


@dataclass(frozen=True)
class Row:
    """Lines for 2.3 and 2.4 (None: not there), and what is found."""
    check: str
    level: str
    text: str
    old: str
    new: str

    @property
    def lines(self):
        return self.old if OLD else self.new


def _row(check, level, text, old, new=""):
    """new is "" if it is the same."""
    return Row(check, level, text, old, old if new == "" else new)


def _plugin(check, level, text, name, value):
    return _row(check, level, text, f"plugin {{\n  {name} = {value}\n}}",
                f"{name} = {value}")


def _loads(*names):
    return (f"mail_plugins = $mail_plugins {' '.join(names)}",
            "mail_plugins {\n" + "".join(f"  {name} = yes\n"
                                         for name in names) + "}")


# Lines at the end of a clean configuration. Those that are found have lines
# that mend them.
MENDED = [
    _row("plugins", "error", "imap pop3 lmtp lda doveadm: nothing is sealed",
         "mail_plugins ="),
    _row("plugins", "error", "imap pop3 lmtp lda doveadm: nothing is sealed",
         "mail_plugins =\nprotocol lda {\n  mail_plugins = acl\n}"),
    _row("plugins", "error", "protocol lmtp lacks mail_seal",
         "protocol lmtp {\n  mail_plugins = acl\n}"),
    _row("plugins", "error", "protocol imap lacks mail_seal", None,
         "protocol imap {\n  mail_plugins {\n    mail_seal = no\n  }\n}"),
    _row("plugins", "error", "protocol doveadm lacks mail_seal",
         "protocol !imap {\n  mail_plugins = acl\n}\n"
         "protocol lmtp {\n  mail_plugins = mail_seal\n}\n"
         "protocol lda {\n  mail_plugins = mail_seal\n}\n"
         "protocol pop3 {\n  mail_plugins = mail_seal\n}\n"
         "protocol indexer-worker {\n  mail_plugins = mail_seal\n}\n"
         "protocol imap-urlauth-worker {\n  mail_plugins = mail_seal\n}"),
    _row("plugins", "warning", "indexer-worker lacks mail_seal",
         "protocol indexer-worker {\n  mail_plugins = acl\n}"),
    _row("neighbours", "warning", "words of mail into its index",
         *_loads("fts", "fts_lucene" if OLD else "fts_flatcurve")),
    _row("neighbours", "warning", "fts is in mail_plugins of imap pop3",
         "mail_plugins = acl fts\nprotocol pop3 {\n"
         "  mail_plugins = fts mail_seal\n}",
         "mail_plugins {\n  mail_seal = no\n  fts = yes\n}\n"
         "protocol pop3 {\n  mail_plugins = fts mail_seal\n}"),
    _row("neighbours", "warning", "fts is in mail_plugins of imap pop3",
         "mail_plugins = acl fts",
         "mail_plugins {\n  mail_seal = no\n  fts = yes\n}"),
    _row("neighbours", "warning", "mail_crypt_save_version = 2",
         _loads("mail_crypt")[0] +
         "\nplugin {\n  mail_crypt_save_version = 2\n}", None),
    _row("neighbours", "warning", "crypt_write_algorithm = aes-256-gcm",
         None, _loads("mail_crypt")[1]),
    _row("neighbours", "warning", "mail_log_fields isn't set",
         *_loads("notify", "mail_log")),
    _row("neighbours", "warning", "mail_log_fields = uid subject",
         _loads("notify", "mail_log")[0] +
         "\nplugin {\n  mail_log_fields = uid subject\n}",
         _loads("notify", "mail_log")[1] + "\nmail_log_fields = uid subject"),
    _plugin("settings", "warning", "for doveadm -o alone",
            "mail_seal_unlock_fd", "3"),
    _row("storage", "error", "namespace inbox is mbox",
         "mail_location = mbox:~/mail\nnamespace inbox {\n  inbox = yes\n}",
         "mail_driver = mbox\nnamespace inbox {\n  inbox = yes\n}"),
    _row("storage", "error", "namespace inbox is imapc",
         "mail_location = imapc:", "mail_driver = imapc"),
    _row("storage", "error", "namespace old is mbox",
         "namespace inbox {\n  inbox = yes\n}\nnamespace old {\n"
         "  prefix = old.\n  location = mbox:~/old\n}",
         "namespace inbox {\n  inbox = yes\n}\nnamespace old {\n"
         "  prefix = old.\n  mail_driver = mbox\n  mail_path = ~/old\n}"),
    _row("storage", "warning", "names no storage format",
         "mail_location =", None),
    _row("storage", "error", "keeps attachments outside",
         "mail_attachment_dir = /var/attachments",
         "mail_ext_attachment_path = /var/attachments"),
    _row("cache", "error", "Expected '\\*' alone",
         "mail_never_cache_fields = imap.envelope",
         "mail_never_cache_fields {\n  * = no\n}"),
    _row("cache", "error", "'hdr.subject'",
         "mail_never_cache_fields = hdr.subject",
         "mail_never_cache_fields {\n  * = no\n  hdr.subject = yes\n}"),
    _row("cache", "error", "is '.*hdr.subject", None,
         "mail_never_cache_fields {\n  imap.envelope = yes\n"
         "  hdr.subject = yes\n  * = yes\n}"),
    _row("temp-dir", "error", "No such file", "mail_temp_dir = /nonexistent"),
    _row("memory", "error", "service imap may have 100 MB.*takes 64 MB",
         "service imap {\n  vsz_limit = 100M\n}"),
    _row("memory", "error", "service pop3 may have 127 MB",
         "default_vsz_limit = 127M"),
    _row("memory", "error", "takes 1024 MB",
         "plugin {\n  mail_seal_argon2_memory = 1G\n}",
         "mail_seal_argon2_memory = 1G"),
    _plugin("keyring", "error", "one file for all users",
            "mail_seal_keyring", "/root/keyring"),
    _row("dict", "error", "mail users can't connect",
         "plugin {\n  mail_seal_dict = proxy::seal\n}\n"
         "dict {\n  seal = redis:host=127.0.0.1\n}\n"
         "mail_uid = nobody\nmail_gid = nogroup",
         "mail_seal {\n  dict proxy {\n    name = seal\n  }\n}\n"
         "dict_server {\n  dict seal {\n    driver = file\n"
         "    file_path = /nonexistent\n  }\n}\n"
         "mail_uid = nobody\nmail_gid = nogroup"),
    _row("log", "warning", "deliver_log_format = msgid=",
         "deliver_log_format = msgid=%m: %$",
         "deliver_log_format = msgid=%{msgid}: %{message}"),
    _row("log", "warning", "in protocol lmtp",
         "protocol lmtp {\n  deliver_log_format = %{subject}: %$\n}",
         "protocol lmtp {\n  deliver_log_format = %{subject}\n}"),
    _row("log", "warning", "auth_debug_passwords = yes",
         "auth_debug_passwords = yes"),
    _row("log", "warning", "auth_verbose_passwords = sha1",
         "auth_verbose_passwords = sha1"),
    _row("rawlog", "warning", "rawlog_dir = /tmp/raw",
         "protocol imap {\n  rawlog_dir = /tmp/raw\n}"),
    _row("rawlog", "warning", "lmtp_rawlog_dir = /tmp/raw",
         "lmtp_rawlog_dir = /tmp/raw"),
]


def _rows(rows):
    rows = [row for row in rows if row.lines is not None]
    return pytest.mark.parametrize("row", rows, ids=[
        f"{row.check}-{number}" for number, row in enumerate(rows)])


def _like(found, row):
    return [finding for finding in found if finding.check == row.check and
            finding.level == row.level and re.search(row.text, finding.text)]


def _paste(findings):
    return "".join(line + "\n" for finding in findings
                   for line in finding.lines)


def test_readme_is_clean(doctor):
    assert doctor.bad(clean()) == []
    assert doctor.code == OK


@_rows(MENDED)
def test_pasted_lines_mend_it(doctor, row):
    text = f"{clean()}\n{row.lines}\n"
    found = doctor.bad(text)
    assert len(_like(found, row)) >= 1, found
    assert doctor.code == (ERRORS if any(
        finding.level == "error" for finding in found) else WARNINGS)
    assert all(finding.lines for finding in _like(found, row)), found
    found = doctor.bad(text + _paste(found))
    assert found == [], found
    assert doctor.code == OK


# Found, with nothing that could be pasted.
SAID = [
    _row("neighbours", "note", "replication", _loads("replication")[0], None),
    _row("neighbours", "note", "imap-hibernate holds",
         "imap_hibernate_timeout = 5s"),
    _plugin("settings", "note", "stored plain", "mail_seal_save", "no"),
    _plugin("settings", "note", "without a keyring is stored plain",
            "mail_seal_unenrolled", "plaintext"),
    _plugin("settings", "note", "doveadm seal enroll",
            "mail_seal_enroll", "no"),
    _row("passdb", "note", "oauthbearer", "auth_mechanisms = plain "
         "oauthbearer"),
    _row("configuration", "note", "local { }",
         "local 10.0.0.0/8 {\n  protocol imap {\n"
         "    imap_logout_format = bye\n  }\n}"),
    _plugin("keyring", "error", "No such file", "mail_seal_keyring",
            "/nonexistent/%u" if OLD else "/nonexistent/%{user}"),
    _row("dict", "error", 'the dict "seal", and there is no',
         "plugin {\n  mail_seal_dict = proxy::seal\n}",
         "mail_seal {\n  dict proxy {\n    name = seal\n  }\n}"),
    _row("dict", "error", "/nonexistent: No such file",
         "plugin {\n  mail_seal_dict = proxy::seal\n}\n"
         "dict {\n  seal = sqlite:/nonexistent\n}", None),
]


@_rows(SAID)
def test_said(doctor, row):
    found = doctor.bad(f"{clean()}\n{row.lines}\n")
    assert len(_like(found, row)) == 1, found


def test_bad_value(doctor):
    """The default mends it. On 2.4 doveconf complains as well."""
    for name, value in (("mail_seal_argon2_memory", "4M"),
                        ("mail_seal_argon2_passes", "17"),
                        ("mail_seal_save", "maybe"),
                        ("mail_seal_unenrolled", "drop"),
                        ("mail_seal_keyring", "keyring")):
        text = clean() + (f"plugin {{\n  {name} = {value}\n}}\n" if OLD else
                          f"{name} = {value}\n")
        found = doctor.bad(text)
        assert {finding.check for finding in found} == (
            {"settings"} if OLD else {"settings", "configuration"})
        assert any(finding.text.startswith(f"{name} = {value}: must be ")
                   for finding in found)
        assert doctor.bad(text + _paste(found)) == []


def test_escrow_secret_is_not_shown(doctor):
    key = "AGE-SECRET-KEY-1" + "Q" * 58
    done = run("-c", _write(doctor, f"plugin {{\n  {_escrow(key)}\n}}\n"
                            if OLD else f"{_escrow(key)}\n"))
    assert done.returncode in (ERRORS, NO_CONFIGURATION)
    assert "mail_seal_escrow_recipients" in done.stdout
    assert "QQQ" not in done.stdout + done.stderr


def _escrow(key):
    return f"mail_seal_escrow_recipients = {key}"


def _write(doctor, lines):
    doctor.path.write_text(f"{clean()}\n{lines}", encoding="utf-8")
    return doctor.path


def _without_passdb():
    return re.sub(r"^passdb .*?^}\n", "", clean(), flags=re.S | re.M)


def _passdb(fields, driver="passwd-file"):
    """The clean configuration with another passdb."""
    text = _without_passdb()
    if OLD:
        return (f"{text}\npassdb {{\n  driver = {driver}\n"
                f"  args = /etc/dovecot/users\n{fields}\n}}\n")
    return (f"{text}\npassdb {driver} {{\n"
            f"  passwd_file_path = /etc/dovecot/users\n{fields}\n}}\n")


def _fields(value, name="userdb_mail_seal_password"):
    if OLD:
        return f"  override_fields = {name}={value}"
    return f"  fields {{\n    {name} = {value}\n  }}"


GOOD = "%{sha256:password}" if OLD else "%{password|sha256|hexlify}"


@pytest.mark.parametrize("fields, level, text", [
    ("", "error", "doesn't hand on"),
    (_fields("%w" if OLD else "%{password}"), "error", "password itself"),
    (_fields("%{password}"), "error", "password itself"),
    (_fields("%{sha512:password}" if OLD else
             "%{password | sha512 | hexlify}"), "warning", "another value"),
    (_fields("%{user}"), "warning", "another value"),
    (_fields(GOOD, "mail_seal_password"), "error", "lacks userdb_"),
])
def test_passdb(doctor, fields, level, text):
    found = doctor.bad(_passdb(fields))
    assert [(finding.check, finding.level) for finding in found] == [
        ("passdb", level)]
    assert text in found[0].text
    if not OLD:
        found = doctor.bad(_passdb(fields) + _paste(found))
        # what lacks userdb_ stays beside it, and does no harm
        assert found == []
        return
    assert _paste(found).strip() == SECRET
    assert doctor.bad(_passdb(_paste(found))) == []


def test_other_fields_are_kept_and_not_shown(doctor):
    if not OLD:
        pytest.skip("2.4 adds to the fields")
    found = doctor.bad(_passdb("  override_fields = proxy_pass=secret"))
    assert found[0].lines == (
        "  override_fields = proxy_pass=... "
        "userdb_mail_seal_password=%{sha256:password}",)


def test_spaces_are_no_difference(doctor):
    assert doctor.bad(_passdb(_fields(GOOD))) == []


def test_userdb_identity(doctor, tmp_path):
    """The userdb's file has it."""
    users = tmp_path / "users"
    users.write_text("anna:{PLAIN}x:1:1::/h::userdb_mail_seal_identity=x\n",
                     encoding="utf-8")
    text = _passdb("").replace("/etc/dovecot/users", str(users))
    assert doctor.bad(text) == []
    assert doctor.bad(text + "auth_mechanisms = plain oauthbearer\n") == []
    users.write_text("anna:{PLAIN}x:1:1::/h::\n", encoding="utf-8")
    assert doctor.bad(text) != []


@pytest.mark.parametrize("query, level", [
    ("SELECT '%w' AS userdb_mail_seal_password", "error"),
    ("SELECT SHA2('%w', 256) AS userdb_mail_seal_password", None),
    ("SELECT password\n# userdb_mail_seal_password", "error"),
    ("SELECT password", "error"),
    (None, "warning"),
])
def test_query_in_a_file(doctor, tmp_path, query, level):
    if not OLD:
        pytest.skip("2.4 has queries in the configuration")
    path = tmp_path / "sql.conf"
    if query:
        path.write_text(f"password_query = {query}\n", encoding="utf-8")
    found = doctor.bad(_passdb("", "sql").replace("/etc/dovecot/users\n\n",
                                                  f"{path}\n"))
    assert [finding.level for finding in found] == ([level] if level else [])


@pytest.mark.parametrize("name", [
    f"example {name}" for name in ("sql", "ldap", "pam", "oauth2")])
def test_examples_of_the_readme(doctor, name):
    text = _without_passdb()
    found = doctor.find(f"{text}{example(name)}")
    assert {finding.level for finding in found
            if finding.check == "passdb"} <= {"ok", "note"}, found
    assert doctor.code == OK


@pytest.mark.parametrize("query, level", [
    ("SELECT '%{password | sha256 | hexlify}' AS userdb_mail_seal_password",
     None),
    ("SELECT '%{password}' AS userdb_mail_seal_password", "error"),
    ("SELECT password", "error"),
])
def test_query_in_the_configuration(doctor, query, level):
    if OLD:
        pytest.skip("2.3 has queries in a file")
    found = doctor.bad(_passdb(f"  query = {query}", "sql").replace(
        "  passwd_file_path = /etc/dovecot/users\n  query", "  query") +
        "sql_driver = sqlite\nsqlite_path = /nonexistent\n")
    assert [finding.level for finding in found] == ([level] if level else [])


def test_no_passdb_and_master(doctor):
    text = _without_passdb()
    assert [finding.text for finding in doctor.bad(text)
            if "there is no passdb" in finding.text] != []
    master = "  driver = passwd-file\n  master = yes\n" + (
        "  args = /m\n" if OLD else "  passwd_file_path = /m\n")
    name = "" if OLD else " masters"
    assert doctor.bad(f"{clean()}passdb{name} {{\n{master}}}\n") == []


def _on_disk(path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], check=True,
                          capture_output=True, text=True).stdout.strip()
    return kind not in ("tmpfs", "ramfs")


def test_temp_dir_on_disk(doctor, tmp_path):
    for folder in str(tmp_path), "/var/lib":
        if _on_disk(folder):
            break
    else:
        pytest.skip("there is no disk")
    found = doctor.bad(f"{clean()}mail_temp_dir = {folder}\n")
    assert "is on a disk" in found[0].text
    assert doctor.bad(f"{clean()}mail_temp_dir = {folder}\n" +
                      _paste(found[:1])) == []


def _as_root(finding):
    for line in finding.lines:
        subprocess.run(["sh", "-c", line], check=True)


def test_modes(doctor, tmp_path):
    """What is to be done as root."""
    temp = "/dev/shm/mail-seal-doctor"
    keyrings = tmp_path / "keyrings"
    os.makedirs(temp, 0o755, exist_ok=True)
    keyrings.mkdir(mode=0o755)
    setting = f"mail_seal_keyring = {keyrings}/{'%u' if OLD else '%{user}'}"
    text = f"{clean()}mail_temp_dir = {temp}\n" + (
        f"plugin {{\n  {setting}\n}}\n" if OLD else f"{setting}\n")
    try:
        found = doctor.bad(text)
        assert [finding.check for finding in found] == ["temp-dir", "keyring"]
        for finding in found:
            _as_root(finding)
        assert doctor.bad(text) == []
    finally:
        shutil.rmtree(temp)


def test_dict_file(doctor, tmp_path):
    if not OLD:
        pytest.skip("2.4 has no such file")
    path = tmp_path / "dict.conf"
    path.write_text("connect = password=secret\n", encoding="utf-8")
    os.chmod(path, 0o644)
    text = (f"{clean()}plugin {{\n  mail_seal_dict = proxy::seal\n}}\n"
            f"dict {{\n  seal = pgsql:{path}\n}}\n"
            "mail_uid = nobody\nmail_gid = nogroup\nservice dict {\n"
            "  unix_listener dict {\n    group = nogroup\n  }\n}\n")
    found = doctor.bad(text)
    assert [finding.check for finding in found] == ["dict"]
    _as_root(found[0])
    assert doctor.bad(text) == []


# Of the version itself.
MODULES = ["lib10_mail_seal_plugin.so", "lib11_imap_mail_seal_plugin.so",
           "lib11_pop3_mail_seal_plugin.so",
           "doveadm/lib10_doveadm_mail_seal_plugin.so",
           *([] if OLD else ["settings/libmail_seal_settings.so"])]
ABI = b"2.3.ABIv19(2.3.19.1)" if OLD else b"2.4.ABIv1"


@pytest.fixture
def modules(tmp_path):
    folder = tmp_path / "modules"
    for name in MODULES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"ELF " + ABI + b"\0")
    return folder


def _of_modules(doctor, modules):
    return [finding for finding in doctor.bad(clean(), "-m", modules)
            if finding.check == "modules"]


def test_modules(doctor, modules):
    assert _of_modules(doctor, modules) == []
    for name in MODULES[0], MODULES[-1]:
        path = modules / name
        text = path.read_bytes()
        path.write_bytes(text.replace(b"ABIv1", b"ABIv77"))
        assert "was built for 2." in _of_modules(doctor, modules)[0].text
        path.write_bytes(b"")
        assert "no version" in _of_modules(doctor, modules)[0].text
        path.unlink()
        assert "No such file" in _of_modules(doctor, modules)[0].text
        path.write_bytes(text)
    assert _of_modules(doctor, modules) == []


def test_modules_of_others(doctor, modules):
    os.chmod(modules / MODULES[0], 0o666)
    os.chown(modules / MODULES[1], 65534, 65534)
    os.chmod(modules, 0o777)
    (modules / "lib20_mail_seal_plugin.so").write_bytes(b"")
    found = _of_modules(doctor, modules)
    assert len(found) == 4
    for finding in found:
        _as_root(finding)
    assert _of_modules(doctor, modules) == []


def test_configuration_that_is_refused(doctor):
    for lines, code in (("no_such_setting = 1\n", NO_CONFIGURATION),
                        ("}\n", NO_CONFIGURATION),
                        ("protocol imap {\n", ERRORS)):
        found = doctor.find(clean() + lines)
        assert doctor.code == code
        assert any(finding.text.startswith("doveconf says: Fatal: Error in ")
                   for finding in found), found


def test_configuration_that_is_not_there(tmp_path):
    done = run("-c", tmp_path / "none.conf")
    assert done.returncode == NO_CONFIGURATION
    assert "none.conf" in done.stdout and "\n2 errors, " in done.stdout


def _doveconf(tmp_path, script):
    path = tmp_path / "bin" / "doveconf"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return {**os.environ, "PATH": f"{path.parent}:{os.environ['PATH']}"}


OTHER = "2.4.1" if OLD else "2.3.19.1"


@pytest.mark.parametrize("script, text", [
    ("exit 3", "doveconf shows no configuration (exit status 3)"),
    ("kill -9 $$", "doveconf: it was killed"),
    ("printf '# %s (0): /x.conf\\nmail_temp_dir = /\\n' " + OTHER,
     f"Dovecot is {OTHER}, and this mail-seal was built for "),
    ("printf 'mail_temp_dir = /\\n'", "Dovecot is of an unknown version"),
    ("head -c 3000000 /dev/urandom", "doveconf shows no configuration"),
    ("yes x", "doveconf: it prints too much"),
    ("printf '\\033[31m\\377' >&2; exit 1", "doveconf says: ?[31m?"),
    ("exit 127", "doveconf: it isn't there, or can't be run"),
])
def test_odd_doveconf(tmp_path, script, text):
    done = run(env=_doveconf(tmp_path, script))
    assert done.returncode == NO_CONFIGURATION
    assert text in done.stdout


def test_doveconf_that_hangs(tmp_path):
    """Neither it nor what it started stays."""
    began = time.monotonic()
    env = _doveconf(tmp_path, f"sleep 987 & echo $! >{tmp_path}/pid; wait")
    done = run(env=env)
    assert done.returncode == NO_CONFIGURATION
    assert "doveconf: no answer within " in done.stdout
    assert time.monotonic() - began < 40
    pid = (tmp_path / "pid").read_text(encoding="ascii").strip()
    assert not os.path.exists(f"/proc/{pid}") or \
        " Z " in open(f"/proc/{pid}/stat", encoding="ascii").read()


def test_no_doveconf(tmp_path):
    tool = shutil.which("mail-seal")
    done = subprocess.run([tool, "doctor"], env={"PATH": str(tmp_path)},
                          capture_output=True, text=True, check=False)
    assert done.returncode == NO_CONFIGURATION
    assert "can't run doveconf: it isn't there" in done.stdout


def test_long_values(doctor):
    value = "msgid=" + ("%m" if OLD else "%{msgid}") + "x" * 8000
    found = doctor.bad(f"{clean()}deliver_log_format = {value}\n")
    assert [finding.check for finding in found] == ["log"]
    assert len(found[0].text) < 500


def test_text(doctor):
    """The same for a person, with the count at the end."""
    path = _write(doctor, "auth_debug_passwords = yes\nrawlog_dir = /r\n")
    done = run("-c", path)
    assert done.returncode == WARNINGS and done.stderr == ""
    assert re.search(r"^warning  log: auth_debug_passwords = yes: .*\n"
                     r"    auth_debug_passwords = no\n", done.stdout, re.M)
    assert re.search(r"\n\n0 errors, 2 warnings, \d+ notes?, \d+ ok\n$",
                     done.stdout)
    assert re.match(r"ok +configuration: ", done.stdout)


def test_without_root(doctor):
    """Notes of what can't be read, and no more."""
    folder = doctor.path.parent
    while folder != folder.parent:
        os.chmod(folder, os.stat(folder).st_mode | 0o055)
        folder = folder.parent
    path = _write(doctor, "")
    os.chmod(path, 0o644)
    done = run("-c", path, user=65534, group=65534, extra_groups=[])
    assert done.returncode == OK, done
    assert "not run as root" in done.stdout


def test_usage(tmp_path):
    for args in ["x"], ["-c"], ["--no"], ["-m"]:
        done = run(*args)
        assert done.returncode == 2 and "mail-seal" in done.stderr
    done = subprocess.run(["sh", "-c", "mail-seal doctor >/dev/full"],
                          capture_output=True, text=True, check=False,
                          env=sanitizer.environment())
    assert done.returncode == 6 and "can't write" in done.stderr


def test_running_server(serve):
    """Its own limits are those that count."""
    server = serve(Setup())
    done = run("-c", f"{server.base}/dovecot.conf")
    assert "Dovecot doesn't run" not in done.stdout
    assert re.search("^ok +plugins: ", done.stdout, re.M)
    assert re.search("^ok +passdb: ", done.stdout, re.M)
