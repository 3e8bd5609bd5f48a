# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages to try: CPython's email corpus, and made ones, always the same."""

import functools
import glob
import os
import random
import re
import sys
from email.message import EmailMessage
from email.policy import SMTP

CHUNK = 64 * 1024
DATE = "17-Jul-2026 02:44:25 +0000"


def crlf(message):
    return re.sub(rb"\r?\n", b"\r\n", message)


@functools.lru_cache
def everything():
    """[(name, message), …]: CPython's and the odd ones."""
    return cpython() + odd()


@functools.lru_cache
def cpython():
    """The messages of CPython's tests for its email package."""
    folder = (f"/usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
              "/test/test_email/data")
    found = []
    for path in sorted(glob.glob(f"{folder}/msg_*.txt")):
        with open(path, "rb") as file:
            found.append((os.path.basename(path), file.read()))
    if len(found) < 40:
        raise RuntimeError(f"no message corpus in {folder}: install "
                           f"libpython3.{sys.version_info[1]}-testsuite")
    return found


def of_size(size, ends="\r\n", seed=1):
    """A message of exactly size bytes, when its lines end so on disk."""
    rng = random.Random(f"{seed} {size} {len(ends)}")
    head = [f"From: Sized <sized{size}@example.com>",
            "To: somebody@example.org",
            f"Subject: {size} bytes",
            f"Message-ID: <{seed}.{size}@example.com>", ""]
    text = ends.join(head) + ends
    line = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=70))
    left = size - len(text)
    if left < 0:
        raise ValueError(f"{size} is too small for a message")
    whole = left // (70 + len(ends))
    body = (line + ends) * whole
    rest = left - len(body)
    body += line[:max(0, rest - len(ends))] + ends[-rest:] * (rest > 0)
    return crlf((text + body).encode())


def borders(ends):
    """Messages whose size on disk lies at and about a chunk's end."""
    return [(f"{size} bytes", of_size(size, ends))
            for chunks in (1, 2, 3)
            for size in (chunks * CHUNK - 1, chunks * CHUNK,
                         chunks * CHUNK + 1)]


def with_attachment(subject, text, name, content):
    message = EmailMessage(policy=SMTP)
    message["From"] = "Ada <ada@example.com>"
    message["To"] = "Grace <grace@example.org>"
    message["Subject"] = subject
    message["Message-ID"] = "<attachment@example.com>"
    message["Date"] = "Fri, 17 Jul 2026 02:44:25 +0000"
    message.set_content(text)
    message.add_attachment(content, maintype="application",
                           subtype="octet-stream", filename=name)
    message.set_boundary("=_boundary")
    return message.as_bytes()


_HEAD = b"From: a@example.com\r\nSubject: %s\r\n"


@functools.lru_cache
def odd():
    """Messages that no program should send and some do."""
    rng = random.Random(2)
    noise = bytes(rng.choices(range(1, 256), k=4000))
    head = _HEAD
    nested = head % b"innermost" + b"\r\ndeep\r\n"
    for depth in range(5):
        nested = (head % b"depth %d" % depth +
                  b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n"
                  b"\r\n" + nested)
    return [
        ("a header alone", head % b"no body"),
        ("no blank line", b"Subject: the last line has no end"),
        ("no header", b"\r\nbody alone\r\n"),
        ("one byte", b"x"),
        ("one newline", b"\r\n"),
        ("bare LF", (head % b"bare LF" + b"\r\none\ntwo\n").replace(
            b"\r\n", b"\n")),
        ("bare CR", head % b"bare CR" + b"\r\none\rtwo\r\r\nthree\r"),
        ("mixed ends", head % b"mixed" + b"\r\none\ntwo\r\nthree\n\r\nfour"),
        ("8bit", head % b"8bit \xe4\xf6\xfc" + b"\r\n" + noise + b"\r\n"),
        ("long lines", head % b"long" + b"\r\n" + b"x" * 200000 + b"\r\n"),
        ("long header", head % b"long header" + b"X-Long: " +
         b"word " * 40000 + b"\r\n\r\nbody\r\n"),
        ("many headers", head % b"many" +
         b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(3000)) +
         b"\r\nbody\r\n"),
        ("folded headers", head % b"folded\r\n and folded\r\n\tagain" +
         b"To: a@example.org,\r\n b@example.org\r\n\r\nbody\r\n"),
        ("nested", nested),
        ("dots", head % b"dots" + b"\r\n.\r\n..\r\n.one\r\n"),
        ("From line", head % b"From" + b"\r\nFrom somebody\r\n>From\r\n"),
        ("attachment", with_attachment("attached", "See the file.\n", "a.bin",
                                       bytes(range(256)) * 40)),
        ("large attachment", with_attachment(
            "attached", "See it.\n", "b.bin", rng.randbytes(300000))),
        ("open boundary", head % b"open" +
         b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
         b"--b\r\nContent-Type: text/plain\r\n\r\nnever closed\r\n"),
        ("quoted-printable", head % b"=?utf-8?q?gr=C3=BC=C3=9Fe?=" +
         b"Content-Type: text/plain; charset=utf-8\r\n"
         b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
         b"gr=C3=BC=C3=9Fe und so=\r\n weiter =\r\n"),
        ("base64", head % b"=?utf-8?b?w6TDtsO8?=" +
         b"Content-Type: text/plain; charset=utf-8\r\n"
         b"Content-Transfer-Encoding: base64\r\n\r\nw6TDtsO8\r\n"),
        ("bad encoding", head % b"bad" +
         b"Content-Transfer-Encoding: x-unknown\r\n\r\nbody\r\n"),
        ("bad base64", head % b"bad" +
         b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\r\n"),
        ("like an age file", b"age-encryption.org/v1\n-> X25519 abc\nabc\n"),
        ("like an age file with CRLF",
         b"age-encryption.org/v1\r\n-> X25519 abc\r\n\r\n"),
    ]


# Sent with literal8, as only that may hold NULs.
NULS = (_HEAD % b"NULs" + b"Content-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n" + bytes(1000))
