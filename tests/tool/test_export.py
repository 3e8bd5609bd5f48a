# SPDX-License-Identifier: LGPL-2.1-or-later
import bz2
import gzip
import lzma
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from keyrings import Keyring
from mail_seal import BAD_HEADER, BAD_PAYLOAD, CHUNK, DONE, IO, NO_IDENTITY, TOOL, USAGE, mail_seal, new_key, on_terminal
from mail_seal import output_of, run, with_fd

MESSAGE = b"From: me\nSubject: %d\n\n"
DATE = 1_700_000_000


def seal(data, key):
    return output_of(mail_seal("seal", "-r", key.recipient, data=data))


def message(number, size=100):
    return MESSAGE % number + b"x" * (size - 20) + b"\n"


def put(folder, name, content, new=False):
    for part in "cur", "new", "tmp":
        (folder / part).mkdir(parents=True, exist_ok=True)
    path = folder / ("new" if new else "cur") / name
    path.write_bytes(content)
    os.utime(path, (DATE, DATE))
    return path


@pytest.fixture
def store(tmp_path, key):
    """A Maildir++ with sealed and plain messages."""
    root = tmp_path / "Maildir"
    for number in range(5):
        put(root, f"{DATE + number}.M{number}P1.host,S=100:2,{'S' * (number % 2)}", seal(message(number), key))
    put(root, f"{DATE}.M9P1.host", seal(message(9), key), new=True)
    put(root, f"{DATE}.plain:2,Fa", message(20))
    put(root / ".Work", f"{DATE}.M30P1.host:2,RS", seal(message(30, 3 * CHUNK), key))
    put(root / ".Work.2026", f"{DATE}.M31P1.host:2,", seal(message(31), key))
    (root / "tmp" / "half").write_bytes(b"half a message")
    (root / "cur" / ".nfs0001").write_bytes(b"")
    (root / "dovecot-keywords").write_text("0 important\n")
    (root / "subscriptions").write_text("Work\n")
    (root / "dovecot.index.log").write_bytes(b"nothing")
    (root / "dovecot-uidlist").write_text("3 V1 N2 G1\n")
    return root


def export(key, source, out, *args):
    return mail_seal("export", "-i", key.path, *args, source, out)


def files_in(folder):
    """{path: content} of all messages."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.parent.name in ("cur", "new", "tmp")}


EXPECTED = 9


def check(store, out):
    found = files_in(out)
    want = {name for name in files_in(store) if "/tmp/" not in "/" + name and ".nfs" not in name}
    assert set(found) == want and len(found) == EXPECTED
    for name, content in found.items():
        number = int(content.split()[3])
        assert content in (message(number), message(number, 3 * CHUNK)), name
        assert os.stat(out / name).st_mtime == DATE
        assert os.stat(out / name).st_mode & 0o777 == 0o600


def test_maildir(store, key, tmp_path):
    out = tmp_path / "out"
    before = {path: os.lstat(path).st_ctime_ns for path in store.rglob("*")}
    result = export(key, f"{store}/", out)
    assert result.code == DONE and result.out == b""
    assert result.err == "mail-seal: 9 messages of 3 folders exported; 0 could not be opened\n"
    check(store, out)
    assert (out / "dovecot-keywords").read_text() == "0 important\n"
    assert (out / "subscriptions").read_text() == "Work\n"
    assert not (out / "dovecot.index.log").exists()
    assert (out / ".Work" / "maildirfolder").exists()
    assert out.stat().st_mode & 0o777 == 0o700
    assert {path: os.lstat(path).st_ctime_ns for path in store.rglob("*")} == before


def test_fs_layout(key, tmp_path):
    """Folders are A/B, and names may have dots."""
    root, out = tmp_path / "mail", tmp_path / "out"
    put(root / "a" / "b.c", f"{DATE}.x:2,S", seal(message(1), key))
    put(root / "a", f"{DATE}.x:2,S", seal(message(2), key))
    (root / "a" / "loop").symlink_to(root / "a")
    (root / "file").write_text("x")
    assert export(key, root, out).code == DONE
    assert files_in(out) == {f"a/b.c/cur/{DATE}.x:2,S": message(1), f"a/cur/{DATE}.x:2,S": message(2)}


def test_again(store, key, tmp_path):
    """A second run adds what is new, follows flags, and leaves the rest alone."""
    out = tmp_path / "out"
    assert export(key, store, out).code == DONE
    before = {path: path.stat().st_ino for path in out.rglob("*") if path.is_file() and path.parent.name in ("cur", "new")}
    result = export(key, store, out)
    assert result.code == DONE and "0 messages of 3 folders exported, 9 were there already" in result.err
    assert {path: path.stat().st_ino for path in before} == before
    os.rename(store / "new" / f"{DATE}.M9P1.host", store / "cur" / f"{DATE}.M9P1.host:2,ST")
    put(store, f"{DATE}.added:2,", seal(message(40), key))
    (out / "tmp" / "mail-seal.export.7").write_bytes(b"left by a kill")
    result = export(key, store, out)
    assert result.code == DONE and "1 message of 3 folders exported, 9 were there already" in result.err
    (store / "cur" / f"{DATE}.added:2,").unlink()
    (out / "cur" / f"{DATE}.added:2,").unlink()
    check(store, out)


def test_dry_run(store, key, other_key, tmp_path):
    out = tmp_path / "out"
    for args in [store], [store, out]:
        result = mail_seal("export", "-n", "-i", key.path, *args)
        assert result.code == DONE and not out.exists()
        assert result.err == "mail-seal: 9 messages of 3 folders can be opened; 0 could not be opened\n"
    result = mail_seal("export", "--dry-run", "-i", other_key.path, store)
    assert result.code == BAD_PAYLOAD and "8 could not be opened" in result.err


def test_damage(store, key, other_key, tmp_path):
    """What is wrong is named and counted; nothing of it is written; all else is there."""
    bad = {}
    large = seal(message(60, 5 * CHUNK), key)
    for number, content in enumerate([
        large[:-1],                                                     # cut
        large[: 3 * CHUNK],
        large[: 2 * CHUNK] + bytes([large[2 * CHUNK] ^ 1]) + large[2 * CHUNK + 1:],
        large + b"x",
        seal(message(61), other_key),
        b"",
        b"age-encr",
        b"age-encryption.org/v1\n-> X25519 x\n",
        large.replace(b"age-", b"agE-", 1),
        seal(gzip.compress(message(62, 100_000))[:-20], key),
        gzip.compress(message(63, 100_000))[:100],
        seal(bz2.compress(message(64)), key) + b"x",
        seal(gzip.compress(message(65)), key)[:-1],
    ]):
        bad[f"{DATE}.bad{number}:2,"] = content
    for name, content in bad.items():
        put(store, name, content)
    out = tmp_path / "out"
    result = export(key, store, out)
    assert result.code == BAD_PAYLOAD
    lines = result.err.splitlines()
    assert len(lines) == len(bad) + 1 and f"9 messages of 3 folders exported; {len(bad)} could not be opened" in lines[-1]
    for name in bad:
        assert sum(name in line for line in lines) == 1, name
        (store / "cur" / name).unlink()
    check(store, out)


def test_flip_every_byte(key, tmp_path):
    """A damaged message is never written, in whole or in part."""
    sealed = seal(b"From: me\n\nhello\n", key)
    root = tmp_path / "mail"
    for i in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[i] ^= 1 << (i % 8)
        put(root, f"{DATE}.M{i}:2,", bytes(damaged))
    out = tmp_path / "out"
    result = export(key, root, out)
    assert result.code == BAD_PAYLOAD and f"{len(sealed)} could not be opened" in result.err
    assert files_in(out) == {}


def test_odd_files(store, key, tmp_path):
    """What isn't a message file is named, and holds nothing up."""
    cur = store / "cur"
    (cur / "dangling").symlink_to(tmp_path / "nowhere")
    (cur / "loop").symlink_to(cur / "loop")
    (cur / "folder").mkdir()
    os.mkfifo(cur / "fifo")
    (store / ".Loop").mkdir()
    (store / ".Loop" / "cur").symlink_to(store / ".Loop" / "cur")
    (store / ".Gone").symlink_to(tmp_path / "nowhere")
    out = tmp_path / "out"
    result = export(key, store, out)
    assert result.code == BAD_PAYLOAD and "; 5 could not be opened" in result.err
    for name in "dangling", "loop", "folder", "fifo", ".Loop/cur":
        assert f"{store}/" in result.err and f"{name}: " in result.err
    check(store, out)


def test_links(store, key, tmp_path):
    """Copies share a file in the store; a link to a file outside is followed."""
    source = store / ".Work" / "cur" / f"{DATE}.M30P1.host:2,RS"
    os.link(source, store / "cur" / f"{DATE}.copy:2,S")
    outside = tmp_path / "outside"
    outside.write_bytes(seal(message(50), key))
    (store / "cur" / f"{DATE}.link:2,").symlink_to(outside)
    out = tmp_path / "out"
    assert export(key, store, out).code == DONE
    assert (out / "cur" / f"{DATE}.copy:2,S").read_bytes() == message(30, 3 * CHUNK)
    assert (out / "cur" / f"{DATE}.link:2,").read_bytes() == message(50)
    assert not (out / "cur" / f"{DATE}.link:2,").is_symlink()


def test_compressed(key, tmp_path):
    """Under the seal, and without one."""
    root, out = tmp_path / "mail", tmp_path / "out"
    data = message(1, 300_000)
    for name, compress in ("gz", gzip.compress), ("bz2", bz2.compress):
        put(root, f"sealed.{name}:2,", seal(compress(data), key))
        put(root, f"plain.{name}:2,", compress(data))
    assert export(key, root, out).code == DONE
    assert set(files_in(out).values()) == {data} and len(files_in(out)) == 4
    # Dovecot 2.4 has no xz: it must not be taken for a message.
    put(root, "sealed.xz:2,", seal(lzma.compress(data), key))
    result = export(key, root, out)
    assert result.code == DONE or (result.code == BAD_PAYLOAD and "compressed by xz" in result.err)
    assert (len(files_in(out)) == 5) == (result.code == DONE)
    assert set(files_in(out).values()) == {data}


def test_refused_targets(store, key, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").write_text("x")
    inside = store / "inside"
    (tmp_path / "link").symlink_to(store)
    for out in taken, inside, f"{inside}/", f"{inside}//", store, tmp_path / "link" / "deep", store / "cur":
        result = export(key, store, out)
        assert result.code == USAGE and str(out).rstrip("/") in result.err, out
    assert os.listdir(taken) == ["file"] and not inside.exists()
    for out in tmp_path / "none" / "out", taken / "file":
        assert export(key, store, out).code == IO
    other = tmp_path / "other"
    put(other, "x:2,", b"From: me\n\n")
    out = tmp_path / "out"
    assert export(key, other, out).code == DONE
    result = export(key, store, out)
    assert result.code == USAGE and "another folder" in result.err
    assert list(files_in(out)) == ["cur/x:2,"]


def test_refused_sources(key, tmp_path):
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    result = export(key, empty, out)
    assert result.code == USAGE and "Maildir" in result.err
    for source in tmp_path / "none", key.path:
        assert export(key, source, tmp_path / "out2").code == IO


@pytest.mark.parametrize("args", [[], ["a"], ["a", "b", "c"], ["-n"], ["-n", "a", "b", "c"], ["-x", "a", "b"],
                                  ["-i", "-", "--password-fd", "0", "a", "b"]])
def test_usage(args, key):
    assert mail_seal("export", *args, data=key.path.read_bytes()).code == USAGE


def test_by_keyring(store, key, other_key, tmp_path):
    """With the password, the recovery code, the escrow identity; old mail with the earlier identity."""
    put(store, f"{DATE}.old:2,", seal(message(40), other_key))
    recovery, escrow = new_key(tmp_path / "recovery"), new_key(tmp_path / "escrow")
    keyring = Keyring([key, other_key])
    keyring.add_password("correct horse")
    keyring.add_key("recovery", recovery)
    keyring.add_key("escrow", escrow)
    path = tmp_path / "keyring"
    path.write_text(keyring.text())
    for number, run_export in enumerate([
        lambda *args: with_fd("--password-fd", b"correct horse\n", "export", *args),
        lambda *args: with_fd("--password-fd", recovery.identity.encode(), "export", *args),
        lambda *args: with_fd("--identity-fd", recovery.identity.encode(), "export", *args),
        lambda *args: mail_seal("export", "-i", escrow.path, *args),
    ]):
        out = tmp_path / f"out{number}"
        result = run_export("--keyring", path, store, out)
        assert result.code == DONE and "10 messages" in result.err
        assert len(files_in(out)) == 10
    out = tmp_path / "none"
    result = with_fd("--password-fd", b"wrong\n", "export", "--keyring", path, store, out)
    assert result.code == NO_IDENTITY and not out.exists()
    result = mail_seal("export", "--keyring", "-", "-i", escrow.path, store, out, data=b"mail-seal keyring 7\n")
    assert result.code == BAD_HEADER and not out.exists()


def big_store(tmp_path, key, count):
    root = tmp_path / "big"
    sealed = [seal(message(number, 20_000), key) for number in range(10)]
    for number in range(count):
        put(root / (".A" if number % 2 else "."), f"{DATE}.M{number}P1:2,S", sealed[number % 10])
    return root


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_interrupted(how, key, tmp_path):
    """At any time every file that has its name is whole; the next run does the rest."""
    root, out = big_store(tmp_path, key, 300), tmp_path / "out"
    for delay in 0.005, 0.02, 0.05, 0.1:
        with subprocess.Popen([TOOL, "export", "-i", key.path, root, out], stderr=subprocess.PIPE) as process:
            time.sleep(delay)
            process.send_signal(how)
            said = process.stderr.read().decode()
        assert process.returncode in (0, -how)
        if process.returncode == -how and how != signal.SIGKILL and out.exists():
            assert "interrupted" in said
        if out.exists():
            for name, content in files_in(out).items():
                assert "tmp/" in name or len(content) == len(message(1, 20_000)), name
    assert export(key, root, out).code == DONE
    found = files_in(out)
    assert len(found) == 300 and not any("tmp/" in name for name in found)
    for name, content in found.items():
        number = int(name.split(".M")[1].split("P")[0]) % 10
        assert content == message(number, 20_000)


def test_two_at_once(key, tmp_path):
    root, out = big_store(tmp_path, key, 300), tmp_path / "out"
    with subprocess.Popen([TOOL, "export", "-i", key.path, root, out], stderr=subprocess.DEVNULL) as process:
        while not (out / "cur").exists():
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        try:
            result = export(key, root, out)
        finally:
            process.send_signal(signal.SIGCONT)
        assert result.code == IO and "another export" in result.err
    assert process.returncode == DONE and len(files_in(out)) == 300


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount")
def test_no_space(key, tmp_path):
    root, out = big_store(tmp_path, key, 50), tmp_path / "mount"
    out.mkdir()
    script = 'mount -t tmpfs -o size=400k tmpfs "$1" || exit 99; shift; "$@"; code=$?; ' \
        'cp -a "$OUT/out" "$KEEP"; exit $code'
    keep = tmp_path / "keep"
    result = run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", out, TOOL, "export", "-i", key.path,
                  root, out / "out"], env={**os.environ, "OUT": str(out), "KEEP": str(keep)})
    assert result.code == IO and "No space left" in result.err, result
    found = files_in(keep)
    assert 0 < len(found) < 50 and {len(content) for content in found.values()} == {len(message(1, 20_000))}


def test_memory(key, tmp_path):
    """A message of 200 MB, and a folder of 5000, take no more than small ones."""
    small, large = tmp_path / "small", tmp_path / "large"
    put(small, "x:2,", seal(message(1), key))
    put(large, "x:2,", seal(b"From: me\n\n" + bytes(200_000_000), key))
    sealed = seal(message(2), key)
    for number in range(5000):
        put(large / ".A", f"{DATE}.M{number}:2,", sealed)
    code = "import os, resource, sys; " \
        "assert os.spawnvp(os.P_WAIT, sys.argv[1], sys.argv[1:]) == 0; " \
        "sys.stdout.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
    peak = {}
    for root in small, large:
        result = run(["/usr/bin/python3", "-c", code, TOOL, "export", "-n", "-i", key.path, root])
        assert result.code == 0, result
        peak[root] = int(result.out)
    assert peak[large] < peak[small] + 6000


def test_terminal(key, tmp_path):
    root = big_store(tmp_path, key, 300)
    put(root, "damaged:2,", b"")
    code, shown = on_terminal([TOOL, "export", "-i", key.path, root, tmp_path / "out"], [])
    assert code == BAD_PAYLOAD
    assert re.search(r"\[[#.]{20}\] \d+/301 messages, .* of 5.8 MiB", shown)
    assert "/301 messages" in shown and "left" in shown and "B/s" in shown
    assert "damaged:2,: " in shown
    assert shown.splitlines()[-1].endswith("mail-seal: 300 messages of 2 folders exported; 1 could not be opened")


def test_asks_for_the_password(store, key, tmp_path):
    keyring = Keyring([key])
    keyring.add_password("correct horse")
    path, out = tmp_path / "keyring", tmp_path / "out"
    path.write_text(keyring.text())
    code, shown = on_terminal([TOOL, "export", "--keyring", path, store, out], [b"correct horse"])
    assert code == DONE and "Password or recovery code:" in shown
    check(store, out)
    shutil.rmtree(out)
    code, shown = on_terminal([TOOL, "export", "--keyring", path, store, out], [b"not this"])
    assert code == NO_IDENTITY and not out.exists()
