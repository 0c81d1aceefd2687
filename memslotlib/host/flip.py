"""Where stores land while the memory behind a slot is exchanged for another.

A slot has two backings. The guest stores without end into every page of it (``host.stores``), and
in the midst of that its backing is exchanged: by deleting the slot and creating it on the other
one, or under a slot that stays, by remapping its host address. Nobody waits for anybody. The guest
is stopped only between two *laps*, in which it stores to each place at most once; then every store
of the lap is looked for in both backings and among the MMIO exits.

Which store was the last one begun, the host reads before the first call and after each. From
this follows, without a clock, which stores were begun after a call had returned.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from ..errors import MemslotError
from ..interface import Context
from ..uapi import PAGE_SIZE, ExitReason
from . import guest, stores
from .arena import WAIT_LIMIT_S, NoProgressError, UnclaimedError
from .backend import Backend
from .cpus import apart
from .race import BRACKET_LIMIT_NS
from .runner import ExitRecord, Runner
from .stores import Word
from .vm import KvmVm

LAPS_LIMIT_S = 60.0
#: Which part of a lap the guest has made when the exchange begins.
_HEAD = 8
_POLL_S = 20e-6


class How(Enum):
    """How the backing is exchanged; the value names it in records."""

    #: Two ioctls: the slot is deleted, and created on the other backing.
    TODAY = "today"
    #: One mmap(MAP_FIXED) over the slot's host address; KVM is not called.
    MMAP = "mmap"
    #: One mremap(MREMAP_FIXED), likewise.
    MREMAP = "mremap"


@dataclass(frozen=True, slots=True)
class Backings:
    """A slot at rest on the first of two backings of the same size."""

    slot: int
    gpa: int
    hvas: tuple[int, int]
    pages: int

    @property
    def size_bytes(self) -> int:
        """How big the slot is."""
        return self.pages * PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Pace:
    """How many stores a lap has, and how long the guest pauses between two of them, in turns."""

    stores: int
    pause: int


#: A lap has to outlast an exchange, in which the host may lose its CPU for a while; and a guest
#: that is interpreted is a thousand times slower.
PACES = {Context.LONG64_CPL3: Pace(8192, 128), Context.LONG64: Pace(1024, 1)}


@dataclass(frozen=True, slots=True)
class Lap:
    """One exchange: where the stores around it landed.

    Each count is of stores. ``inside`` were begun and ended between the first call and the return
    of the last; ``after`` were begun after that. Of the others each count but ``mmio`` would be a
    finding: ``nowhere`` and ``twice`` landed in no or more than one of old backing, new backing and
    MMIO; ``early`` ended before the first call and did not land in the old one; ``stale_first``
    were begun after the first call had returned and landed in the old one, ``stale`` after the last
    had; ``late_mmio`` were begun after the last had returned and met a hole.
    """

    inside: int
    after: int
    mmio: int
    nowhere: int
    twice: int
    early: int
    stale_first: int
    stale: int
    late_mmio: int
    duration_ns: int

    @property
    def overlapped(self) -> bool:
        """Whether the guest proved to have stored inside the exchange, and after it.

        When more than ``race.BRACKET_LIMIT_NS`` passed, it may have stored inside only because the
        host had lost its CPU just outside a call.
        """
        return self.inside > 0 < self.after and self.duration_ns <= BRACKET_LIMIT_NS


@dataclass(frozen=True)
class FlipResult:
    """What the laps of one run came to; only those in ``trials`` say something."""

    how: How
    context: Context
    laps: tuple[Lap, ...] = field(repr=False)
    wall_seconds: float
    backend: str

    @property
    def trials(self) -> tuple[Lap, ...]:
        """The laps in which the guest stored inside the exchange, and after it."""
        return tuple(lap for lap in self.laps if lap.overlapped)


def flip(
    backings: Backings,
    how: How,
    context: Context = Context.LONG64_CPL3,
    laps: int = 300,
    *,
    backend: Backend | None = None,
) -> FlipResult:
    """Exchange the backing under a storing guest, until so many laps were overlapped.

    Without enough of them the run ends after ``LAPS_LIMIT_S``.

    Raises NotRunError without a usable KVM, ``arena.NoProgressError`` when the guest does not get
    on, ``arena.UnclaimedError`` for an exit that is no MMIO store of the lap; KeyError for a
    context outside long mode.
    """
    begin, pace = time.monotonic(), PACES[context]
    seen: list[Lap] = []
    overlapped = 0
    with _stage(backings, how, context, pace, backend) as stage:
        while overlapped < laps and time.monotonic() < begin + LAPS_LIMIT_S:
            seen.append(stage.lap())
            overlapped += seen[-1].overlapped
        wall_seconds = time.monotonic() - begin
        return FlipResult(how, context, tuple(seen), wall_seconds, stage.vm.backend.name)


@dataclass
class Stage:
    """A guest that stores to a slot, and the two backings of it, of which ``old`` is in place."""

    backings: Backings
    how: How
    pace: Pace
    vm: KvmVm
    runner: Runner
    words: memoryview
    contents: tuple[memoryview, memoryview]
    old: int = 0
    made: int = 0
    taken: int = 0

    def lap(self) -> Lap:
        """Let the guest make one lap, exchange the backing meanwhile, and find every store."""
        first, last = self.made + 1, self.made + self.pace.stores
        self.words[Word.LIMIT] = last
        self._wait(lambda: bool(self.words[Word.BEGUN] >= first + self.pace.stores // _HEAD))
        begin = time.monotonic_ns()
        begun = [int(self.words[Word.BEGUN])]
        for call in self.exchange():
            call()
            begun.append(int(self.words[Word.BEGUN]))
        duration_ns = time.monotonic_ns() - begin
        self._wait(lambda: bool(self.words[Word.ENDED] >= last))
        self.made = last
        old, new = (self._landed(one, first, last) for one in (self.old, 1 - self.old))
        self.old = 1 - self.old
        return tally(range(first, last + 1), begun, old, new, self._mmio(first), duration_ns)

    def exchange(self) -> Sequence[Callable[[], None]]:
        """Return the calls that put the other backing in place."""
        at, size, hvas = self.backings, self.backings.size_bytes, self.backings.hvas
        new = hvas[1 - self.old]
        if self.how is not How.TODAY:
            by_move = self.how is How.MREMAP
            return (lambda: self.vm.remap(hvas[0], size, new, by_move=by_move),)
        return (
            lambda: self.vm.set_user_memory_region(at.slot, 0, 0, 0, 0),
            lambda: self.vm.set_user_memory_region(at.slot, 0, at.gpa, size, new),
        )

    def _landed(self, which: int, first: int, last: int) -> set[int]:
        """Return the stores of a lap that are in a backing."""
        words, pages = self.contents[which].tolist(), self.backings.pages
        return {n for n in range(first, last + 1) if words[stores.place(n, pages)] == n}

    def _mmio(self, first: int) -> Counter[int]:
        """Return how often each store of a lap met a hole."""
        records = self.runner.since(self.taken)
        self.taken += len(records)
        pages = self.backings.pages
        there = {stores.place(n, pages): n for n in range(first, first + self.pace.stores)}
        found: Counter[int] = Counter()
        for record in records:
            word, rest = divmod(record.gpa - self.backings.gpa, stores.STORE_SIZE_BYTES)
            if rest or word not in there or not _is_store(record):
                raise UnclaimedError(f"no store of this lap: {record.text}")
            found[there[word]] += 1
        return found

    def _wait(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_LIMIT_S
        while not met():
            if self.runner.ended:
                raise MemslotError(f"the vCPU stopped by itself: {self.runner.ended}")
            if time.monotonic() > deadline:
                raise NoProgressError(
                    f"the guest made no progress in {WAIT_LIMIT_S:g} s"
                    f" (store {self.words[Word.BEGUN]}, {self.runner.exits} exits)"
                )
            # Sleeping, not spinning: the runner in Python needs the interpreter's lock.
            time.sleep(_POLL_S)


def tally(
    lap: range,
    begun: Sequence[int],
    old: set[int],
    new: set[int],
    mmio: Counter[int],
    duration_ns: int,
) -> Lap:
    """Return what the stores of a lap came to.

    ``begun`` names the store that was begun last when the first call was made, and when each call
    had returned; ``old``, ``new`` and ``mmio`` where each was found.
    """
    before, first_return, last_return = begun[0], begun[1], begun[-1]
    times = Counter(old) + Counter(new) + mmio
    return Lap(
        inside=max(0, last_return - before - 1),
        after=lap[-1] - last_return,
        mmio=len(mmio),
        nowhere=sum(n not in times for n in lap),
        twice=sum(count > 1 for count in times.values()),
        early=sum(n not in old for n in range(lap[0], before)),
        stale_first=sum(n > first_return for n in old),
        stale=sum(n > last_return for n in old),
        late_mmio=sum(n > last_return for n in mmio),
        duration_ns=duration_ns,
    )


def _is_store(record: ExitRecord) -> bool:
    size_bytes = stores.STORE_SIZE_BYTES
    return record.reason is ExitReason.MMIO and record.is_write and record.size_bytes == size_bytes


@contextmanager
def _stage(
    backings: Backings, how: How, context: Context, pace: Pace, backend: Backend | None
) -> Iterator[Stage]:
    with KvmVm(backend=backend) as vm:
        contents = [vm.memory(hva, backings.size_bytes).cast("Q") for hva in backings.hvas]
        region = (backings.slot, 0, backings.gpa, backings.size_bytes, backings.hvas[0])
        vm.set_user_memory_region(*region)
        cpu = vm.guest()
        code, at = stores.program(backings.pages), guest.LOOP - guest.BASE
        cpu.memory[at : at + len(code)] = code
        words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * stores.WORDS].cast("Q")
        running = vm.run_in_thread(stores.regs(backings.gpa, pace.pause), context)
        with apart(running.thread_id):
            yield Stage(backings, how, pace, vm, running, words, (contents[0], contents[1]))
