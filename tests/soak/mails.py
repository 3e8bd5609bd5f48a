# SPDX-License-Identifier: LGPL-2.1-or-later
"""The messages of a soak: made of their number alone, so that what was stored
can be compared with what was sent without keeping either."""

import base64
import random
import re

KIB = 1024
# Most are small; some have several chunks of age, which hold 64 KiB.
_SIZES = ((2 * KIB, 12 * KIB, 80), (60 * KIB, 140 * KIB, 16),
          (200 * KIB, 300 * KIB, 4))
_NUMBER = re.compile(rb"^X-Soak: (\d+)\r$", re.M)


def message(number, word):
    """With CRLF. The word is what must not be found on the disk."""
    rng = random.Random(number)
    low, high, _ = rng.choices(_SIZES, [size[2] for size in _SIZES])[0]
    text = base64.encodebytes(rng.randbytes(rng.randrange(low, high) * 3 // 4))
    head = (f"From: Sender {number} <sender@example.com>\r\n"
            "To: Somebody <somebody@example.org>\r\n"
            f"Subject: {word} {number}\r\n"
            "Date: Fri, 17 Jul 2026 02:44:25 +0000\r\n"
            f"Message-ID: <{number}.{word}@example.com>\r\n"
            f"X-Soak: {number}\r\n"
            "\r\n"
            f"The word is {word}.\r\n")
    return head.encode() + text.replace(b"\n", b"\r\n")


def number_of(stored):
    """Of a stored message, or of a part of it that has that header."""
    match = _NUMBER.search(stored)
    return int(match.group(1)) if match else None
