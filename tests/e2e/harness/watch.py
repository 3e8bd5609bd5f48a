# SPDX-License-Identifier: LGPL-2.1-or-later
"""The files that appear in a folder, also those that are gone at once."""

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_IN_CREATE, _IN_MOVED_TO = 0x100, 0x80
_EVENT = struct.Struct("iIII")


class Watch:
    """with Watch(folder) as watch: …; watch.names()"""

    def __init__(self, folder):
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK))
        _checked(_libc.inotify_add_watch(self._fd, folder.encode(),
                                         _IN_CREATE | _IN_MOVED_TO))

    def names(self):
        """Those that appeared since the last call, each once, sorted."""
        found = set()
        while data := self._read():
            while data:
                *_, size = _EVENT.unpack_from(data)
                name = data[_EVENT.size:_EVENT.size + size]
                found.add(name.rstrip(b"\0").decode())
                data = data[_EVENT.size + size:]
        return sorted(found)

    def _read(self):
        try:
            return os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._fd)


def _checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
