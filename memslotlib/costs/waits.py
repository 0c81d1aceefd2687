"""How often an ioctl waits for who is inside KVM: counted, not timed.

A vCPU that reads a page which nobody serves yet (``host.parked``) sleeps with the SRCU read lock
held, so a grace period that begins now cannot end. While the ioctl sleeps in that wait, another
vCPU goes to sleep likewise: too late for this grace period, in time for the next. So the first is
let go and the ioctl either returns, or sleeps again, in its next wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from threading import get_native_id
from typing import Any

from ..errors import NotRunError
from ..host import KvmVm
from ..host.arena import WAIT_LIMIT_S, NoProgressError
from ..host.parked import Reader, begun, end, reader
from ..interface import Exit
from .alone import GPA, HVA
from .operations import OPERATIONS, Place, a_vm, pages
from .rounds import Samples, Turn, by_turns

#: More waits than any ioctl is known to have: who comes to so many is told as it is.
WAITS_MAX = 4
#: How long the same sleep may go on after its reader was let go, before it is taken for one that
#: waits for the other reader as well.
PATIENCE_S = 0.2
_POLL_S = 0.0005
_PLACE = Place(0, GPA, pages(16), HVA, GPA + pages(64))


@dataclass(frozen=True)
class Readers:
    """Two readers that sleep by turns, each time on a page that nobody has read."""

    both: tuple[Reader, Reader]
    fresh: count[int]

    def park(self) -> tuple[Reader, int, Future[Exit]]:
        """Put one of them to sleep inside KVM, the other one than last time."""
        number = next(self.fresh)
        one = self.both[number % 2]
        return one, *one.park(number)


def measure_waits(given: Mapping[str, Any]) -> Samples:
    """Count the waits of each operation, ``rounds`` times.

    Raises NotRunError without a usable KVM or userfaultfd, or where the kernel does not tell in
    what a thread sleeps; ``arena.NoProgressError`` when a reader or an ioctl does not get on.
    """
    if not tells_where_threads_sleep():
        raise NotRunError("/proc/self/task/*/wchan: this kernel does not tell where threads sleep")
    # Of each operation: a reader for every wait, and the one that is still asleep in the end; and
    # as many again for readers that were in time where they should not.
    needed = (given["rounds"] + 1) * len(OPERATIONS) * (WAITS_MAX + 1) * 2
    with a_vm() as vm, reader(vm, needed) as first:
        second = Reader(vm.another_cpu(), first.pages, first.threads)
        parked = Readers((first, second), count())
        vm.set_user_memory_region(*_PLACE.rest)
        contenders: dict[str, Turn] = {}
        for operation in OPERATIONS:
            contenders[operation] = partial(_counted, parked, vm, operation)
        return by_turns(contenders, given["rounds"])


def _counted(parked: Readers, vm: KvmVm, operation: str) -> dict[str, int]:
    waits = 0
    for name, region in _PLACE.steps(operation):
        call = partial(vm.set_user_memory_region, *region)
        if name == operation:
            waits = _waits(parked, call)
        else:
            call()
    return {"waits": waits}


def _waits(parked: Readers, call: Callable[[], None]) -> int:
    """Make the call; return how often it slept until a reader was let go."""
    asleep = parked.park()
    calls, thread = begun(asleep[0].threads, call)
    found, number = 0, _sleep(calls, thread, 0)
    while number and found < WAITS_MAX:
        found += 1
        before = number
        # The same sleep goes on where the other reader, too, was in time for this grace period.
        while number == before:
            another = parked.park()
            _serve(*asleep)
            asleep = another
            number = _sleep(calls, thread, before)
    _serve(*asleep)
    end(calls, "the ioctl")
    return found


def _sleep(calls: Future[None], thread: int, before: int) -> int:
    """Wait until the call sleeps in a grace period; return the number of that sleep.

    0 when the call has returned instead; after ``PATIENCE_S`` also the number ``before``.
    """
    begin = time.monotonic()
    while not calls.done():
        # Also before the first look: a reader that comes before the grace period begins is in time.
        time.sleep(_POLL_S)
        number = _srcu_sleep(thread)
        waited_s = time.monotonic() - begin
        if number > before or (number and waited_s > PATIENCE_S):
            return number
        if waited_s > WAIT_LIMIT_S:
            raise NoProgressError(f"the ioctl neither waited nor returned in {WAIT_LIMIT_S:g} s")
    return 0


def _srcu_sleep(thread_id: int) -> int:
    """Return which of a thread's sleeps it is in, if it waits for an SRCU grace period; else 0.

    The kernel names the function only of a thread that has given up its CPU, and counts how often
    it has.
    """
    folder = Path(f"/proc/self/task/{thread_id}")
    lines = (folder / "status").read_text().splitlines()
    if "srcu" not in (folder / "wchan").read_text():
        return 0
    told = dict(line.split(":", 1) for line in lines)
    return int(told["voluntary_ctxt_switches"])


def tells_where_threads_sleep() -> bool:
    """Whether this kernel names the function that a sleeping thread is in (CONFIG_KALLSYMS)."""
    with ThreadPoolExecutor(1) as one:
        where = Path(f"/proc/self/task/{one.submit(get_native_id).result()}/wchan")
        deadline = time.monotonic() + PATIENCE_S
        # The thread may still be on its way to sleep.
        while (told := where.read_text()) in ("", "0") and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return told not in ("", "0")


def _serve(one: Reader, page: int, reading: Future[Exit]) -> None:
    one.pages.serve(page)
    end(reading, "the reader")
