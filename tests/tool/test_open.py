# SPDX-License-Identifier: LGPL-2.1-or-later
import fcntl
import os
import subprocess
import time

import pytest
from mail_seal import BAD_HEADER, BAD_PAYLOAD, CHUNK, DONE, IO, NO_IDENTITY, TOOL, USAGE, mail_seal, on_terminal
from mail_seal import output_of, plaintext, run, with_passphrase


def seal(data, key, *args):
    return output_of(mail_seal("seal", *args, "-r", key.recipient, data=data))


def header_size(file):
    return file.index(b"\n", file.index(b"\n---") + 1) + 1


def test_cut_at_every_length(key):
    file = seal(b"some text", key)
    payload = header_size(file) + 16
    for size in range(len(file)):
        result = mail_seal("open", "-i", key.path, data=file[:size])
        assert result.code == (BAD_HEADER if size < payload else BAD_PAYLOAD), size
        assert result.out == b""


def test_flip_every_byte(key):
    file = seal(b"some text", key)
    for i in range(len(file)):
        damaged = bytearray(file)
        damaged[i] ^= 1 << (i % 8)
        result = mail_seal("open", "-i", key.path, data=bytes(damaged))
        if i >= header_size(file):
            assert result.code == BAD_PAYLOAD, i
        else:
            # Where it hits the stanza it may be for somebody else.
            assert result.code in (BAD_HEADER, NO_IDENTITY), i
        assert result.out == b""


def chunks_of(file):
    start = header_size(file) + 16
    return file[:start], [file[i : i + CHUNK + 16] for i in range(start, len(file), CHUNK + 16)]


def test_damaged_chunks(key):
    """What is written is the authentic beginning, and the exit code tells."""
    data = plaintext(3 * CHUNK + 100)
    start, (a, b, c, d) = chunks_of(seal(data, key))
    damaged = a[:1000] + bytes([a[1000] ^ 1]) + a[1001:]
    for chunks, written in [
        ([a, b, c], 3),
        ([a, b], 2),
        ([a], 1),
        ([], 0),
        ([b, a, c, d], 0),
        ([a, c, b, d], 1),
        ([a, b, b, c, d], 2),
        ([a, b, d], 2),
        ([a, b, c, d, d], 3),
        ([a, b, c, d, b"x"], 3),
        ([damaged, b, c, d], 0),
        ([a, b, c, damaged], 3),
        # By many bytes: the next chunk may begin with the one that is missing.
        ([a[:-16], b, c, d], 0),
    ]:
        result = mail_seal("open", "-i", key.path, data=start + b"".join(chunks))
        assert result.code == BAD_PAYLOAD
        assert result.out == data[: written * CHUNK]


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
def test_slow_pipe(size, key):
    """Input that comes in pieces, into a reader that doesn't block."""
    data = plaintext(1000)
    for file in seal(data, key), seal(data, key, "-a"):
        reader, writer = os.pipe()
        fcntl.fcntl(reader, fcntl.F_SETFL, os.O_NONBLOCK)
        with subprocess.Popen([TOOL, "open", "-i", key.path], stdin=reader, stdout=subprocess.PIPE) as process:
            os.close(reader)
            for i in range(0, len(file), size):
                os.write(writer, file[i : i + size])
                time.sleep(0.0002)
            os.close(writer)
            assert process.stdout.read() == data
        assert process.returncode == DONE


def test_delivers_while_it_reads(key):
    """Chunks are written before the input ends."""
    data = plaintext(5 * CHUNK)
    file = seal(data, key)
    with subprocess.Popen([TOOL, "open", "-i", key.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(file[: 3 * CHUNK])
        process.stdin.flush()
        assert process.stdout.read(2 * CHUNK) == data[: 2 * CHUNK]
        process.stdin.write(file[3 * CHUNK :])
        process.stdin.close()
        assert process.stdout.read() == data[2 * CHUNK :]
    assert process.returncode == DONE


@pytest.mark.parametrize("armor", [[], ["-a"]], ids=["binary", "armor"])
def test_constant_memory(armor, key, tmp_path):
    """A file of 300 MB takes no more memory than one of 3 MB."""
    peak = {}
    for size in 3_000_000, 300_000_000:
        command = f'head -c {size} /dev/zero | "$0" seal {" ".join(armor)} -r {key.recipient} | tee "$1" | ' \
            f'"$0" open -i {key.path} | wc -c'
        assert int(output_of(run(["sh", "-c", command, TOOL, tmp_path / "file"]))) == size
        for verb in f"open -i {key.path}", f"seal -r {key.recipient}", "inspect":
            code = "import os, resource, sys; os.dup2(os.open('/dev/null', os.O_WRONLY), 1); " \
                "assert os.spawnvp(os.P_WAIT, sys.argv[1], sys.argv[1:]) == 0; " \
                "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
            result = run(["/usr/bin/python3", "-c", code, TOOL, *verb.split(), tmp_path / "file"])
            assert result.code == 0, result
            peak[verb, size] = int(result.err)
    for verb in f"open -i {key.path}", f"seal -r {key.recipient}", "inspect":
        assert peak[verb, 300_000_000] < peak[verb, 3_000_000] + 1000


def test_identity_files(key, other_key, tmp_path):
    file = seal(b"text", key)
    path = tmp_path / "keys"
    path.write_text(f"# two\n\n{other_key.identity}\r\n{key.identity}")
    assert output_of(mail_seal("open", "-i", path, data=file)) == b"text"
    (tmp_path / "file").write_bytes(file)
    assert output_of(mail_seal("open", "-i", "-", tmp_path / "file", data=path.read_bytes())) == b"text"
    # A pipe, as of a command that prints the key.
    result = run(["bash", "-c", '"$0" open -i <(cat "$1")', TOOL, path], file)
    assert output_of(result) == b"text"


@pytest.mark.parametrize("text", ["", "# nothing\n", "KEY\nKEY2x\n", "age1\n", "KEYx\n", " KEY\n", "x" * 70_000], ids=lambda text: text[:9])
def test_bad_identity_files(text, key, tmp_path):
    path = tmp_path / "keys"
    path.write_text(text.replace("KEY", key.identity))
    result = mail_seal("open", "-i", path, data=seal(b"text", key))
    assert result.code == (IO if len(text) > 60_000 else USAGE)
    assert result.out == b"" and str(path) in result.err


@pytest.mark.parametrize(
    "args",
    [["-i"], ["-x"], ["-i", "-"], ["-i", "-", "-"], ["-i", "KEY", "a", "b"], ["--passphrase-fd", "0"],
     ["--passphrase-fd", "x"], ["--passphrase-fd", "-1"], ["-i", "-", "--passphrase-fd", "0", "KEY"]],
)
def test_usage(args, key):
    result = mail_seal("open", *[key.path if arg == "KEY" else arg for arg in args], data=b"")
    assert result.code == USAGE and result.out == b""


def test_input_errors(key, tmp_path):
    file = seal(b"text", key)
    for path in tmp_path / "none", tmp_path, "/proc/self/mem":
        assert mail_seal("open", "-i", key.path, path).code == IO
        assert mail_seal("open", "-i", path, data=file).code == IO
    assert mail_seal("open", "--passphrase-fd", "99", data=file).code == IO


def test_no_identity_given(key):
    result = mail_seal("open", data=seal(b"text", key))
    assert result.code == NO_IDENTITY and "-i" in result.err


NOT_AGE_FILES = {
    "empty": b"",
    "mail": b"From: me\n\ntext\n",
    "dash": b"-",
    "PGP": b"-----BEGIN PGP MESSAGE-----\n\nabc\n",
    "line feed": b"\n",
    "line feeds": b"\n" * 3_000_000,
    "spaces": b" " * 5000,
    "version 2": b"age-encryption.org/v2\n",
    "zeros": bytes(100_000),
    "endless header": b"age-encryption.org/v1\n" + b"-> a\n\n" * 1_000_000,
    "identity": b"AGE-SECRET-KEY-1\n",
}


@pytest.mark.parametrize("name", NOT_AGE_FILES)
def test_not_an_age_file(name, key):
    data = NOT_AGE_FILES[name]
    result = mail_seal("open", "-i", key.path, data=data)
    assert result.code == BAD_HEADER and result.out == b""
    result = mail_seal("inspect", data=data)
    assert result.code == BAD_HEADER and result.out == b""


def locked(tmp_path, passphrase):
    path = tmp_path / "file.age"
    (tmp_path / "plain").write_bytes(b"text")
    assert on_terminal(["age", "-p", "-o", path, tmp_path / "plain"], [passphrase, passphrase])[0] == DONE
    return path


def test_passphrase(tmp_path, key):
    path = locked(tmp_path, b"a long passphrase")
    out = tmp_path / "out"
    # On the terminal, which doesn't show it.
    code, shown = on_terminal([TOOL, "open", path], [b"a long passphrase"], stdout=out)
    assert code == DONE and out.read_bytes() == b"text"
    assert "Passphrase:" in shown and "a long passphrase" not in shown
    code, shown = on_terminal([TOOL, "open", path], [b"another"], stdout=out)
    assert code == NO_IDENTITY and out.read_bytes() == b""
    # From a descriptor, as the first line of what it gives.
    assert output_of(with_passphrase(b"a long passphrase\nand more", "open", path)) == b"text"
    assert output_of(mail_seal("open", "--passphrase-fd", "0", path, data=b"a long passphrase")) == b"text"
    assert with_passphrase(b"", "open", path).code == NO_IDENTITY
    assert with_passphrase(b"x" * 65_000, "open", path).code == NO_IDENTITY
    # Nowhere to ask.
    result = mail_seal("open", path, start_new_session=True)
    assert result.code == NO_IDENTITY and "--passphrase-fd" in result.err
    result = mail_seal("open", "-i", key.path, path, start_new_session=True)
    assert result.code == NO_IDENTITY


def test_armor(key):
    data = plaintext(200_000)
    text = seal(data, key, "-a")
    for good in text, text.replace(b"\n", b"\r\n"), text.rstrip(), b"\r\n \t\n" + text + b"\n\n ":
        assert output_of(mail_seal("open", "-i", key.path, data=good)) == data
    lines = text.splitlines(keepends=True)
    for bad in [
        lines[:-1],
        lines[1:],
        lines[:100] + [b"\n"] + lines[100:],
        lines[:100] + [b" "] + lines[100:],
        lines[:100] + lines[101:],
        lines[:100] + [b"A" * 2000] + lines[100:],
        lines[:100] + [b"A" * 100_000 + b"\n"] + lines[100:],
        lines + [b"x"],
        lines + lines,
    ]:
        result = mail_seal("open", "-i", key.path, data=b"".join(bad))
        assert result.code in (BAD_HEADER, BAD_PAYLOAD)
        assert data.startswith(result.out) and len(result.out) % CHUNK == 0
