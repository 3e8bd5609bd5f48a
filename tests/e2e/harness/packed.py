# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finds compressed streams in a file, at any place, and reads them: gzip,
zlib, bzip2, xz, zstd and both framings of LZ4 that occur here."""

import bz2
import ctypes
import lzma
import re
import zlib

_LIMIT = 64 << 20
_DOVECOT_LZ4 = b"Dovecot-LZ4\x0d\x2a\x9b\xc5"
_lz4 = ctypes.CDLL("liblz4.so.1")
_zstd = ctypes.CDLL("libzstd.so.1")


def streams(data):
    """Yields (kind, content) of all that may be read, whole or in part."""
    for kind, magic, unpack in _KINDS:
        for match in re.finditer(magic, data, re.S):
            content = unpack(memoryview(data)[match.start():])
            if content:
                yield f"{kind} at {match.start()}", content
    content = _inflate(-15)(data)
    if content:
        yield "deflate", content


def _inflate(bits):
    def unpack(data):
        stream = zlib.decompressobj(bits)
        return _while_readable(lambda part: stream.decompress(part, _LIMIT),
                               data)
    return unpack


def _while_readable(decompress, data):
    """What comes out before an error, if any."""
    content = b""
    for start in range(0, len(data), 4096):
        try:
            content += decompress(data[start:start + 4096])
        except (zlib.error, OSError, EOFError, lzma.LZMAError):
            break
        if len(content) > _LIMIT:
            break
    return content


def _bunzip(data):
    return _while_readable(bz2.BZ2Decompressor().decompress, data)


def _unxz(data):
    return _while_readable(lzma.LZMADecompressor().decompress, data)


class _Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t),
                ("pos", ctypes.c_size_t)]


def _unzstd(data):
    source = bytes(data)
    room = ctypes.create_string_buffer(1 << 17)
    _zstd.ZSTD_createDStream.restype = ctypes.c_void_p
    _zstd.ZSTD_decompressStream.restype = ctypes.c_size_t
    stream = ctypes.c_void_p(_zstd.ZSTD_createDStream())
    text = ctypes.cast(ctypes.c_char_p(source), ctypes.c_void_p)
    given = _Buffer(text, len(source), 0)
    content = b""
    while len(content) < _LIMIT:
        taken = _Buffer(ctypes.cast(room, ctypes.c_void_p), len(room), 0)
        left = _zstd.ZSTD_decompressStream(stream, ctypes.byref(taken),
                                           ctypes.byref(given))
        content += room.raw[:taken.pos]
        if left == 0 or _zstd.ZSTD_isError(ctypes.c_size_t(left)) or \
                not taken.pos:
            break
    _zstd.ZSTD_freeDStream(stream)
    return content


def _unlz4_dovecot(data):
    """Dovecot's: a size in front of each block, in network order."""
    content = b""
    at = len(_DOVECOT_LZ4) + 4
    while at + 4 <= len(data) and len(content) < _LIMIT:
        size = int.from_bytes(data[at:at + 4], "big")
        block = _lz4_block(bytes(data[at + 4:at + 4 + size]))
        if not block:
            break
        content += block
        at += 4 + size
    return content


def _unlz4(data):
    """The frame format, without a dictionary."""
    flags = data[4] if len(data) > 7 else 0
    at = 7 + (8 if flags & 8 else 0)
    content = b""
    while at + 4 <= len(data) and len(content) < _LIMIT:
        size = int.from_bytes(data[at:at + 4], "little")
        block = bytes(data[at + 4:at + 4 + (size & 0x7fffffff)])
        if not block:
            break
        content += block if size >> 31 else _lz4_block(block)
        at += 4 + len(block) + (4 if flags & 16 else 0)
    return content


def _lz4_block(block):
    room = ctypes.create_string_buffer(4 << 20)
    size = _lz4.LZ4_decompress_safe(block, room, len(block), len(room))
    return room.raw[:size] if size > 0 else b""


_KINDS = [
    ("gzip", rb"\x1f\x8b\x08", _inflate(31)),
    ("zlib", rb"\x78[\x01\x5e\x9c\xda]", _inflate(15)),
    ("bzip2", rb"BZh[1-9]1AY", _bunzip),
    ("xz", rb"\xfd7zXZ\x00", _unxz),
    ("zstd", rb"\x28\xb5\x2f\xfd", _unzstd),
    ("Dovecot's LZ4", re.escape(_DOVECOT_LZ4), _unlz4_dovecot),
    ("LZ4", rb"\x04\x22\x4d\x18", _unlz4),
]
