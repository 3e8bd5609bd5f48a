# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of a given size: text, and an attachment in base64 where there is
room for one. The same in each run, and no two alike."""

import base64
import functools
import random

KIB = 1024
MIB = 1024 * KIB

_BOUNDARY = "=_bench"
_WORDS = ("the of and to in a is that for it as was with be by on not he his "
          "but at are this have from which one had or all were their an been "
          "has will would more when who no if out so said what up its about "
          "into than them can only other new some could time these two may "
          "then do first any my now such like our over man me even most").split()
_LINE_BYTES = 57        # 76 characters of base64
_TEXT_SIZE = 1500


@functools.lru_cache(maxsize=16)
def message(size, number=0):
    """size bytes, with CRLF."""
    rng = random.Random(f"{size} {number}")
    head = _head(rng, size, number)
    end = f"\r\n--{_BOUNDARY}--\r\n".encode()
    body = _base64(rng, size - len(head) - len(end))
    return head + body + end


def _head(rng, size, number):
    text = "\r\n".join(line(rng) for _ in range(_TEXT_SIZE // 75))
    return "\r\n".join((
        f"Received: from mail.example.com (mail.example.com [192.0.2.{number % 250}])",
        "\tby mx.example.org (Postfix) with ESMTPS id 4Z9kPq2v1Vz",
        "\tfor <somebody@example.org>; Fri, 17 Jul 2026 02:44:25 +0000 (UTC)",
        f"From: Sender {number} <sender{number}@example.com>",
        "To: Somebody Else <somebody@example.org>, other@example.org",
        f"Subject: {number}: {line(rng)[:50]}",
        "Date: Fri, 17 Jul 2026 02:44:25 +0000",
        f"Message-ID: <{size}.{number}@example.com>",
        f"In-Reply-To: <{size}.{number + 1}@example.com>",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"',
        "",
        f"--{_BOUNDARY}",
        "Content-Type: text/plain; charset=utf-8",
        "",
        text,
        f"--{_BOUNDARY}",
        f'Content-Type: application/octet-stream; name="{number}.bin"',
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment",
        "", "")).encode()


def line(rng):
    """Words of at least 68 characters."""
    text = rng.choice(_WORDS)
    while len(text) < 68:
        text += " " + rng.choice(_WORDS)
    return text


def _base64(rng, size):
    """size characters in lines, the last of them not closed."""
    raw = rng.randbytes(size * 3 // 4 + _LINE_BYTES)
    lines = base64.b64encode(raw)
    wide = _LINE_BYTES * 4 // 3
    out = b"\r\n".join(lines[pos:pos + wide]
                       for pos in range(0, len(lines), wide))
    # Neither a lone CR nor a lone LF at the end.
    return out[:size - 2] + b"AA"
