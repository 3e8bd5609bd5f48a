# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages as a mailbox holds them: conversations of several people, lists,
headers of many kinds and lengths, and text, HTML, attachments and forwarded
messages. The same in each run, and no two alike."""

import base64
import email.utils
import functools
import random

from messages import line

_FIRST = 1784252665         # seconds since 1970
_STEP = 1800                # from one message to the next
_ZONES = ("+0000", "+0200", "-0700", "+0530", "-0330")
_NAMES = ("Anna Berg", "Jo Okafor", "María Núñez", "Wei Zhang", "山田太郎",
          "Łukasz Nowak", "Dr. Erika Mustermann", "O'Neil, Pat", "Ines",
          "R. Patel")
_DOMAINS = ("example.com", "example.org", "mail.example.net",
            "lists.example.edu")
_PEOPLE = 300
# How far back an answer may reach, and how many messages References names.
_REACH = 200
_REFERENCES = 12


@functools.lru_cache(maxsize=None)
def letter(number):
    """With CRLF."""
    rng = random.Random(f"letter {number}")
    fields, body = rng.choices(_BODIES, weights=(4, 3, 2, 1))[0](rng)
    return ("\r\n".join(_head(rng, number) + fields) + "\r\n\r\n" +
            body).encode()


@functools.lru_cache(maxsize=None)
def _parent(number):
    """The message that this one answers; None for the first of a thread."""
    rng = random.Random(f"parent {number}")
    if number == 0 or rng.random() < 0.4:
        return None
    return rng.randrange(max(0, number - _REACH), number)


@functools.lru_cache(maxsize=None)
def _ancestors(number):
    parent = _parent(number)
    return () if parent is None else _ancestors(parent) + (parent,)


def _message_id(number):
    rng = random.Random(f"id {number}")
    unique = rng.randbytes(rng.randrange(6, 20)).hex()
    return f"<{unique}.{number}@example.com>"


def _subject(number):
    """The same in all of a thread but for the prefix."""
    ancestors = _ancestors(number)
    rng = random.Random(f"subject {ancestors[0] if ancestors else number}")
    text = line(rng)[:rng.randrange(8, 68)].strip()
    if rng.random() < 0.25:
        text = _encoded(text + " für später")
    if rng.random() < 0.2:
        text = "[list] " + text
    return ("Re: " if ancestors else "") + text


def _encoded(text):
    return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="


def _person(rng):
    who = rng.randrange(_PEOPLE)
    name = _NAMES[who % len(_NAMES)]
    if not name.isascii():
        name = _encoded(name)
    elif not name.replace(" ", "").isalnum():
        name = f'"{name}"'
    return f"{name} <person{who}@{_DOMAINS[who % len(_DOMAINS)]}>"


def _people(rng, name, least, most):
    people = [_person(rng) for _ in range(rng.randint(least, most))]
    return [f"{name}: " + ",\r\n\t".join(people)] if people else []


def _date(rng, number):
    # Not quite in the order of arrival.
    when = _FIRST + number * _STEP - rng.randrange(10 * _STEP)
    date = email.utils.formatdate(when)
    return date.replace("-0000", rng.choice(_ZONES))


def _head(rng, number):
    return (_trace(rng, number) +
            [f"From: {_person(rng)}"] +
            _people(rng, "To", 1, 3) +
            _people(rng, "Cc", 0, 4) +
            _people(rng, "Reply-To", 0, 1) +
            [f"Subject: {_subject(number)}",
             f"Date: {_date(rng, number)}",
             f"Message-ID: {_message_id(number)}"] +
            _answers(number) + _further(rng))


def _trace(rng, number):
    received = [
        f"Received: from mx{hop}.example.com (mx{hop}.example.com "
        f"[192.0.2.{rng.randrange(250)}])\r\n"
        f"\tby mail.example.org (Postfix) with ESMTPS id "
        f"{rng.randbytes(6).hex()}\r\n"
        f"\tfor <somebody@example.org>; {_date(rng, number)}"
        for hop in range(rng.randint(2, 5))]
    signature = base64.b64encode(rng.randbytes(128)).decode()
    return [f"Return-Path: <person{rng.randrange(_PEOPLE)}@example.com>",
            *received,
            "Authentication-Results: mail.example.org; dkim=pass "
            "header.d=example.com;\r\n\tspf=pass smtp.mailfrom=example.com",
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; "
            "d=example.com; s=mail;\r\n\tb=" +
            "\r\n\t ".join(signature[at:at + 68]
                           for at in range(0, len(signature), 68))]


def _answers(number):
    ancestors = _ancestors(number)
    if not ancestors:
        return []
    return [f"In-Reply-To: {_message_id(ancestors[-1])}",
            "References: " + "\r\n ".join(
                _message_id(other) for other in ancestors[-_REFERENCES:])]


def _further(rng):
    fields = ["MIME-Version: 1.0", f"User-Agent: {line(rng)[:30]}"]
    if rng.random() < 0.3:
        fields += ["List-Id: A list <list.example.org>",
                   "List-Post: <mailto:list@example.org>",
                   "List-Unsubscribe: <https://example.org/"
                   f"{rng.randbytes(16).hex()}>"]
    if rng.random() < 0.1:
        fields += ["X-Priority: 1", "Importance: high"]
    return fields


# Bodies: the fields that describe them, and the text

def _text(rng):
    return "\r\n".join(line(rng) for _ in range(rng.randint(2, 50))) + "\r\n"


def _plain(rng):
    return (['Content-Type: text/plain; charset="utf-8"; format=flowed',
             "Content-Transfer-Encoding: 8bit"], _text(rng))


def _html(rng):
    return (["Content-Type: text/html; charset=utf-8"],
            f"<html><body><p>{_text(rng)}</p></body></html>\r\n")


def _attachment(rng):
    name = rng.randbytes(5).hex()
    data = base64.b64encode(rng.randbytes(rng.randrange(300, 3000))).decode()
    return ([f'Content-Type: application/pdf; name="{name}.pdf"',
             f'Content-Disposition: attachment; filename="{name}.pdf"',
             "Content-Transfer-Encoding: base64"],
            "\r\n".join(data[at:at + 76]
                        for at in range(0, len(data), 76)) + "\r\n")


def _multipart(rng, kind, *parts):
    boundary = f"=_{rng.randbytes(12).hex()}"
    body = "".join("--{}\r\n{}\r\n\r\n{}\r\n".format(
        boundary, "\r\n".join(fields), text) for fields, text in parts)
    return ([f'Content-Type: multipart/{kind};\r\n\tboundary="{boundary}"'],
            f"{body}--{boundary}--\r\n")


def _alternative(rng):
    return _multipart(rng, "alternative", _plain(rng), _html(rng))


def _mixed(rng):
    return _multipart(rng, "mixed", _alternative(rng),
                      *(_attachment(rng) for _ in range(rng.randint(1, 3))))


def _forwarded(rng):
    head = [f"From: {_person(rng)}", *_people(rng, "To", 1, 2),
            f"Subject: {line(rng)[:40]}", f"Date: {_date(rng, 0)}"]
    fields, body = _plain(rng)
    inner = "\r\n".join(head + fields) + "\r\n\r\n" + body
    return _multipart(rng, "mixed", _plain(rng),
                      (["Content-Type: message/rfc822"], inner))


_BODIES = (_plain, _alternative, _mixed, _forwarded)
