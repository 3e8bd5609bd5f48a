# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows that an index cache is for: lists of messages, searches in headers,
sorting and threading, in a mailbox of many messages.

Warm means that another session has asked for the same before; cold, that there
is no cache file. Each sample is the mean of some sessions.
"""

import glob
import os
from statistics import mean

from process import Sample
from rows import row

# What these clients ask for to show a list of messages.
THUNDERBIRD = ("(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc "
               "Bcc Subject Date Message-ID Priority X-Priority References "
               "Newsgroups In-Reply-To Content-Type Reply-To)])")
APPLE_MAIL = ("(INTERNALDATE UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS "
              "(date subject from to cc message-id in-reply-to references "
              "content-type x-priority x-uniform-type-identifier "
              "x-universally-unique-identifier list-id list-unsubscribe "
              "bimi-indicator bimi-location x-bimi-indicator-hash "
              "authentication-results dkim-signature)])")
ROUNDCUBE = ("(UID RFC822.SIZE FLAGS INTERNALDATE BODYSTRUCTURE "
             "BODY.PEEK[HEADER.FIELDS (DATE FROM TO SUBJECT CONTENT-TYPE CC "
             "REPLY-TO LIST-POST DISPOSITION-NOTIFICATION-TO X-PRIORITY)])")
K9 = ("(UID INTERNALDATE RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (date "
      "subject from content-type to cc reply-to message-id references "
      "in-reply-to list-unsubscribe sender x-k9mail-identity chat-version)])")
SIX = "(BODY.PEEK[HEADER.FIELDS (From To Subject Date Message-ID References)])"


def _once(store, mailbox, command):
    with store.session() as session:
        session.select(mailbox)
        return session.process.measure(lambda: session.drain(command))


def _mean(samples):
    return Sample(mean(sample.cpu for sample in samples),
                  mean(sample.wall for sample in samples),
                  max(sample.peak for sample in samples), samples[0].size)


def _warm(store, scale, mailbox, command):
    if store.first("warm", mailbox, command):
        _once(store, mailbox, command)
        _once(store, mailbox, command)
    return _mean([_once(store, mailbox, command)
                  for _ in range(scale.list_sessions)])


def _listed(name, title, goal, command):
    def run(store, scale):
        return _warm(store, scale, store.small(scale.list_count), command)
    row(name, title, goal=goal, cache=True)(run)


_listed("envelope", "ENVELOPE BODYSTRUCTURE of {listed}", 0.8,
        "FETCH 1:* (ENVELOPE BODYSTRUCTURE)")
_listed("header-fields", "HEADER.FIELDS, 6 of {listed}", 1.5,
        f"FETCH 1:* {SIX}")
_listed("thunderbird", "as Thunderbird lists {listed}", 1.4,
        f"FETCH 1:* {THUNDERBIRD}")
_listed("apple-mail", "as Apple Mail lists {listed}", 1.4,
        f"FETCH 1:* {APPLE_MAIL}")
_listed("roundcube", "as Roundcube lists {listed}", 1.4,
        f"FETCH 1:* {ROUNDCUBE}")
_listed("k9", "as K-9 lists {listed}", 1.4, f"FETCH 1:* {K9}")
_listed("search-subject", "SEARCH SUBJECT in {listed}", 1.6,
        "SEARCH SUBJECT nowhere")
_listed("sort-date", "SORT (DATE) of {listed}", 2, "SORT (DATE) UTF-8 ALL")
_listed("sort-subject", "SORT (SUBJECT) of {listed}", 2,
        "SORT (SUBJECT) UTF-8 ALL")
_listed("thread", "THREAD REFS of {listed}", 2, "THREAD REFS UTF-8 ALL")


@row("fetch-warm", "FETCH {copied} x 4 KiB, warm", goal=1.3, cache=True)
def fetch_warm(store, scale):
    return _warm(store, scale, store.small(scale.list_count),
                 f"FETCH 1:{scale.copy_count} BODY.PEEK[]")


def _cache_files(store, mailbox):
    """Those of one mailbox, whose name is a folder of all three formats."""
    return [path for path in glob.glob(
                f"{store.user.home}/mail/**/dovecot.index.cache",
                recursive=True)
            if mailbox in path.split("/")[-2] or
            f"/{mailbox}/" in path]


@row("envelope-cold", "the same, cold", goal=3)
def envelope_cold(store, scale):
    mailbox = store.small(scale.list_count)
    for path in _cache_files(store, mailbox):
        os.unlink(path)
    return _once(store, mailbox, "FETCH 1:* (ENVELOPE BODYSTRUCTURE)")


@row("cache-size", "bytes of its cache, in thousands", goal=2)
def cache_size(store, scale):
    """In a mailbox of its own, after everything above was asked for once."""
    mailbox = store.filled(f"sized{scale.list_count}", scale.list_count)
    if store.first("sized", mailbox):
        for command in (f"FETCH 1:* {SIX}", "FETCH 1:* (ENVELOPE)",
                        f"FETCH 1:* {THUNDERBIRD}", f"FETCH 1:* {APPLE_MAIL}",
                        f"FETCH 1:* {ROUNDCUBE}", f"FETCH 1:* {K9}",
                        "SORT (DATE) UTF-8 ALL", "SORT (SUBJECT) UTF-8 ALL",
                        "THREAD REFS UTF-8 ALL",
                        "FETCH 1:* BODY.PEEK[]"):
            _once(store, mailbox, command)
    size = sum(os.path.getsize(path)
               for path in _cache_files(store, mailbox)) / 1e3
    return Sample(size or 1, size or 1)
