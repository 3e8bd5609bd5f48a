# SPDX-License-Identifier: LGPL-2.1-or-later
"""A directory of our own, for a passdb: slapd on loopback."""

import glob
import os
import shutil
import subprocess
import tempfile

from .dict import free_port, wait_until
from .server import _end_with_parent

SLAPD = "/usr/sbin/slapd"
BASE = "ou=people,dc=example,dc=org"

_CONF = """include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
database ldif
suffix "{base}"
directory {folder}/data
access to attrs=userPassword by anonymous auth
access to * by * read
"""

_TOP = f"""dn: {BASE}
objectClass: organizationalUnit
ou: people
"""

_PERSON = """
dn: uid={0},{1}
objectClass: inetOrgPerson
uid: {0}
cn: {0}
sn: {0}
userPassword: {2}
"""


class Ldap:
    """Users with their passwords, below BASE."""

    def __init__(self, users):
        self.base = tempfile.mkdtemp(prefix="mse-ldap-")
        os.mkdir(f"{self.base}/data", 0o700)
        with open(f"{self.base}/conf", "w", encoding="ascii") as file:
            file.write(_CONF.format(base=BASE, folder=self.base))
        people = "".join(_PERSON.format(name, BASE, password)
                         for name, password in users.items())
        subprocess.run([SLAPD, "-T", "add", "-f", f"{self.base}/conf"],
                       input=_TOP + people, text=True, check=True)
        self.uri = f"ldap://127.0.0.1:{free_port()}"
        self.log = open(f"{self.base}/log", "wb")
        self.process = subprocess.Popen(
            [SLAPD, "-d", "0", "-f", f"{self.base}/conf", "-h", self.uri],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True, preexec_fn=_end_with_parent)
        wait_until(self._answers, "slapd")

    @staticmethod
    def is_installed():
        return os.path.exists(SLAPD) and bool(glob.glob(
            "/usr/lib/dovecot/**/libauthdb_ldap.so", recursive=True))

    def _answers(self):
        with open("/proc/net/tcp", encoding="ascii") as file:
            port = int(self.uri.rpartition(":")[2])
            return f"0100007F:{port:04X} 00000000:0000 0A" in file.read()

    def remove(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.base)
