# SPDX-License-Identifier: LGPL-2.1-or-later
"""Words that must be found nowhere on disk, and the search for them."""

import base64
import os
import random
import string


def word(rng=random.SystemRandom()):
    """A word that no other file holds: 16 letters."""
    return "".join(rng.choices(string.ascii_lowercase, k=16))


def forms(text):
    """The bytes under which a word may be found, by name."""
    raw = text.encode()
    found = {"plain": raw}
    # Base64 moves by thirds: drop what depends on the neighbours.
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        skip = (0, 2, 3)[before]
        end = len(encoded) - (4 if (before + len(raw)) % 3 else 0)
        found[f"base64 at {before}"] = encoded[skip:end]
    found["utf-16"] = text.encode("utf-16-le")
    found["hex"] = raw.hex().encode()
    return found


def find(folder, words):
    """[(path, word, form), …] for every file below folder.

    Letters are compared in any case, and soft line breaks of quoted-printable
    are removed.
    """
    hits = []
    for path in _files(folder):
        with open(path, "rb") as file:
            data = file.read()
        joined = data.replace(b"=\r\n", b"").replace(b"=\n", b"")
        lower = joined.lower()
        unbroken = data.replace(b"\r\n", b"").replace(b"\n", b"")
        for text in words:
            for form, wanted in forms(text).items():
                where = unbroken if form.startswith("base64") else lower
                if wanted in where:
                    hits.append((path, text, form))
            if text in os.path.basename(path):
                hits.append((path, text, "file name"))
    return hits


def _files(folder):
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path
