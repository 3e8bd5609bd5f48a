# SPDX-License-Identifier: LGPL-2.1-or-later
"""After every kind of use no word of a message is in any file, in no form: not
in the mail, indexes, control files, homes, logs, state or temporary files."""

import glob
import os
import re
from dataclasses import replace

import pytest

from harness import canary, everyuse
from harness.config import Setup
from harness.dsync import by_password, dsync
from harness.seal import enrolled
from harness.wire import Imap

# Indexes and control files in folders of their own.
APART_23 = ("mail_location = %s:~/mail:INDEX=@base@/home/index-%%u"
            ":CONTROL=@base@/home/control-%%u\n")
APART_24 = ("mail_index_path = @base@/home/index-%{user}\n"
            "mail_control_path = @base@/home/control-%{user}\n")
COMPRESS = {"maildir": "gz", "sdbox": "zstd", "mdbox": "lz4"}


def other_folders(storage):
    """And compressed."""
    return Setup(storage=storage, compress=COMPRESS[storage],
                 extra_23=APART_23 % storage, extra_24=APART_24)


class Used:
    """A server on which everything was done to mail that holds the words."""

    def __init__(self, server):
        self.server = server
        self.base = server.base
        self.user = enrolled(server) if server.setup.sealed else server.user()
        self.words = canary.words(everyuse.NAMES)
        everyuse.use(server, self.user, self.words)
        copy = back_up(server, self.user)
        with Imap(server, copy) as imap:
            imap.select()
            imap.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)")

    def shown(self):
        """{word: how it was found and where}"""
        return {word: f"{form} in {path}" for path, word, form in
                canary.find(self.base, self.words.values())}

    def index_files(self):
        return [path for path in
                glob.glob(f"{self.base}/home/**/dovecot.*index*",
                          recursive=True, include_hidden=True)
                if os.path.isfile(path)]

    def ranks(self):
        """Index files that hold an order or a thread of messages."""
        return [path for path in self.index_files()
                if path.rpartition("/")[2].startswith("dovecot.index.thread")
                or re.search(rb"sort-[a-zA-Z]|\bthread\0", read(path))]


def back_up(server, user):
    """To another user, whose store is sealed too; returns that user."""
    copy = enrolled(server) if server.setup.sealed else server.user()
    key = by_password(server, user) if server.setup.sealed else {}
    dsync("backup", server, user, server, copy, **key)
    return copy


def read(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture(scope="module", params=["together", "apart"])
def sealed_use(request, serve, storage):
    setup = other_folders(storage) if request.param == "apart" else \
        Setup(storage=storage)
    return Used(serve(replace(setup, name="canary")))


@pytest.fixture(scope="module")
def plain_use(serve, storage):
    """With Dovecot's own cache."""
    return Used(serve(replace(other_folders(storage), plugin="",
                              never_cache=False)))


def test_no_word_is_left_on_disk(sealed_use):
    assert sealed_use.shown() == {}
    assert os.listdir(f"{sealed_use.base}/tmp") == []


def test_no_rank_or_thread_is_left_on_disk(sealed_use):
    assert sealed_use.ranks() == []


# The same on a plain Dovecot: what must not be there is found there.


def test_the_search_finds_every_word_of_plain(plain_use):
    shown = plain_use.shown()
    assert {name for name, word in plain_use.words.items()
            if word not in shown} == set()


def test_the_search_finds_words_in_a_plain_cache(plain_use):
    folder = f"{plain_use.base}/home/index-{plain_use.user.name}/"
    caches = b"".join(read(path) for path in plain_use.index_files()
                      if path.startswith(folder) and path.endswith(".cache"))
    words = plain_use.words
    found = {word for word, _ in
             canary.find_in(caches, list(words.values()))}
    assert {words["subject"], words["fromaddress"], words["id"]} <= found


def test_ranks_and_threads_of_plain_are_found(plain_use):
    files = {path.rpartition("/")[2] for path in plain_use.ranks()}
    assert {"dovecot.index.log", "dovecot.index.thread"} <= files
