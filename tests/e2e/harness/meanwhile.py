# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks at something again and again while a test does something else."""

import threading


class Meanwhile:
    """with …: look(), which is a subclass's, is called every so many seconds."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def look(self):
        raise NotImplementedError

    def _run(self):
        while not self._end.wait(self._seconds):
            self.look()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
