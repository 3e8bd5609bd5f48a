# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of README.md work as they stand there, with the paths of these
tests. What else a server has, its administrator has set up before."""

import base64
import json
import os
import shutil
import subprocess

import pytest

from harness import age, canary, disk, keyring, oauth2
from harness.config import MAIL_UID, Setup
from harness.dict import free_port
from harness.ldap import Ldap
from harness.readme import example
from harness.seal import enrolled, open_all
from harness.server import User, dovecot_version
from harness.wire import Imap, Lmtp, lmtp

pytestmark = pytest.mark.no_asan

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
NEW = "battery staple"
IS_23 = dovecot_version() < (2, 4)
PLUGIN = f"{os.path.dirname(__file__)}/../../build-aux/roundcube/mail_seal.php"


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def start(own_server, extra, **options):
    """A server whose only passdb is an example's; ours is as Configure has
    it."""
    return own_server(Setup(bare=True, extra=extra + """
mail_plugins = mail_seal
mail_never_cache_fields = *
""" if IS_23 else extra + """
mail_plugins {
  mail_seal = yes
}
mail_never_cache_fields {
  imap.envelope = no
  * = yes
}
""", **options))


def assert_seals(server, user):
    """A password makes the keyring and opens it again."""
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
    lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        assert b"ALERT" not in imap.login_reply.raw
        imap.select()
        assert imap.body(1) == MESSAGE
        assert imap.body(2).endswith(MESSAGE)
    assert keyring.identity(user)
    assert len(open_all(server, user)) == 2


# Password databases


COLUMNS = ("username", "password", "home", "uid", "gid", "mail_seal_recipient",
           "mail_seal_identity")


def database(folder, *rows):
    """Users in SQLite, in a folder that the auth process can read."""
    path = f"{folder}/users.sqlite"
    statements = [f"CREATE TABLE users ({', '.join(COLUMNS)});"]
    statements += ["INSERT INTO users VALUES (%s);" % ", ".join(
        "NULL" if value is None else f"'{value}'" for value in row)
        for row in rows]
    subprocess.run(["sqlite3", path], input="\n".join(statements), check=True,
                   text=True)
    os.chmod(path, 0o644)
    return path


SQL_23 = """driver = sqlite
connect = %s
password_query = SELECT username AS user, password FROM users \
WHERE username = '%%u'
"""


@pytest.fixture
def folder():
    """One that Dovecot's users can read."""
    path = f"/tmp/mse-readme-{os.getpid()}"
    os.mkdir(path, 0o755)
    yield path
    shutil.rmtree(path)


def sql_example(folder, path):
    if not IS_23:
        return example("example sql", {"/etc/dovecot/users.sqlite": path})
    return example("example sql", {
        "/etc/dovecot/dovecot-sql.conf.ext":
        write(f"{folder}/sql.ext", SQL_23 % path)})


def test_sql(own_server, folder):
    path = database(folder, ("anna", f"{{PLAIN}}{NEW}", *[None] * 5))
    server = start(own_server, sql_example(folder, path))
    anna = server.user("anna", "of no meaning")
    assert_seals(server, User("anna", NEW, anna.home))


def test_sql_with_identities(own_server, folder):
    """The userdb opens what the password doesn't."""
    key = age.keygen()
    home = f"{folder}/anna"
    path = database(folder, ("anna", f"{{PLAIN}}{NEW}", home, MAIL_UID,
                             MAIL_UID, key.recipient, key.identity))
    extra = sql_example(folder, path)
    query = example("example identities sql")
    if IS_23:
        with open(f"{folder}/sql.ext", "a", encoding="ascii") as file:
            file.write(query)
        query = f"userdb {{\n driver = sql\n args = {folder}/sql.ext\n}}\n"
    server = start(own_server, extra + query)
    os.mkdir(home)
    os.chown(home, MAIL_UID, MAIL_UID)
    assert_identity_works(server, User("anna", NEW, home), key)


def assert_identity_works(server, user, key, login=None):
    lmtp(server, [user], MESSAGE)
    with Imap(server) as imap:
        reply = login(imap, user) if login else imap.login(user)
        assert reply.status == "OK" and b"ALERT" not in reply.raw, reply
        imap.select()
        assert imap.body(1).endswith(MESSAGE)
    assert len(open_all(server, user, key.identity)) == 1
    assert not os.path.exists(keyring.path(user))


LDAP_23 = """uris = %s
base = ou=people,dc=example,dc=org
auth_bind = yes
auth_bind_userdn = uid=%%u,ou=people,dc=example,dc=org
"""


def ldap_example(folder, uri):
    if not IS_23:
        return example("example ldap", {"ldap://127.0.0.1": uri})
    return example("example ldap", {
        "/etc/dovecot/dovecot-ldap.conf.ext":
        write(f"{folder}/ldap.ext", LDAP_23 % uri)})


def test_ldap(own_server, folder):
    if not Ldap.is_installed():
        pytest.skip("slapd or dovecot-ldap isn't installed")
    directory = Ldap({"anna": NEW})
    try:
        server = start(own_server, ldap_example(folder, directory.uri))
        anna = server.user("anna", "of no meaning")
        assert_seals(server, User("anna", NEW, anna.home))
        # It would miss the directory.
        server.stop()
    finally:
        directory.remove()


@pytest.fixture
def pam(folder):
    """PAM lets everybody in, for Dovecot in our own mount namespace alone."""
    path = write(f"{folder}/pam", "auth required pam_permit.so\n"
                 "account required pam_permit.so\n")
    place = "/etc/pam.d/dovecot"
    subprocess.run(["mount", "--bind", path, place], check=True)
    yield
    subprocess.run(["umount", "-l", place], check=True)


def test_pam(own_server, pam):
    server = start(own_server, example("example pam"))
    anna = server.user("anna", "of no meaning")
    assert_seals(server, User("anna", NEW, anna.home))


def oauth2_example(folder, identities):
    path = oauth2.write_files(folder)
    changes = {"/etc/dovecot/identities": identities}
    if IS_23:
        changes["/etc/dovecot/dovecot-oauth2.conf.ext"] = path
        return example("example oauth2", changes)
    return oauth2.SETTINGS_24.replace("@files@", folder) + example(
        "example oauth2", changes)


def test_oauth2(own_server, folder):
    key = age.keygen()
    home = f"{folder}/anna"
    line = example("example identities", {
        "/var/vmail/anna": home, "5000": str(MAIL_UID),
        "age1…": key.recipient, "AGE-SECRET-KEY-1…": key.identity})
    server = start(own_server, oauth2_example(
        folder, write(f"{folder}/identities", line)))
    os.mkdir(home)
    os.chown(home, MAIL_UID, MAIL_UID)
    assert_identity_works(server, User("anna", "", home), key,
                          oauth2.login)


# Postfix


def postfix(server, queue, user):
    """What its transport gets as an answer."""
    transport = example("example postfix").split("=")[1].strip()
    assert transport.startswith("lmtp:unix:")
    path = f"{queue}/{transport.removeprefix('lmtp:unix:')}"
    with Lmtp(server, path) as client:
        [answer] = client.deliver([user], MESSAGE)
    return answer


def test_postfix(own_server, folder):
    os.mkdir(f"{folder}/private")
    # There is no user postfix.
    server = own_server(Setup(extra=example("example lmtp", {
        "/var/spool/postfix": folder, "user = postfix": "user = root",
        "group = postfix": "group = root"})))
    user = server.user()
    server.allow_log("mail_seal: ")
    code, text = postfix(server, folder, user)
    assert code == 451, text
    server.doveadm("seal", "enroll", "-u", user.name, "--recovery")
    assert postfix(server, folder, user)[0] == 250
    assert [message.is_sealed for message in disk.stored(server, user)] == [
        True]


# Roundcube


ROUNDCUBE = """<?php
abstract class rcube_plugin {
    public $hooks = [];
    public function add_hook($name, $callback) {
        $this->hooks[$name] = $callback;
    }
}
class rcube {
    public static function raise_error($arg, $log = false, $end = false) {
        fwrite(STDERR, $arg['message'] . "\\n");
    }
}
class config {
    public function get($name) { return $GLOBALS['config'][$name]; }
}
class output {
    public function command(...$words) { $GLOBALS['said'][] = $words; }
}
class rcmail extends rcube {
    public $config, $output;
    public static function get_instance() {
        $it = new rcmail();
        $it->config = new config();
        $it->output = new output();
        return $it;
    }
    public function get_user_name() { return $GLOBALS['user']; }
}
$said = [];
list($user, $change) = json_decode(stream_get_contents(STDIN), true);
require $argv[1];
require $argv[2];
$plugin = new mail_seal();
$plugin->init();
$after = $plugin->hooks['password_change']($change);
echo json_encode([$after == $change, $said]);
"""


class Roundcube:
    """A change of a password, as its plugin tells others of it."""

    def __init__(self, folder, port):
        self.folder = folder
        self.port = port
        self.program = write(f"{folder}/roundcube.php", ROUNDCUBE)

    def change(self, user, old, new, **changes):
        """(what the user is told, what is logged)"""
        config = write(f"{self.folder}/config.inc.php", "<?php\n" + example(
            "example roundcube", {":8080": f":{self.port}", **changes}))
        done = subprocess.run(
            ["php", self.program, config, PLUGIN], text=True, timeout=120,
            input=json.dumps([user.name, {"old_pass": old, "new_pass": new}]),
            capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        unchanged, said = json.loads(done.stdout)
        assert unchanged
        return [words[1] for words in said], done.stderr


@pytest.fixture
def roundcube(own_server, folder):
    if not shutil.which("php"):
        pytest.skip("php isn't installed")
    port = free_port()
    server = own_server(Setup(extra=example("example doveadm http", {
        "8080": str(port)})))
    return server, Roundcube(folder, port)


def test_roundcube_changes_the_password(roundcube):
    server, web = roundcube
    old, new, weak = canary.word(), canary.word(), "1234"
    user = enrolled_with(server, old)
    assert web.change(user, old, new) == ([], "")
    assert keyring.identity(user, new)
    # The password database has taken it, and so do we.
    assert web.change(user, new, weak) == ([], "")
    assert keyring.identity(user, weak)
    assert canary.find(f"{server.base}/log", [old, new]) == []


def enrolled_with(server, password):
    user = server.user(password=password)
    with Imap(server, user) as imap:
        imap.ok("LOGOUT")
    return user


def test_roundcube_of_a_user_without_a_keyring(roundcube):
    server, web = roundcube
    server.allow_log("Error: ")
    assert web.change(server.user(), "correct horse", NEW) == ([], "")


def test_roundcube_tells_what_failed(roundcube):
    server, web = roundcube
    old, new = canary.word(), canary.word()
    user = enrolled(server)
    server.allow_log("Error: ")
    told, logged = web.change(user, old, new)
    assert "keep your earlier password" in told[0]
    assert "exitCode 77" in logged
    # Nobody is there, or it's another service.
    for wrong in ({"127.0.0.1": "127.0.0.2"}, {"doveadm/v1": "nowhere"}):
        told, more = web.change(user, user.password, new, **wrong)
        assert told and "mail_seal_api_key" in more
        logged += more
    assert keyring.identity(user)
    assert canary.find_in((logged + server.all_log()).encode(),
                          [old, new]) == []


def test_roundcube_may_do_nothing_else(roundcube):
    """doveadm_allowed_commands of the example."""
    server, web = roundcube
    user = enrolled(server)
    destroy = [["sealDestroy", {"user": user.name, "confirm": user.name}, ""]]
    key = base64.b64encode(b"a-long-random-word").decode()
    # Dovecot 2.4.1 gives up a refused request, and its process.
    server.allow_log("Error: |json_generator|Raw backtrace|signal 6")
    done = subprocess.run(
        ["curl", "-s", "-H", f"Authorization: X-Dovecot-API {key}", "-d",
         json.dumps(destroy), f"http://127.0.0.1:{web.port}/doveadm/v1"],
        capture_output=True, text=True)
    assert "unAuthorized" in done.stdout or (not IS_23 and done.stdout == "")
    assert keyring.identity(user)
