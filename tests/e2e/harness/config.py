# SPDX-License-Identifier: LGPL-2.1-or-later
"""The text of dovecot.conf for a private server, for Dovecot 2.3 and 2.4.

A Setup says what a test is about; everything else (ports, folders, limits
that would slow tests down) is filled in here and nowhere else.
"""

from dataclasses import dataclass

from . import sanitizer

FORMATS = ("maildir", "sdbox", "mdbox")

# Mail belongs to this uid and gid. They need no name in the system.
MAIL_UID = 5000

# The cheapest costs that are accepted: a login takes milliseconds. Tests of the
# defaults say settings={"mail_seal_argon2_memory": "64M", …}.
CHEAP = {"mail_seal_argon2_memory": "8M", "mail_seal_argon2_passes": "1"}


@dataclass(frozen=True)
class Setup:
    """What is particular about one server. Equal setups share a server."""

    storage: str = "sdbox"
    crlf: bool = False          # mail_save_crlf: of maildir alone
    compress: str = ""          # gz, zstd, …: under the seal
    # "" for plain Dovecot, or "mail_crypt" with an encrypted key for each user,
    # set up as its documentation has it.
    plugin: str = "mail_seal"
    # Settings of plugins as pairs: ("mail_seal_save", "no").
    settings: tuple = ()
    plugins: tuple = ()         # further mail_plugins: "quota", "acl", …
    imap_plugins: tuple = ()
    # mail_seal loads its imap and pop3 modules by itself; naming them is allowed.
    name_all_modules: bool = False
    never_cache: bool = True    # mail_never_cache_fields = *
    # No passdb and no mail_plugins: extra has them.
    bare: bool = False
    # What the passdb hands on instead of the password's SHA-256.
    secret: str = None
    # Configuration text at the end, for both and for each version. @base@ is
    # the server's folder.
    extra: str = ""
    extra_23: str = ""
    extra_24: str = ""
    name: str = ""              # two servers that are otherwise equal

    @property
    def sealed(self):
        return self.plugin == "mail_seal"

    @property
    def stored_ends(self):
        """How lines end on disk. Both dbox formats always write LF."""
        return "\r\n" if self.crlf and self.storage == "maildir" else "\n"


def text(setup, place, version):
    """The whole file. place has .base, a folder, and .ports by listener."""
    write = _text_23 if version < (2, 4) else _text_24
    return (write(setup, place).replace("@base@", place.base) +
            sanitizer.configuration(version))


def _secret(setup, of_password):
    return of_password if setup.secret is None else setup.secret


def plugin_settings(setup):
    settings = dict(CHEAP) if setup.sealed else {}
    settings.update(setup.settings)
    return settings


def _lines(settings):
    return "\n".join(f"{name} = {value}" for name, value in settings.items())


def _common(setup, place):
    return f"""
base_dir = {place.base}/run
state_dir = {place.base}/state
log_path = {place.base}/log
instance_name = mail-seal-test
listen = 127.0.0.1
protocols = imap pop3 lmtp
auth_mechanisms = plain login
auth_failure_delay = 0
mail_uid = {MAIL_UID}
mail_gid = {MAIL_UID}
first_valid_uid = {MAIL_UID}
mail_temp_dir = {place.base}/tmp
mail_save_crlf = {"yes" if setup.crlf else "no"}
mail_max_userip_connections = 1000
postmaster_address = postmaster@example.org
hostname = mail.example.org
ssl = yes

service imap-login {{
  process_min_avail = 0
  inet_listener imap {{
    port = {place.ports["imap"]}
  }}
  inet_listener imaps {{
    port = {place.ports["imaps"]}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {place.ports["pop3"]}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


_MAIL_CRYPT_23 = {
    "mail_crypt_curve": "secp521r1",
    "mail_crypt_save_version": "2",
    "mail_crypt_require_encrypted_user_key": "yes",
}


def _text_23(setup, place):
    base = place.base
    mail_plugins = list(setup.plugins)
    imap_plugins = ["imap_zlib", *setup.imap_plugins]
    pop3_plugins = []
    settings = plugin_settings(setup)
    override = ""
    if setup.compress:
        mail_plugins.append("zlib")
        settings.setdefault("zlib_save", setup.compress)
    if setup.sealed:
        mail_plugins.append("mail_seal")
        if setup.name_all_modules:
            imap_plugins.append("imap_mail_seal")
            pop3_plugins.append("pop3_mail_seal")
        override = ("override_fields = userdb_mail_seal_password=" +
                    _secret(setup, "%{sha256:password}"))
    more = ""
    if setup.plugin == "mail_crypt":
        mail_plugins.append("mail_crypt")
        settings.update(_MAIL_CRYPT_23)
        override = ("override_fields = userdb_mail_crypt_private_password=" +
                    _secret(setup, "%{sha256:password}"))
        more = "mail_attribute_dict = file:%h/dovecot-attributes"
    return f"""# Dovecot 2.3
{_common(setup, place)}
{more}
mail_location = {setup.storage}:~/mail
disable_plaintext_auth = no
ssl_cert = <{base}/cert.pem
ssl_key = <{base}/key.pem
userdb {{
  driver = passwd-file
  args = {base}/users/%u
}}
""" + ("" if setup.bare else f"""
mail_plugins = {" ".join(mail_plugins)}
{"mail_never_cache_fields = *" if setup.never_cache else ""}
passdb {{
  driver = passwd-file
  args = {base}/users/%u
  {override}
}}
protocol imap {{
  mail_plugins = $mail_plugins {" ".join(imap_plugins)}
}}
protocol pop3 {{
  mail_plugins = $mail_plugins {" ".join(pop3_plugins)}
}}
protocol lmtp {{
  mail_plugins = $mail_plugins sieve
  deliver_log_format = %$: size=%p
}}
protocol lda {{
  mail_plugins = $mail_plugins sieve
  deliver_log_format = %$: size=%p
}}
""") + f"""
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
{_lines(settings)}
}}
{setup.extra}
{setup.extra_23}
"""


# "*" must stand alone, and imap.envelope stands there by default.
_NEVER_CACHE_24 = """
mail_never_cache_fields {
  imap.envelope = no
  * = yes
}
"""


def _boolean_list(name, items):
    if not items:
        return ""
    inner = "\n".join(f"  {item} = yes" for item in items)
    return f"{name} {{\n{inner}\n}}"


def _text_24(setup, place):
    base = place.base
    mail_plugins = list(setup.plugins)
    imap_plugins = list(setup.imap_plugins)
    pop3_plugins = []
    settings = plugin_settings(setup)
    fields = ""
    if setup.compress:
        mail_plugins.append("mail_compress")
        settings.setdefault("mail_compress_write_method", setup.compress)
    if setup.sealed:
        mail_plugins.append("mail_seal")
        if setup.name_all_modules:
            imap_plugins.append("imap_mail_seal")
            pop3_plugins.append("pop3_mail_seal")
        secret = _secret(setup, "%{password | sha256 | hexlify}")
        fields = f"""fields {{
    userdb_mail_seal_password = {secret}
  }}"""
    more = ""
    if setup.plugin == "mail_crypt":
        mail_plugins.append("mail_crypt")
        secret = _secret(setup, "%{password | sha256 | hexlify}")
        fields = f"""fields {{
    userdb_crypt_user_key_password = {secret}
  }}"""
        more = """
crypt_user_key_curve = secp521r1
crypt_user_key_require_encrypted = yes
mail_attribute {
  dict file {
    path = %{home}/dovecot-attributes
  }
}
"""
    return f"""# Dovecot 2.4
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
{_common(setup, place)}
mail_driver = {setup.storage}
mail_path = ~/mail
auth_allow_cleartext = yes
ssl_server_cert_file = {base}/cert.pem
ssl_server_key_file = {base}/key.pem
userdb passwd-file {{
  passwd_file_path = {base}/users/%{{user}}
}}
""" + ("" if setup.bare else f"""
{_boolean_list("mail_plugins", mail_plugins)}
{_NEVER_CACHE_24 if setup.never_cache else ""}
passdb passwd-file {{
  passwd_file_path = {base}/users/%{{user}}
  {fields}
}}
protocol imap {{
  {_boolean_list("mail_plugins", imap_plugins)}
}}
protocol pop3 {{
  {_boolean_list("mail_plugins", pop3_plugins)}
}}
protocol lmtp {{
  mail_plugins {{
    sieve = yes
  }}
  deliver_log_format = %{{message}}: size=%{{size}}
}}
protocol lda {{
  mail_plugins {{
    sieve = yes
  }}
  deliver_log_format = %{{message}}: size=%{{size}}
}}
sieve_script personal {{
  driver = file
  path = ~/sieve
  active_path = ~/.dovecot.sieve
}}
""") + f"""
{_lines(settings)}
{more}
{setup.extra}
{setup.extra_24}
"""
