# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages whose headers try whatever answers from a cache of them."""

import functools

from . import corpus

_HEAD = b"From: a@example.com\r\nSubject: %s\r\n"
_BODY = b"\r\nbody\r\n"
_DATE = b"Date: Fri, 17 Jul 2026 02:44:25 +0000\r\n"
_MULTIPART = (b"MIME-Version: 1.0\r\n"
              b"Content-Type: multipart/mixed; boundary=b\r\n")


# Larger ones are for tests of their own, as they take the time of a hundred.
_LARGE = 20000


@functools.lru_cache
def everything():
    """[(name, message, whether it has NULs), …]"""
    plain = (corpus.cpython() + corpus.odd() + _repeated() + _folded() +
             _encoded() + _broken() + _sized() + _addresses() + _dates() +
             _mime())
    return ([(name, message, False) for name, message in plain] +
            [(name, message, True) for name, message in _nuls()])


def small():
    return [row for row in everything() if len(row[1]) < _LARGE]


def large():
    return [row for row in everything() if len(row[1]) >= _LARGE]


def _head(lines, subject=b"odd"):
    return _HEAD % subject + lines + _BODY


def _repeated():
    return [
        ("three of one name", _head(
            b"X-Many: one\r\nTo: b@example.com\r\nX-Many: two\r\n"
            b"x-many: three\r\nTo: c@example.com\r\n")),
        ("twice all", _head(
            b"From: second@example.com\r\nSubject: second\r\n"
            b"Message-ID: <one@example.com>\r\n"
            b"Message-ID: <two@example.com>\r\n" + _DATE +
            b"Date: Sat, 18 Jul 2026 02:44:25 +0000\r\n"
            b"References: <a@b>\r\nReferences: <c@d>\r\n")),
        ("Received", _head(b"".join(
            b"Received: from a\r\n\tby b%d;\r\n\tFri, 17 Jul 2026\r\n" % i
            for i in range(40)))),
        ("same Message-ID", _head(b"Message-ID: <one@example.com>\r\n")),
        ("same Message-ID again", _head(
            b"Message-ID: <one@example.com>\r\n" + _DATE, b"Re: odd")),
        ("answers itself", _head(b"Message-ID: <self@example.com>\r\n"
                                 b"References: <self@example.com>\r\n")),
        ("answers", _head(
            b"Message-ID: <answer@example.com>\r\nIn-Reply-To: your mail of "
            b"<one@example.com> (yesterday) <two@example.com>\r\n",
            b"Re: Fwd: [list] Re: odd (fwd)")),
    ]


def _folded():
    return [
        ("folded by tab", _head(b"X-Fold: a\r\n\tb\r\n   c\r\n")),
        ("blanks alone in a fold", _head(
            b"X-Fold: a\r\n \r\n\t\r\n b\r\nTo: c@example.com\r\n \r\n")),
        ("fold first", _head(b"X-Fold:\r\n value\r\nTo:\r\n b@example.com,"
                             b"\r\n c@example.com\r\n")),
        ("fold before any header", b" not a header\r\n" + _head(b"")),
        ("folded with LF alone", _head(b"X-Fold: a\n b\n\tc\r\n d\n")),
        ("trailing blanks", _head(b"X-Fold: a   \r\nTo: b@example.com \t\r\n"
                                  b"X-Empty:\r\nX-Blank:   \r\n")),
        ("folded Subject", b"Subject: one\r\n two\r\n\tthree\r\n" + _BODY),
    ]


def _encoded():
    return [
        ("latin-1", _head(b"To: J\xfcrgen <j@example.com>\r\n",
                          b"gr\xfc\xdfe")),
        ("utf-8", _head("To: Jürgen <j@example.com>\r\n".encode(),
                        "grüße €".encode())),
        ("broken utf-8", _head(b"X-Eight: \xff\xfe\xc3\r\n", b"\xc3\x28")),
        ("encoded words", _head(
            b"To: =?iso-8859-1?q?J=FCrgen?= <j@example.com>\r\n"
            b"Cc: =?utf-8?b?SsO8cmdlbg==?= =?utf-8?q?_M=C3=BCller?=\r\n"
            b" <m@example.com>\r\n",
            b"=?utf-8?q?a=20b?= =?utf-8?q?c?=\r\n =?utf-8?b?w7w=?=")),
        ("bad encoded words", _head(
            b"To: =?utf-8?x?a?= <j@example.com>\r\n",
            b"=?none-such?q?a?= =?utf-8?b?!!!?= =?utf-8?q?a")),
        ("controls", _head(b"X-Control: a\x01\x02\x7f\x1bb\r\n", b"\x07")),
    ]


def _broken():
    return [
        ("line without a colon", _head(b"no colon here\r\nTo: b@c\r\n")),
        ("colon alone", _head(b": value\r\n:\r\nTo: b@c\r\n")),
        ("blank before the colon", b"Subject : blank\r\nFrom\t: a@b\r\n" +
         _BODY),
        ("blank in a name", _head(b"X Name: a\r\nTo: b@c\r\n")),
        ("header ends in a name", _HEAD % b"cut" + b"X-Cut"),
        ("header ends at a colon", _HEAD % b"cut" + b"X-Cut:"),
        ("header ends in a value", _HEAD % b"cut" + b"X-Cut: val"),
        ("one header line", b"Subject: alone\r\n"),
        ("a blank line alone", b"\r\n"),
        ("two blank lines", b"\r\n\r\n"),
        ("CR first", b"\rSubject: a\r\n" + _BODY),
        ("CR before CRLF", b"Subject: a\r\r\nFrom: b@c\r\r\n" + _BODY),
        ("LF and CRLF", b"Subject: a\nFrom: b@c\r\nTo: c@d\n\nbody\r\n"),
        ("CR in a value", _head(b"X-Cr: a\rb: c\r\n")),
        ("text alone", b"only a body, with no header at all\r\nmore\r\n"),
        ("no Subject, no From", b"To: b@example.com\r\n" + _BODY),
        ("empty values", b"From:\r\nTo:\r\nSubject:\r\nDate:\r\n"
         b"Message-ID:\r\nReferences:\r\n" + _BODY),
        ("mbox line", b"From someone Fri Jul 17 02:44:25 2026\r\n" +
         _head(b"")),
        ("odd case", b"fRoM: a@b\r\nSUBJECT: odd\r\nmessage-id: <x@y>\r\n"
         # In US-ASCII, the answer's case depends on what is cached.
         b"CONTENT-TYPE: TEXT/PLAIN; CHARSET=UTF-8\r\n" + _BODY),
    ]


def _sized():
    return [
        ("100 kB in one line", _head(b"X-Long: " + b"x" * 100000 + b"\r\n")),
        ("100 kB in many folds", _head(b"X-Long: a\r\n" +
                                       b" word word word\r\n" * 6000)),
        ("100 kB of To", _head(b"To: " + b",\r\n ".join(
            b"user%d@example.com" % i for i in range(4000)) + b"\r\n")),
        ("100 kB of Subject", _head(b"", b"word " * 20000)),
        ("name of 255", _head(b"X" * 255 + b": a\r\n")),
        ("name of 256", _head(b"X" * 256 + b": a\r\nTo: b@c\r\n")),
        ("name of 1000", _head(b"X" * 1000 + b": a\r\nTo: b@c\r\n")),
        ("name of 100000", _head(b"X" * 100000 + b": a\r\nTo: b@c\r\n")),
        ("500 names", _head(b"".join(b"X-Number-%d: %d\r\n" % (i, i)
                                     for i in range(500)))),
        ("1000 lines of References", _head(b"References: " + b"\r\n ".join(
            b"<%d@example.com>" % i for i in range(1000)) + b"\r\n")),
    ]


def _addresses():
    return [
        ("groups", _head(b"To: friends: a@b, C <c@d>;, e@f\r\n"
                         b"Cc: undisclosed-recipients:;\r\nBcc: x:;,y:a@b;")),
        ("comments", _head(b"To: a@b (the (nested) one), (c) d@e\r\n"
                           b"Reply-To: \"q \\\" uoted, x\" <q@r>\r\n"
                           b"Sender: <@route,@two:a@b>\r\n")),
        ("no domain", _head(b"To: root, <>, a@, @b, <a b@c>\r\n")),
        ("unclosed", _head(b"To: \"unclosed <a@b>\r\nCc: <a@b, (c\r\n")),
        ("literal", _head(b"To: a@[127.0.0.1], \"a b\"@c\r\n"
                          b"Cc: \"with\\\\slash\" <s@t>\r\n")),
    ]


def _dates():
    dates = [b"yesterday", b"Fri, 99 Jul 2026 02:44:25 +0000",
             b"17 Jul 26 02:44 GMT", b"Fri, 17 Jul 2026 02:44:25 -1159",
             b"Thu, 1 Jan 1970 00:00:00 +0000", b"Fri, 31 Dec 9999 23:59:59",
             b"Fri, 17 Jul 1950 02:44:25 +0000", b"", b"(c) 17 Jul 2026 1:2:3",
             b"Fri, 17 Jul 2026 02:44:25 +0200 (CEST)",
             b"Fri,\r\n 17 Jul 2026\r\n 02:44:25 +0000"]
    return [(f"date {number}", _head(b"Date: " + date + b"\r\n"))
            for number, date in enumerate(dates)]


def _mime():
    inner = (b"Subject: inner %d\r\nFrom: inner@example.com\r\n"
             b"Message-ID: <inner%d@example.com>\r\n")
    nested = inner % (0, 0) + b"X-Inner: value\r\n\r\ninnermost\r\n"
    for depth in range(1, 4):
        nested = (inner % (depth, depth) + _MULTIPART.replace(
            b"=b", b"=b%d" % depth) + b"\r\n--b%d\r\n\r\ntext\r\n--b%d\r\n"
            b"Content-Type: message/rfc822\r\n\r\n" % (depth, depth) +
            nested + b"\r\n--b%d--\r\n" % depth)
    return [
        ("three deep", nested),
        ("all of a part", _head(
            _MULTIPART + b"\r\npreamble\r\n--b\r\n"
            b"Content-Type: text/plain; charset=\"utf-8\"; "
            b"x*0=a; x*1=b; y*=utf-8''%C3%BC\r\n"
            b"Content-Disposition: inline; filename=\"a \\\" b\"; size=4\r\n"
            b"Content-Language: de, en\r\nContent-Location: http://a/b\r\n"
            b"Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n"
            b"Content-ID: <part@example.com>\r\n"
            b"Content-Description: =?utf-8?q?=C3=BC?=\r\n\r\none\r\n"
            b"--b\r\n\r\n\r\n--b\r\n--b--\r\nepilogue\r\n")),
        ("no part", _head(_MULTIPART)),
        ("empty boundary", _head(b"Content-Type: multipart/mixed; "
                                 b"boundary=\"\"\r\n")),
        ("bad Content-Type", _head(b"Content-Type: /;;=;a\r\n")),
        ("Content-Type twice", _head(b"Content-Type: text/html\r\n"
                                     b"Content-Type: text/plain\r\n")),
        ("HTML", _head(b"Content-Type: text/html\r\n").replace(
            b"body", b"<style>a{}</style><p>one &amp; two</p>")),
        ("quoted text", _HEAD % b"quoted" + b"\r\n> quoted\r\n\r\nown\r\n"),
    ]


def _nuls():
    return [
        ("NULs in the body", corpus.NULS),
        ("NULs in the header", _head(b"X-Nul: a\0b\r\nTo: \0@example.com\r\n",
                                     b"a\0b")),
        ("NULs in a name", _head(b"X-\0Nul: a\r\nTo: b@example.com\r\n")),
        ("a NUL alone", b"\0"),
        ("NULs in a part", _head(_MULTIPART + b"\r\n--b\r\n"
                                 b"Content-Description: \0\r\n\r\n\0\0\r\n"
                                 b"--b--\r\n")),
    ]
