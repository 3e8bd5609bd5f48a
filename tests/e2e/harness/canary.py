# SPDX-License-Identifier: LGPL-2.1-or-later
"""Words that must be found nowhere on disk, and the search for them."""

import base64
import os
import random
import string

from . import packed

# The part that words of one call to words() have in common: looked for first,
# as that is one search instead of many.
_COMMON = 8
_UNPRINTABLE = bytes(set(range(256)) - set(range(32, 127)))


def word(rng=random.SystemRandom()):
    """A word that no other file holds: 16 letters."""
    return "".join(rng.choices(string.ascii_lowercase, k=16))


def words(names):
    """{name: word}, all beginning alike, so that find() takes less time."""
    common = word()[:_COMMON]
    return {name: common + word()[_COMMON:] for name in names}


def forms(text):
    """{name: bytes} under which a word of small letters may be found."""
    found = {"plain": text.encode()}
    for case, changed in (("", text), ("capital ", text.capitalize()),
                          ("capitals ", text.upper())):
        found.update((f"base64 {case}at {before}",
                      _base64(changed.encode(), before))
                     for before in range(3))
        # The case of the letter is in its number.
        found[f"quoted {case}"] = "".join(
            f"={ord(letter):02x}" for letter in changed).encode()
        found[f"hex {case}"] = changed.encode().hex().encode()
    return found


def _base64(raw, before):
    """Without what depends on the neighbours, after so many bytes."""
    encoded = base64.b64encode(bytes(before) + raw)
    skip = (0, 2, 3)[before]
    end = len(encoded) - (4 if (before + len(raw)) % 3 else 0)
    return encoded[skip:end]


def find(folder, words):
    """[(path, word, form), …] for every file below folder.

    Letters are compared in any case, soft line breaks of quoted-printable are
    removed, and what is compressed is read as well.
    """
    words = list(words)
    hits = []
    for path in _files(folder):
        with open(path, "rb") as file:
            data = file.read()
        hits += [(path, text, "file name") for text in words
                 if text in os.path.basename(path).lower()]
        hits += [(path, text, form) for text, form in find_in(data, words)]
        hits += [(path, text, f"{form}, in {kind}")
                 for kind, content in packed.streams(data)
                 for text, form in find_in(content, words)]
    return hits


def find_in(data, words):
    """[(word, form), …]"""
    joined = data.replace(b"=\r\n", b"").replace(b"=\n", b"")
    # Without line ends, and without the NULs of UTF-16 and UTF-32.
    joined = joined.translate(None, _UNPRINTABLE)
    lower = joined.lower()
    common = os.path.commonprefix(words)
    if len(common) >= _COMMON and not _found(joined, lower, common):
        return []
    return [(text, form) for text in words
            for form in _found(joined, lower, text)]


def _found(joined, lower, text):
    return [form for form, wanted in forms(text).items()
            if wanted in (joined if form.startswith("base64") else lower)]


def _files(folder):
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path
