# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logins with tokens, which Dovecot checks by a key that it has."""

import base64
import hmac
import json
import os
import time

TOKEN_KEY = b"a key that signs tokens"

# Of 2.3, in a file of its own.
_CONF = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={0}/keys/
username_attribute = email
"""
# Of 2.4, in the configuration.
SETTINGS_24 = """
oauth2 {
  introspection_mode = local
  username_attribute = email
  oauth2_local_validation {
    dict fs {
      fs posix {
        prefix = @files@/keys/
      }
    }
  }
}
"""


def write_files(folder):
    """The key, and oauth2.conf, whose path is returned."""
    os.makedirs(f"{folder}/keys/default/HS256")
    _write(f"{folder}/keys/default/HS256/default",
           base64.b64encode(TOKEN_KEY).decode())
    return _write(f"{folder}/oauth2.conf", _CONF.format(folder))


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def token(user):
    """A JSON Web Token, which the passdb sees as a password."""
    def encoded(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    now = int(time.time())
    text = b".".join(encoded(json.dumps(part).encode()) for part in (
        {"alg": "HS256", "typ": "JWT"},
        {"sub": user.name, "email": user.name,
         "iat": now - 60, "exp": now + 3600}))
    return text + b"." + encoded(hmac.digest(TOKEN_KEY, text, "sha256"))


def login(imap, user):
    response = b"n,a=%s,\1auth=Bearer %s\1\1" % (user.name.encode(),
                                                 token(user))
    tag = imap.start("AUTHENTICATE OAUTHBEARER")
    assert imap.answer().startswith(b"+ ")
    imap.send(base64.b64encode(response) + b"\r\n")
    return imap.finish(tag)
