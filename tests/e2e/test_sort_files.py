# SPDX-License-Identifier: LGPL-2.1-or-later
"""The sealed files of ranks, from which SORT by a string answers: whatever is
done to them, the order is the right one."""

import glob
import os
import shutil

import pytest

from harness import cachefile
from harness.cached import Ward, fill, message, visit
from harness.disk import small_disk
from harness.doveadm import seal_user
from harness.seal import enrolled
from harness.wire import Imap


SORTS = tuple(f"SORT ({key}) UTF-8 ALL" for key in (
    "SUBJECT", "REVERSE SUBJECT", "FROM", "TO", "CC", "DISPLAYFROM",
    "DISPLAYTO", "FROM SUBJECT"))


def rank_files(user):
    return sorted(glob.glob(f"{user.home}/**/dovecot.index.seal-*",
                            recursive=True, include_hidden=True))


def rank_file(user, key="s"):
    path, = (path for path in rank_files(user)
             if path.endswith(f".seal-sort-{key}"))
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    """In place, so that owner and rights stay."""
    with open(path, "r+b") as file:
        file.truncate()
        file.write(data)


def sort(server, user, mailbox="INBOX"):
    return visit(server, user, mailbox, SORTS)


class SortWard(Ward):
    def __init__(self, server):
        super().__init__(server)
        self.order = sort(server, self.user)
        self.keep()

    def assert_order(self, what):
        assert sort(self.server, self.user) == self.order, what


@pytest.fixture(scope="module")
def kept(sealed):
    return SortWard(sealed)


@pytest.fixture
def ward(sealed, kept):
    sealed.new_log()
    kept.restore()
    yield kept
    kept.restore()


def test_a_file_for_each_key(ward):
    names = {path.rpartition("-")[2]: os.stat(path)
             for path in rank_files(ward.user)}
    assert set(names) == {"c", "f", "s", "t", "df", "dt"}
    index = os.stat(cachefile.path(ward.user))
    for status in names.values():
        assert status.st_mode == index.st_mode
        assert status.st_uid == index.st_uid


def test_order_comes_from_the_file(ward):
    """Subjects are gone from everywhere else."""
    cache = ward.path
    shutil.copy(rank_file(ward.user), f"{ward.user.home}/ranks")
    for path in cachefile.paths(ward.user):
        os.unlink(path)
    ward.server.allow_log("Error|Warning")
    for name in glob.glob(f"{ward.user.home}/mail/**/*", recursive=True):
        if os.path.isfile(name) and "dovecot" not in name:
            size = os.path.getsize(name)
            write(name, read(name)[:size // 2] + bytes(size - size // 2))
    with Imap(ward.server, ward.user) as imap:
        imap.select()
        assert imap.ok(SORTS[0]).raw == ward.order[0]
        assert imap.cmd("SORT (SUBJECT DATE) UTF-8 ALL").status == "OK"
    assert not os.path.exists(cache) or not cachefile.CacheFile(
        cache).sealed()


def test_it_changes_with_the_mailbox_alone(ward):
    path = rank_file(ward.user)
    before = read(path)
    ward.assert_order("again")
    assert read(path) == before
    with Imap(ward.server, ward.user) as imap:
        imap.append(message(99))
        imap.append(b"Subject: between\r\n\r\nbody\r\n")
        imap.select()
        first = imap.ok(SORTS[0]).raw
        assert imap.ok(SORTS[0]).raw == first
    assert read(path) != before
    after = read(path)
    os.unlink(path)
    with Imap(ward.server, ward.user) as imap:
        imap.select()
        assert imap.ok(SORTS[0]).raw == first
    assert len(read(path)) == len(after)


def test_older_ones_put_back(ward):
    """They lack what came later, and have what is gone."""
    older = {path: read(path) for path in rank_files(ward.user)}
    with Imap(ward.server, ward.user) as imap:
        imap.select()
        imap.ok(r"STORE 2,5:6 +FLAGS.SILENT (\Deleted)")
        imap.ok("EXPUNGE")
        for number in (50, 3, 51):
            imap.append(message(number))
    right = sort(ward.server, ward.user)
    for path, data in older.items():
        write(path, data)
    assert sort(ward.server, ward.user) == right
    for path in older:
        os.unlink(path)
    assert sort(ward.server, ward.user) == right
    assert not ward.complaints()


def test_damage(ward):
    path = rank_file(ward.user)
    whole = read(path)
    variants = [whole[:at] for at in (0, 1, 24, 41, len(whole) - 1)] + [
        whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1:]
        for at in (*range(0, len(whole), 23), len(whole) - 1)] + [
            whole + b"x", bytes(len(whole)), read(rank_file(ward.user, "f"))]
    for number, variant in enumerate(variants):
        write(path, variant)
        ward.assert_order(number)
        assert len(read(path)) == len(whole)
    complaints = ward.complaints(len(variants) - 1)
    # An empty one is as none.
    assert len(complaints) == len(variants) - 1
    assert all(len(lines) == 1 for lines in complaints.values())


def test_those_of_another_mailbox_and_user(ward):
    other = SortWard(ward.server)
    write(rank_file(ward.user), read(rank_file(other.user)))
    ward.assert_order("another user's")
    with Imap(ward.server, ward.user) as imap:
        imap.ok("CREATE Work")
    fill(ward.server, ward.user, "second", "Work")
    right = sort(ward.server, ward.user, "Work")
    folder = os.path.dirname(cachefile.path(ward.user, "Work"))
    write(f"{folder}/dovecot.index.seal-sort-s", read(rank_file(
        other.user)))
    assert sort(ward.server, ward.user, "Work") == right
    assert len(ward.complaints(2)) == 2


def test_it_goes_with_its_mailbox(ward):
    before = rank_files(ward.user)
    with Imap(ward.server, ward.user) as imap:
        imap.ok("CREATE Work")
    fill(ward.server, ward.user, "second", "Work")
    right = sort(ward.server, ward.user, "Work")
    assert len(rank_files(ward.user)) == 12
    with Imap(ward.server, ward.user) as imap:
        imap.ok("RENAME Work Play")
    assert sort(ward.server, ward.user, "Play") == right
    assert not ward.complaints()
    with Imap(ward.server, ward.user) as imap:
        imap.ok("DELETE Play")
    assert rank_files(ward.user) == before


def test_rotation_removes_those_of_the_old_identity(ward):
    seal_user(ward.server, ward.user, "rotate", password=ward.user.password)
    assert len(rank_files(ward.user)) == 6
    with Imap(ward.server, ward.user) as imap:
        imap.select()
    assert not rank_files(ward.user)
    ward.assert_order("rotated")
    assert len(rank_files(ward.user)) == 6
    assert not ward.complaints()


def test_file_that_cannot_be_written(ward):
    path = rank_file(ward.user)
    for name in rank_files(ward.user):
        os.unlink(name)
    os.mkdir(f"{path}.lock")
    ward.server.allow_log("seal-sort-s.lock")
    ward.assert_order("no file")
    assert len(rank_files(ward.user)) == 6
    os.rmdir(f"{path}.lock")
    ward.assert_order("another session")
    assert os.path.isfile(path)


def test_full_disk(sealed):
    user = enrolled(sealed)
    with small_disk(user) as fill_disk:
        fill(sealed, user)
        right = sort(sealed, user)
        for path in rank_files(user):
            os.unlink(path)
        sealed.allow_log("No space left|out of disk space")
        fill_disk(0)
        assert sort(sealed, user) == right
        os.unlink(f"{user.home}/filler")
        assert sort(sealed, user) == right
