# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of a mailbox that has been looked at before, so that its caches
answer: each command is given in an earlier session that isn't counted, and is
the first of its kind in the sessions that are.

What clients ask for is written as they write it.
"""

from statistics import mean

from messages import KIB
from process import Sample
from rows import first_command, row

_ENVELOPE = "FETCH 1:* (ENVELOPE BODYSTRUCTURE)"
_FIELDS = ("FETCH 1:* (BODY.PEEK[HEADER.FIELDS "
           "(From To Cc Subject Date Message-ID)])")
_THUNDERBIRD = (
    "UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc "
    "Bcc Subject Date Message-ID Priority X-Priority References Newsgroups "
    "In-Reply-To Content-Type Reply-To)])")
_APPLE_LIST = (
    "UID FETCH 1:* (INTERNALDATE UID RFC822.SIZE FLAGS BODY.PEEK["
    "HEADER.FIELDS (date subject from to cc message-id in-reply-to references "
    "content-type x-priority x-uniform-type-identifier "
    "x-universally-unique-identifier list-id list-unsubscribe bimi-indicator "
    "bimi-location x-bimi-indicator-hash authentication-results "
    "dkim-signature)])")
_APPLE_STRUCTURE = "UID FETCH 1:* (BODYSTRUCTURE)"
_ROUNDCUBE = (
    "UID FETCH 1:* (UID RFC822.SIZE FLAGS INTERNALDATE BODYSTRUCTURE "
    "BODY.PEEK[HEADER.FIELDS (DATE FROM TO SUBJECT CONTENT-TYPE CC REPLY-TO "
    "LIST-POST DISPOSITION-NOTIFICATION-TO X-PRIORITY)])")
_K9 = (
    "UID FETCH 1:* (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS ("
    "date subject from content-type to cc reply-to message-id references "
    "in-reply-to list-unsubscribe X-K9mail-Identity)] FLAGS)")

# All that are given to the mailbox of letters, for the size of its cache.
_commands = []


def _joined(samples):
    """One Sample of several that did the same."""
    sizes = {sample.size for sample in samples}
    if len(sizes) > 1:
        raise AssertionError(f"answers differ in size: {sizes}")
    return Sample(mean(sample.cpu for sample in samples),
                  mean(sample.wall for sample in samples),
                  max(sample.peak for sample in samples), *sizes)


def _session(store, mailbox, commands):
    with store.session() as session:
        session.select(mailbox)
        return session.process.measure(
            lambda: sum(session.drain(command) for command in commands))


def _again(store, mailbox, commands, session_count):
    store.show(mailbox, *commands)
    return _joined([_session(store, mailbox, commands)
                    for _ in range(session_count)])


# Not of all letters: mail_crypt takes minutes for them.
@row("envelope-cold", "ENVELOPE BODYSTR. of {again}, cold", goal=3)
def envelope_cold(store, scale):
    mailbox = store.letters(scale.letter_count)
    store.forget(mailbox)
    return first_command(
        store, mailbox,
        f"FETCH 1:{scale.again_count} (ENVELOPE BODYSTRUCTURE)")


def _warm(name, title, *commands, goal):
    _commands.extend(commands)

    @row(name, title, goal=goal, cache=True)
    def _(store, scale):
        return _again(store, store.letters(scale.letter_count), commands,
                      scale.session_count)


_warm("envelope", "ENVELOPE BODYSTRUCTURE of {letters}", _ENVELOPE, goal=0.8)
_warm("header-fields", "HEADER.FIELDS (6) of {letters}", _FIELDS, goal=1.5)
_warm("thunderbird", "Thunderbird's list of {letters}", _THUNDERBIRD,
      goal=1.4)
_warm("apple-mail", "Apple Mail's list of {letters}", _APPLE_LIST,
      _APPLE_STRUCTURE, goal=1.4)
_warm("roundcube", "Roundcube's list of {letters}", _ROUNDCUBE, goal=1.4)
_warm("k9", "K-9 Mail's list of {letters}", _K9, goal=1.4)
_warm("search-subject", "SEARCH SUBJECT in {letters}",
      "SEARCH SUBJECT nowhere", goal=1.6)
_warm("sort-date", "SORT (DATE) of {letters}", "SORT (DATE) UTF-8 ALL", goal=2)
_warm("sort-subject", "SORT (SUBJECT) of {letters}",
      "SORT (SUBJECT) UTF-8 ALL", goal=2)
_warm("thread", "THREAD REFS of {letters}", "THREAD REFS UTF-8 ALL", goal=2)


@row("cache-size", "size of that mailbox's cache", goal=2)
def cache_size(store, scale):
    mailbox = store.letters(scale.letter_count)
    store.show(mailbox, *_commands)
    return Sample(disk=store.cached_bytes(mailbox) / KIB)


@row("fetch-warm", "FETCH {again} x 4 KiB, seen before", goal=1.3, cache=True)
def fetch_warm(store, scale):
    return _again(store, store.small(scale.small_count),
                  [f"FETCH 1:{scale.again_count} BODY.PEEK[]"], 1)
