"""Ctrl-C in the middle of a test, to the main thread, as a person would press it."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Long after whoever was interrupted has cleaned up.
AGAIN_S = 10.0


@contextmanager
def ctrl_c(after_s: float) -> Iterator[None]:
    """Interrupt what runs inside after so long; and again, should the first one be lost.

    What a collection of garbage calls, as Hypothesis has it do, cannot raise: an interrupt that
    comes just then is told and lost. So nothing is collected meanwhile.
    """
    over, main = threading.Event(), threading.get_ident()

    def press() -> None:
        wait_s = after_s
        while not over.wait(wait_s):
            signal.pthread_kill(main, signal.SIGINT)
            wait_s = AGAIN_S

    presses = threading.Thread(target=press)
    gc.disable()
    presses.start()
    try:
        yield
    finally:
        over.set()
        presses.join()
        gc.enable()
