# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of doveadm seal, which the other variants don't have.

What a run takes for a mailbox that is empty (start, Argon2id) is left out.
"""

import resource
import time

from harness.doveadm import seal_user

from process import Sample
from rows import row


def _run(store, verb, mailbox, **secrets):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    seal_user(store.server, store.user, verb, mailbox, **secrets)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(cpu * 1e3, wall * 1e3)


def _net(store, verb, mailbox, **secrets):
    """Without what an empty mailbox takes."""
    sample = _run(store, verb, mailbox, **secrets)
    empty = _run(store, verb, store.empty(), **secrets)
    return Sample(max(sample.cpu - empty.cpu, 1),
                  max(sample.wall - empty.wall, 1))


@row("verify", "seal verify, {heavy} x {large}", only=("seal",))
def verify(store, scale):
    mailbox = store.copies(store.large(scale.large), scale.heavy_count)
    sample = _net(store, "verify", mailbox, password=store.user.password)
    size = scale.heavy_count * scale.large
    sample.notes = {"GB per second": round(size / sample.wall / 1e6, 2)}
    return sample


@row("rewrite", "seal unseal, mail: {rewritten} letters", only=("seal",))
def rewrite(store, scale):
    """To plain, and back."""
    count = scale.again_count
    mailbox = store.letters(count)
    opened = _net(store, "unseal", mailbox, password=store.user.password)
    closed = _net(store, "mail", mailbox)
    return Sample(opened.cpu + closed.cpu, opened.wall + closed.wall, notes={
        "messages per second unsealed": round(count / opened.wall * 1e3),
        "sealed": round(count / closed.wall * 1e3)})
