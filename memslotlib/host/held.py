"""The window inside one ioctl, held open for as long as wanted.

A second vCPU reads a page of another slot that nobody serves yet (userfaultfd), and so sleeps
inside KVM with the SRCU read lock held. An update that starts now publishes its first change of the
slot, INVALID for a DELETE or a MOVE, and then waits for that reader. Meanwhile the guest accesses a
page that it has mapped, and one that it has not; what it meets, it meets inside the ioctl. Then the
page is served, the reader goes on, and so does the ioctl.

Every hold is bounded in time. Whatever ends the run, the page is served first, so that reader and
updater return before the VM is closed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_native_id
from typing import Any

from ..interface import Access, Context, Exit
from ..uapi import PAGE_SIZE, ExitReason
from . import guest
from .access import GuestCpu
from .arena import WAIT_LIMIT_S, Arena, NoProgressError, Scenario, arena
from .backend import Backend
from .loops import Word
from .uffd import Userfault
from .vm import KvmVm

#: How long the guest is watched at each of the two pages.
WATCH_S = 0.01
#: The slot of the reader's pages: far from every scenario's, in every address space.
_SLOT = guest.SLOT - 1
_GPA = 0x2000_0000
_HVA = 0x2200_0000_0000
_POLL_S = 0.0005


@dataclass(frozen=True, slots=True)
class Met:
    """What the guest's accesses to one page came to while the ioctl was held.

    ``accesses`` came to their end; ``exits`` counts what they met, by reason. ``stalled``: one was
    begun and none ended.
    """

    accesses: int
    exits: Mapping[str, int]
    stalled: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold: accesses to a page that was mapped, and to one that was not.

    ``unmapped`` is None when the guest never came to that page: an instruction that cannot be
    fetched is tried over and over. ``held`` tells whether the ioctl was asleep in the kernel before
    the first look at the guest, and had not returned at the last. ``afterwards`` counts what the
    guest met between the release and the end of the whole update.
    """

    held: bool
    mapped: Met
    unmapped: Met | None
    afterwards: Mapping[str, int]

    @property
    def exits(self) -> Counter[str]:
        """What the guest met while the ioctl was held, by reason."""
        return Counter(self.mapped.exits) + Counter(self.unmapped.exits if self.unmapped else {})

    @property
    def asked(self) -> int:
        """How many accesses had to ask the slot, and not just the page tables."""
        asked = sum(self.mapped.exits.values())
        return asked + (self.unmapped.accesses + self.unmapped.stalled if self.unmapped else 0)


@dataclass(frozen=True)
class HeldResult:
    """What the holds of one run came to; only those in ``trials`` say something."""

    access: Access
    context: Context
    holds: tuple[Hold, ...] = field(repr=False)
    wall_seconds: float
    backend: str

    @property
    def trials(self) -> tuple[Hold, ...]:
        """The holds during which the ioctl was held all the time, and an access asked the slot."""
        return tuple(one for one in self.holds if one.held and one.asked)


def held(
    scenario: Scenario,
    context: Context = Context.LONG64_CPL3,
    holds: int = 20,
    *,
    backend: Backend | None = None,
) -> HeldResult:
    """Hold the scenario's first ioctl ``holds`` times, and watch the guest meanwhile.

    Before each hold the slot is created anew and the guest has accessed ``target`` alone.

    Raises NotRunError without a usable KVM or userfaultfd; ``arena.NoProgressError`` when guest,
    reader or ioctl do not get on in time; ``arena.UnclaimedError`` for an exit that the scenario
    does not explain.
    """
    begin = time.monotonic()
    with arena(scenario, context, backend) as made, _reader(made.vm, holds) as reader:
        seen = tuple(_hold(made, reader, number) for number in range(holds))
        wall_seconds = time.monotonic() - begin
        return HeldResult(scenario.access, context, seen, wall_seconds, made.vm.backend.name)


@dataclass(frozen=True)
class _Reader:
    """The vCPU that sleeps inside KVM, and the threads in which it and the updater run."""

    cpu: GuestCpu
    pages: Userfault
    threads: ThreadPoolExecutor

    def park(self, number: int) -> tuple[int, Future[Exit]]:
        """Let it read a page that nobody has read; return the page once it is waited for."""
        reading = self.threads.submit(
            self.cpu.load, _GPA + number * PAGE_SIZE, 8, Context.LONG64_CPL3
        )
        page = self.pages.wait(WAIT_LIMIT_S)
        if not page:
            raise NoProgressError(f"the reader of page {number} did not sleep: {reading}")
        return page, reading


@contextmanager
def _reader(vm: KvmVm, pages: int) -> Iterator[_Reader]:
    size_bytes = pages * PAGE_SIZE
    vm.memory(_HVA, size_bytes)
    vm.set_user_memory_region(_SLOT, 0, _GPA, size_bytes, _HVA)
    cpu = vm.another_cpu()
    unserved = Userfault(_HVA, size_bytes)
    with ThreadPoolExecutor(2, "hold") as threads:
        try:
            yield _Reader(cpu, unserved, threads)
        finally:
            # First of all: the threads, which are joined next, may be waiting for this.
            unserved.close()


def _hold(made: Arena, reader: _Reader, number: int) -> Hold:
    page, reading = reader.park(number)
    updating, asleep = _start(made, reader.threads)
    mapped = _watch(made, made.scenario.target)
    stuck = ExitReason.INTERNAL_ERROR.name.lower() in mapped.exits
    unmapped = None if stuck else _watch(made, _go_on(made))
    held = asleep and not updating.done()
    reader.pages.serve(page)
    _end(reading, "the reader")
    _end(updating, "the ioctl")
    made.apply(made.scenario.update[1:])
    afterwards = made.settle()
    _renew(made)
    return Hold(held, mapped, unmapped, afterwards)


def _start(made: Arena, threads: ThreadPoolExecutor) -> tuple[Future[None], bool]:
    """Start the first ioctl in a thread; tell whether it fell asleep, rather than return."""
    thread_ids: list[int] = []

    def update() -> None:
        thread_ids.append(get_native_id())
        made.apply(made.scenario.update[:1])

    updating = threads.submit(update)
    made.wait(lambda: updating.done() or (bool(thread_ids) and _sleeps(thread_ids[0])))
    return updating, not updating.done()


def _sleeps(thread_id: int) -> bool:
    """Whether a thread sleeps uninterruptibly, as in an SRCU wait; and not just for a moment."""
    stat = Path(f"/proc/self/task/{thread_id}/stat")
    for _ in range(3):
        if stat.read_text().rpartition(")")[2].split()[0] != "D":
            return False
        time.sleep(_POLL_S)
    return True


def _go_on(made: Arena) -> int:
    """Send the guest to the page that it has not accessed yet, and wait until it has begun to."""
    page = made.scenario.untouched
    made.words[Word.AT] = page
    if not made.wait(lambda: bool(made.words[Word.BEGUN] == page)):
        raise NoProgressError(f"the guest did not come to its other page in {WAIT_LIMIT_S:g} s")
    return page


def _watch(made: Arena, at: int) -> Met:
    """Look at the guest for ``WATCH_S``, and longer until it has shown something or has run."""
    made.take()
    before, ran, begin = made.heartbeat, made.runner.cpu_seconds, time.monotonic()

    def enough() -> bool:
        # One access may have been under way already.
        shown = made.heartbeat > before + 1 or made.met
        ran_on = made.runner.cpu_seconds > ran + WATCH_S / 2
        return (shown or ran_on) and time.monotonic() > begin + WATCH_S

    if not made.wait(enough):
        raise NoProgressError(f"the guest did not run for {WAIT_LIMIT_S:g} s")
    accesses = made.heartbeat - before
    exits = Counter(one.name for one in made.take() if made.scenario.claims(one, at))
    return Met(accesses, exits, stalled=not accesses and not exits)


def _end(future: Future[Any], what: str) -> None:
    try:
        future.result(WAIT_LIMIT_S)
    except TimeoutError as error:
        raise NoProgressError(f"{what} did not return in {WAIT_LIMIT_S:g} s") from error


def _renew(made: Arena) -> None:
    """Bring the guest back to the target, and the slot back without any page mapped."""
    slot, *_ = made.scenario.create
    made.words[Word.AT] = made.scenario.target
    # First it must be there: an access under way would map the other page in the new slot.
    made.settle()
    made.apply(((slot, 0, 0, 0, 0), made.scenario.create))
    made.settle()
