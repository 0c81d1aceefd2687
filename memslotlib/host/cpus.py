"""Keeping threads on different CPUs: on one they would take turns, and nothing would overlap."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


@contextmanager
def apart(other_thread: int) -> Iterator[None]:
    """Keep this thread and ``other_thread`` (a native id) on different CPUs for a while.

    Does nothing where only one CPU may be used. The other thread stays where it was put; one that
    has ended already is no error.
    """
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        yield
        return
    with suppress(ProcessLookupError):
        os.sched_setaffinity(other_thread, {max(allowed)})
    os.sched_setaffinity(0, allowed - {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def by_itself(others: Sequence[int]) -> Iterator[int]:
    """Keep this thread on one CPU and other threads off it; yield how many CPUs they have.

    On a machine of one CPU nothing is kept apart, and they have none of their own.
    """
    allowed = os.sched_getaffinity(0)
    mine = {min(allowed)}
    if allowed == mine:
        yield 0
        return
    for thread in others:
        os.sched_setaffinity(thread, allowed - mine)
    os.sched_setaffinity(0, mine)
    try:
        yield len(allowed - mine)
    finally:
        os.sched_setaffinity(0, allowed)


def spread(threads: Sequence[int]) -> None:
    """Put each thread on a CPU of its own, as far as there are as many; one may have ended."""
    allowed = sorted(os.sched_getaffinity(0))
    for number, thread in enumerate(threads):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread, {allowed[number % len(allowed)]})
