# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dovecot with modules that were built for AddressSanitizer.

MAIL_SEAL_ASAN is the path of libasan.so, which has to be in a process before
all else. Its complaints end the process and go to Dovecot's log as Errors, so
they fail the test.
"""

import os

_library = os.environ.get("MAIL_SEAL_ASAN")
# Dovecot frees its pools at exit or not at all. Its own memory limits do not
# fit the address space that the sanitizer reserves.
_VARIABLES = {
    "LD_PRELOAD": _library,
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def variables():
    """What our programs need in an environment that is made from nothing."""
    return _VARIABLES if _library else {}


def environment():
    return {**os.environ, **_VARIABLES} if _library else None


def configuration(version):
    if not _library:
        return ""
    if version < (2, 4):
        return "default_vsz_limit = 0\n" \
            f"import_environment = TZ {' '.join(_VARIABLES)}\n"
    lines = "".join(f"  {name} = %{{env:{name}}}\n" for name in _VARIABLES)
    return "default_vsz_limit = unlimited\n" \
        f"import_environment {{\n{lines}}}\n"
