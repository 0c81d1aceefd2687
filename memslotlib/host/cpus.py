"""Keeping two threads on two CPUs: on one they would take turns, and nothing would overlap."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
