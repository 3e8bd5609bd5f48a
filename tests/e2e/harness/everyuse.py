# SPDX-License-Identifier: LGPL-2.1-or-later
"""One message with a word in each of its parts, and all that is done to mail
by clients and administrators. Used on a sealed and on a plain Dovecot."""

import base64
import os

from .config import MAIL_UID
from .doveadm import unlocked
from .wire import Imap, Pop3, append_part, lmtp

NAMES = ("subject", "fromname", "fromaddress", "toname", "toaddress", "cc",
         "bcc", "replyto", "sender", "id", "inreplyto", "references",
         "headername", "headervalue", "encoded", "folded", "text", "html",
         "content", "filename", "description", "cid", "boundary", "nested",
         "location")

# Beyond what Dovecot keeps in memory instead of a temporary file (128 KiB).
LARGE = 300000
DATE = "17-Jul-2026 02:44:25 +0000"

_MESSAGE = """\
From: {fromname} <{fromaddress}@example.com>
To: "{toname}" <{toaddress}@{toaddress}.example.org>
Cc: group: <{cc}@example.org>;
Bcc: {bcc}@example.org
Reply-To: {replyto}@example.org
Sender: {sender}@example.org
Subject: Re: [{subject}] {subject}
Date: Fri, 17 Jul 2026 02:44:25 +0000
Message-ID: <{id}@example.com>
In-Reply-To: <{inreplyto}@example.com>
References: <{references}@example.com> <{inreplyto}@example.com>
X-{headername}: {headervalue}
Comments: =?utf-8?b?{encoded64}?=
Keywords: one,
 {folded},
 three
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="{boundary}"

--{boundary}
Content-Type: multipart/alternative; boundary="{boundary}2"

--{boundary}2
Content-Type: text/plain; charset=utf-8

{text} is the text.

--{boundary}2
Content-Type: text/html; charset=utf-8
Content-Location: http://example.com/{location}

<p>{html} is the <b>HTML</b>.</p>

--{boundary}2--
--{boundary}
Content-Type: application/octet-stream; name="{filename}.bin"
Content-Disposition: attachment; filename="{filename}.bin"
Content-Transfer-Encoding: base64
Content-Description: {description}
Content-ID: <{cid}@example.com>

{content64}
--{boundary}
Content-Type: message/rfc822

Subject: {nested}
From: {nested}@example.com

{nested}
--{boundary}--
"""


def message(words, size=5000):
    """With CR LF; size is about that of the attachment."""
    content = words["content"].encode() + bytes(size)
    text = _MESSAGE.format(
        encoded64=base64.b64encode(words["encoded"].encode()).decode(),
        content64=base64.encodebytes(content).decode(), **words)
    return text.replace("\n", "\r\n").encode()


def doveadm(server, user, *words, stdin=b""):
    """With the key where there is one; fails unless it succeeds."""
    if server.setup.sealed:
        done = unlocked(server, *words, key=user.password, stdin=stdin)
        assert done.code == 0, f"{words}: {done.err}"
    else:
        server.doveadm(*words, stdin=stdin)


def use(server, user, words):
    """Everything, the later parts with a warm cache."""
    _save_by_imap(server, user, words)
    _deliver(server, user, words)
    for _ in range(2):
        _read_by_imap(server, user, words, "INBOX", "Other", "Filed")
    _organise(server, user, words)
    _read_by_pop3(server, user)
    _administrate(server, user, words)
    _read_by_imap(server, user, words, "INBOX", "Other", "Archive", "Sent")


def _save_by_imap(server, user, words):
    small, large = message(words), message(words, LARGE)
    with Imap(server, user) as imap:
        for mailbox in ("Other", "Filed", "Sent"):
            imap.ok(f"CREATE {mailbox}")
        imap.append(small)
        imap.ok(b"APPEND INBOX" + append_part(small, r"\Seen", DATE) +
                append_part(large))
        imap.append(small, "Other")
        imap.select()
        if b"REPLACE" in imap.ok("CAPABILITY").raw.split():
            imap.ok(b"REPLACE 1 INBOX" + append_part(small))


_SIEVE = """require ["fileinto", "copy"];
fileinto :copy "Filed";
if header :contains "x-no-such-header" "a" { discard; }
keep;
"""


def _deliver(server, user, words):
    path = f"{user.home}/.dovecot.sieve"
    with open(path, "w", encoding="ascii") as file:
        file.write(_SIEVE)
    os.chown(path, MAIL_UID, MAIL_UID)
    for size in (100, LARGE):
        lmtp(server, [user], message(words, size))
        server.lda(user, message(words, size))
        server.doveadm("save", "-u", user.name, stdin=message(words, size))


def _fetches(words):
    names = f"Subject fRoM X-{words['headername']} References List-Id"
    return [
        "ALL", "FULL", "FAST", "ENVELOPE", "BODY", "BODYSTRUCTURE",
        "RFC822.HEADER", "RFC822.SIZE", "BODY.PEEK[HEADER]",
        f"BODY.PEEK[HEADER.FIELDS ({names})]",
        f"BODY.PEEK[HEADER.FIELDS.NOT ({names})]", "BODY.PEEK[1.MIME]",
        "BODY.PEEK[1.1]", "BODY.PEEK[2.MIME]", "BODY.PEEK[3.HEADER]",
        "BODY.PEEK[3.TEXT]", "PREVIEW", "PREVIEW (LAZY)", "SNIPPET",
        "SNIPPET (LAZY=FUZZY)", "BODY.PEEK[]", "BODY.PEEK[2]<100.100>",
        "BINARY.PEEK[2]", "BINARY.SIZE[2]", "BODY.PEEK[TEXT]"]


def _searches(words):
    return [*(f"TEXT {word}" for word in words.values()),
            f"SUBJECT {words['subject']}", f"FROM {words['fromname']}",
            f"TO {words['toaddress']}", f"CC {words['cc']}",
            f"BCC {words['bcc']}", f"BODY {words['text']}",
            f"HEADER X-{words['headername']} {words['headervalue']}",
            f"HEADER Message-ID {words['id']}",
            "SENTSINCE 1-Jan-2026", "LARGER 10"]


def _read_by_imap(server, user, words, *mailboxes):
    with Imap(server, user) as imap:
        capability = imap.ok("CAPABILITY").raw.split()
        for mailbox in mailboxes:
            imap.select(mailbox)
            for items in _fetches(words):
                if b"SNIPPET=FUZZY" in capability or "SNIPPET" not in items:
                    imap.ok(f"FETCH 1:* {items}")
            for search in _searches(words):
                imap.ok(f"SEARCH {search}")
            _order(imap, capability)
            imap.ok("SEARCH INTHREAD REFS FROM " + words["fromname"])


def _order(imap, capability):
    for key in ("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO",
                "DISPLAYFROM", "DISPLAYTO"):
        imap.ok(f"SORT ({key}) UTF-8 ALL")
        imap.ok(f"SORT (REVERSE {key} SUBJECT) UTF-8 ALL")
    for offer in capability:
        if offer.startswith(b"THREAD="):
            imap.ok(b"THREAD " + offer[7:] + b" UTF-8 ALL")


def _organise(server, user, words):
    with Imap(server, user) as imap:
        imap.select()
        imap.ok("COPY 1:2 Other")
        imap.ok("MOVE 3 Other")
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.append(message(words))
        imap.ok("FETCH * (ENVELOPE BODYSTRUCTURE)")
        imap.ok("RENAME Filed Archive")


def _read_by_pop3(server, user):
    with Pop3(server, user) as pop3:
        for command in ("UIDL", "LIST", "TOP 1 5", "RETR 2", "TOP 3 0"):
            pop3.ok(command, multiline=True)
        pop3.ok("QUIT")


_FIELDS = ("hdr body text text.utf8 body.snippet body.preview imap.envelope "
           "imap.body imap.bodystructure date.sent size.virtual mailbox")


def _administrate(server, user, words):
    of_user = "-u", user.name
    doveadm(server, user, "fetch", *of_user, _FIELDS, "mailbox", "*", "all")
    doveadm(server, user, "fetch", *of_user, "hdr.subject hdr.x-nothing",
            "all")
    doveadm(server, user, "search", *of_user, "subject", words["subject"])
    doveadm(server, user, "search", *of_user, "text", words["text"])
    doveadm(server, user, "index", *of_user, "*")
    doveadm(server, user, "copy", *of_user, "Sent", "mailbox", "INBOX",
            "subject", words["subject"])
    if server.setup.storage == "mdbox":
        server.doveadm("purge", *of_user)
    server.doveadm("force-resync", *of_user, "*")
