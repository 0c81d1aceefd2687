"""Races between a running vCPU and the ioctl that updates the slot under it.

Three experiments, from the surest to the most exacting:

- ``rendezvous``: the updater waits between DELETE and CREATE until the guest has met the hole. It
  shows what a guest gets, not how often.
- ``free_running``: no waiting. It shows that the window is hit without help; the rate is that of
  one host in one moment.
- ``overlap``: the guest itself proves which of its accesses ran while the ioctl did, so that seeing
  no hole means something.

Each opens a VM of its own, is bounded in time, and leaves neither thread nor VM behind, whatever
ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..errors import MemslotError
from ..interface import Context
from ..uapi import PAGE_SIZE, MemFlag
from . import guest, loops
from .backend import Backend, Region
from .cpus import apart
from .loops import Access, Word
from .runner import ExitRecord, Runner
from .vm import KvmVm

SLOT = 1
GPA = 0x1000_0000
HVA = 0x2000_0000_0000
PAGES = 16
#: A page that the slot covers before and after a move by one page.
TARGET = GPA + PAGE_SIZE
UPDATES = ("delete-create", "move", "flags")
#: What every page holds where the guest checks what it reads; not what an MMIO read gives.
PATTERN = 0x0123_4567_89AB_CDEF

#: How long a guest may make no progress, and an updater wait inside the window.
WAIT_LIMIT_S = 5.0
_POLL_S = 20e-6

#: An update that took longer proves nothing about the accesses that overlapped it.
BRACKET_LIMIT_NS = 1_000_000
OVERLAP_LIMIT_S = 20.0
#: Accesses after which the overlap loop has been at every page.
_ROUND = 2 * PAGES


@dataclass(frozen=True, slots=True)
class UpdateSeen:
    """One update of the slot: what the guest met, and whether it ran at all meanwhile."""

    hit: bool
    progressed: bool
    exits: int
    duration_ns: int


@dataclass(frozen=True)
class RaceResult:
    """What the updates of one run came to.

    ``seen`` has one entry an update; ``exits_by_reason`` counts what came out of the guest by the
    exit's name; ``progress`` is the guest's count of its accesses before the first update and after
    the last; ``log`` the last exits.
    """

    access: Access
    context: Context
    update: str
    waited: bool
    seen: tuple[UpdateSeen, ...] = field(repr=False)
    exits_by_reason: Mapping[str, int]
    progress: tuple[int, int]
    wall_seconds: float
    backend: str
    log: tuple[ExitRecord, ...] = field(default=(), repr=False)

    @property
    def updates(self) -> int:
        """How many updates were made."""
        return len(self.seen)

    @property
    def opportunities(self) -> int:
        """How many updates the guest demonstrably ran during."""
        return sum(one.progressed for one in self.seen)

    @property
    def hits(self) -> int:
        """How many updates put at least one exit in front of userspace."""
        return sum(one.hit for one in self.seen)


@dataclass(frozen=True)
class OverlapResult:
    """What the guest itself saw of updates that ran while it did.

    ``overlapping`` accesses began after an update was under way and ended before it was over, in
    ``updates_overlapped`` different updates. Of all ``accesses``, ``wrong_values`` read something
    else than every page holds (only a load can tell), and ``exits_by_reason`` counts what reached
    userspace. ``discarded`` accesses overlapped too, but with an update that took longer than
    ``BRACKET_LIMIT_NS``: the updater may have lost its CPU just outside the ioctl.
    """

    access: Access
    context: Context
    update: str
    updates: int
    updates_overlapped: int
    accesses: int
    overlapping: int
    discarded: int
    wrong_values: int
    exits_by_reason: Mapping[str, int]
    wall_seconds: float
    backend: str

    @property
    def holes(self) -> int:
        """How many accesses met a hole: by the guest's own count or by ours, whichever is more."""
        return max(self.wrong_values, sum(self.exits_by_reason.values()))


def rendezvous(
    access: Access | str,
    context: Context = Context.LONG64_CPL3,
    update: str = "delete-create",
    updates: int = 300,
    *,
    backend: Backend | None = None,
) -> RaceResult:
    """Update, each time waiting between DELETE and CREATE until the guest has exited.

    An update counts as hit when an exit was logged before CREATE was called.

    Raises NotRunError without a usable KVM; ValueError for an update of one ioctl, inside which
    userspace cannot wait; MemslotError when the guest stops making progress.

    >>> rendezvous("load", update="move")
    Traceback (most recent call last):
    ValueError: update 'move' is one ioctl: there is no inside to wait in
    """
    if update != "delete-create":
        raise ValueError(f"update {update!r} is one ioctl: there is no inside to wait in")
    return _race(Access(access), context, update, updates, True, backend)


def free_running(
    access: Access | str,
    context: Context = Context.LONG64_CPL3,
    update: str = "delete-create",
    updates: int = 300,
    *,
    backend: Backend | None = None,
) -> RaceResult:
    """Update without waiting; ``opportunities`` counts the updates that the guest ran during.

    Raises NotRunError without a usable KVM; ValueError for an update that is none of ``UPDATES``;
    MemslotError when the guest stops making progress.

    >>> free_running("load", update="rename")
    Traceback (most recent call last):
    ValueError: update 'rename': not one of delete-create, move, flags
    """
    _check(update)
    return _race(Access(access), context, update, updates, False, backend)


def overlap(
    access: Access | str,
    update: str = "move",
    context: Context = Context.LONG64_CPL3,
    updates: int = 1000,
    *,
    wanted: int = 10_000,
    backend: Backend | None = None,
) -> OverlapResult:
    """Update under a guest that accesses pages which old and new slot both cover.

    Only an access between two looks at one odd phase counts as overlapping; the phase is odd from
    just before the first ioctl to just after the last. At least ``updates`` updates are made, and
    more until ``wanted`` accesses overlapped, but none after ``OVERLAP_LIMIT_S``.

    Raises NotRunError without a usable KVM; ValueError for another update or for a context that is
    no long mode; MemslotError when the guest stops making progress.

    >>> overlap("load", context=Context.REAL16)
    Traceback (most recent call last):
    ValueError: context real16: the overlap loop is 64-bit code
    """
    _check(update)
    if context not in (Context.LONG64, Context.LONG64_CPL3):
        raise ValueError(f"context {context.value}: the overlap loop is 64-bit code")
    access, begin = Access(access), time.monotonic()
    content = loops.called(context) if access is Access.FETCH else PATTERN.to_bytes(8, "little")
    regs = loops.overlap_regs(TARGET, PAGES - 1, PATTERN)
    seen: list[tuple[int, int]] = []
    with _arena(loops.overlap_loop(access), content, context, regs, backend) as arena:
        arena.wait_for_progress(_ROUND)
        while len(seen) < updates or sum(_counted(seen)) < wanted:
            if time.monotonic() > begin + OVERLAP_LIMIT_S:
                break
            seen.append(arena.update_bracketed(_steps(update, len(seen))))
        exits, words = arena.runner.by_reason(), list(arena.words)
    counted = _counted(seen)
    return OverlapResult(
        access=access,
        context=context,
        update=update,
        updates=len(seen),
        updates_overlapped=sum(count > 0 for count in counted),
        accesses=words[Word.HEARTBEAT],
        overlapping=sum(counted),
        discarded=sum(count for count, _ in seen) - sum(counted),
        wrong_values=words[Word.WRONG],
        exits_by_reason=exits,
        wall_seconds=time.monotonic() - begin,
        backend=arena.vm.backend.name,
    )


def _counted(seen: list[tuple[int, int]]) -> list[int]:
    """Return how many accesses overlapped each update that was short enough to count."""
    return [count for count, duration_ns in seen if duration_ns <= BRACKET_LIMIT_NS]


class Arena:
    """A VM with one slot to update and a guest that runs on it."""

    def __init__(self, vm: KvmVm, runner: Runner, words: memoryview) -> None:
        self.vm = vm
        self.runner = runner
        self.words = words

    @property
    def heartbeat(self) -> int:
        """The guest's own count of its accesses."""
        return int(self.words[Word.HEARTBEAT])

    def wait_for_progress(self, accesses: int = 2) -> None:
        """Wait until the guest has made so many more accesses."""
        target = self.heartbeat + accesses
        if not self.wait(lambda: self.heartbeat >= target):
            raise MemslotError(
                f"the guest made no progress in {WAIT_LIMIT_S:g} s"
                f" (access {self.heartbeat}, {self.runner.exits} exits)"
            )

    def wait(self, met: Callable[[], bool]) -> bool:
        """Wait, with a limit, until ``met``; whether it was."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while not met():
            if self.runner.ended:
                raise MemslotError(f"the vCPU stopped by itself: {self.runner.ended}")
            if time.monotonic() > deadline:
                return False
            # Sleeping, not spinning: the runner in Python needs the interpreter's lock.
            time.sleep(_POLL_S)
        return True

    def update(self, steps: list[Region], waiting: bool) -> UpdateSeen:
        """Make one update and tell what the guest met."""
        exits, heartbeat = self.runner.exits, self.heartbeat
        hit = False
        begin = time.monotonic_ns()
        for number, step in enumerate(steps):
            if number and waiting:
                hit = self.wait(lambda: self.runner.exits > exits)
            self.vm.set_user_memory_region(*step)
        duration_ns = time.monotonic_ns() - begin
        progressed = self.heartbeat > heartbeat
        # An exit may be logged after CREATE has returned; once the guest goes on, all are in.
        self.wait_for_progress()
        met = self.runner.exits - exits
        return UpdateSeen(hit if waiting else met > 0, progressed or met > 0, met, duration_ns)

    def update_bracketed(self, steps: list[Region]) -> tuple[int, int]:
        """Make one update that the guest can tell the extent of.

        Return how many accesses the guest proved to overlap it, and its time in nanoseconds.
        """
        before = self.words[Word.OVERLAPPING]
        begin = time.monotonic_ns()
        self.vm.update_bracketed(self.words, Word.PHASE, steps)
        duration_ns = time.monotonic_ns() - begin
        # A whole round and more: every page is mapped and accessed again, all counts are in.
        self.wait_for_progress(_ROUND)
        return self.words[Word.OVERLAPPING] - before, duration_ns


def _race(
    access: Access,
    context: Context,
    update: str,
    updates: int,
    waiting: bool,
    backend: Backend | None,
) -> RaceResult:
    code = loops.access_loop(access, context)
    regs = guest.regs(guest.LOOP, rbx=TARGET)
    begin = time.monotonic()
    with _arena(code, loops.called(context), context, regs, backend) as arena:
        arena.wait_for_progress()
        before = arena.heartbeat
        seen = tuple(arena.update(_steps(update, number), waiting) for number in range(updates))
        return RaceResult(
            access=access,
            context=context,
            update=update,
            waited=waiting,
            seen=seen,
            exits_by_reason=arena.runner.by_reason(),
            progress=(before, arena.heartbeat),
            wall_seconds=time.monotonic() - begin,
            backend=arena.vm.backend.name,
            log=tuple(arena.runner.log()),
        )


@contextmanager
def _arena(
    code: bytes, content: bytes, context: Context, regs: bytearray, backend: Backend | None
) -> Iterator[Arena]:
    """Open a VM whose pages all begin with ``content``, let its guest run ``code``, stop it."""
    with KvmVm(backend=backend) as vm:
        memory = vm.memory(HVA, PAGES * PAGE_SIZE)
        for at in range(0, len(memory), PAGE_SIZE):
            memory[at : at + len(content)] = content
        vm.set_user_memory_region(*_region())
        cpu = vm.guest()
        at = guest.LOOP - guest.BASE
        cpu.memory[at : at + len(code)] = code
        words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * loops.WORDS].cast("Q")
        running = vm.run_in_thread(regs, context)
        with apart(running.thread_id):
            yield Arena(vm, running, words)


def _region(flags: int = 0, gpa: int = GPA, size_bytes: int = PAGES * PAGE_SIZE) -> Region:
    return (SLOT, flags, gpa, size_bytes, HVA)


def _steps(update: str, number: int) -> list[Region]:
    """Return the ioctls of the update with this number; an even one undoes what an odd one did."""
    odd = number % 2 == 0
    if update == "move":
        return [_region(gpa=GPA + PAGE_SIZE if odd else GPA)]
    if update == "flags":
        return [_region(flags=MemFlag.LOG_DIRTY_PAGES if odd else 0)]
    return [_region(size_bytes=0), _region()]


def _check(update: str) -> None:
    if update not in UPDATES:
        raise ValueError(f"update {update!r}: not one of {', '.join(UPDATES)}")
