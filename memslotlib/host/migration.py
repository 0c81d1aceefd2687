"""Copying pages by the log under a guest that stores without end, and where each lost one got lost.

The guest stores once to each page of the memory, numbered and in order (``host.stores``), while
``copying.Copier`` copies and updates. A store that is in memory and not in the copy, at the end, is
lost; its number tells when it was made. To be explained it has to lie in a *window*: from the fetch
of its page's log to the return of the call that ended that log.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..copying import Copier, Event, How, Moment, Part, Place
from ..interface import Context
from ..uapi import PAGE_SIZE
from . import guest, standins, stores
from .arena import WAIT_LIMIT_S, NoProgressError
from .attended import Attended, attended
from .backend import Backend
from .cpus import apart
from .pausing import pause, resume
from .stores import Word
from .vm import KvmVm

GPA = 0x1000_0000
HVA = 0x2000_0000_0000
#: How long the guest pauses between two stores, in turns of an empty loop: some 50 us.
PAUSE = 100_000
#: How long the VMM waits between two rounds.
ROUND_S = 0.002
#: Rounds, with stores between them, that a trial needs to say something.
ROUNDS_MIN = 3


@dataclass(frozen=True, slots=True)
class Window:
    """Stores first to last may have been made between a part's fetch and the end of its log."""

    part: Part
    first: int
    last: int

    def explains(self, store: int, page: int) -> bool:
        """Whether this store to this page may have been lost here."""
        return self.first <= store <= self.last and page in self.part


@dataclass(frozen=True, slots=True)
class Trial:
    """One copy of the memory under stores.

    Counts are of rounds, stores, pages. In ``busy`` rounds the guest had begun a store since the
    last one; ``inside`` stores were begun between the first call and the last of a round; ``mmio``
    met a hole, ``faults`` counts what a blocked memory sent back. ``lost`` pages differ in the end:
    ``lost_first`` of them in the first half, and ``unexplained`` in no window. ``sent`` pages were
    copied, each time counted.
    """

    rounds: int
    busy: int
    inside: int
    mmio: int
    faults: int
    sent: int
    lost: int
    lost_first: int
    unexplained: int
    duration_ns: int

    @property
    def overlapped(self) -> bool:
        """Whether the guest stored between enough rounds for the trial to say something."""
        return self.busy >= ROUNDS_MIN

    @property
    def row(self) -> dict[str, int]:
        """The counts by name, as a record keeps them."""
        return {name: getattr(self, name) for name in self.__slots__}


def migrated(
    how: How,
    context: Context = Context.LONG64_CPL3,
    trials: int = 20,
    pages: int = 4096,
    *,
    backend: Backend | None = None,
) -> list[Trial]:
    """Copy a memory of so many pages, a power of two, in so many trials.

    Raises NotRunError without a usable KVM, ``arena.NoProgressError`` when the guest does not get
    on, ``arena.UnclaimedError`` when it stops by itself; KvmError when a call is refused.
    """
    return [_trial(how, context, pages, backend) for _ in range(trials)]


def _trial(how: How, context: Context, pages: int, backend: Backend | None) -> Trial:
    begin = time.monotonic_ns()
    with _stage(how, context, pages, backend) as stage:
        while not stage.is_over:
            time.sleep(ROUND_S)
            stage.round()
        running = stage.running
        running.stop()
        stage.copier.finish()
        return stage.tally(time.monotonic_ns() - begin)


class Stage:
    """A guest that stores, the VMM that copies, and the windows so far."""

    def __init__(
        self, copier: Copier, running: Attended, words: memoryview, switch: standins.Standin
    ) -> None:
        self.copier, self.running, self.words, self.switch = copier, running, words, switch
        self.windows: list[Window] = []
        self._fetched: dict[tuple[int, int], int] = {}
        self._rounds = self._busy = self._inside = self._last = 0
        self._deadline = time.monotonic() + WAIT_LIMIT_S

    @property
    def begun(self) -> int:
        """The store that the guest has begun last."""
        return int(self.words[Word.BEGUN])

    @property
    def is_over(self) -> bool:
        """Whether every store was made; NoProgressError when that takes too long."""
        self.running.check()
        if time.monotonic() > self._deadline:
            raise NoProgressError(f"the guest is at store {self.begun} after {WAIT_LIMIT_S:g} s")
        return bool(self.words[Word.ENDED] >= self.words[Word.LIMIT])

    def round(self) -> None:
        """Make one round of the VMM's."""
        first = last = self.begun
        for moment in self.copier.update():
            self._attend(moment)
            last = self.begun
        self._rounds += 1
        self._busy += first > self._last
        self._inside += last - first
        self._last = last

    def tally(self, duration_ns: int) -> Trial:
        """Look for every store that is not in the copy."""
        lost = dict(missing(self.copier))
        first = self.copier.size_bytes // PAGE_SIZE // 2
        explained = {
            page
            for page, numbers in lost.items()
            if all(any(one.explains(n, page) for one in self.windows) for n in numbers)
        }
        return Trial(
            rounds=self._rounds,
            busy=self._busy,
            inside=self._inside,
            mmio=self.running.exits,
            faults=len(self.running.failures),
            sent=self.copier.sent,
            lost=len(lost),
            lost_first=sum(page < first for page in lost),
            unexplained=len(lost) - len(explained),
            duration_ns=duration_ns,
        )

    def _attend(self, moment: Moment) -> None:
        """Do what the VMM cannot do by its calls, and note where windows begin and end."""
        match moment.event:
            case Event.FETCH:
                self._fetch(moment)
            case Event.DELETED:
                self._delete(moment)
            case Event.PAUSE:
                pause([self.running])
            case Event.RESUME:
                resume([self.running])
            case Event.BLOCK:
                self.switch.off()
            case Event.UNBLOCK:
                self.switch.on()

    def _fetch(self, moment: Moment) -> None:
        # The store that was begun last may land after the fetch.
        self._fetched[_key(moment)] = self.begun

    def _delete(self, moment: Moment) -> None:
        assert moment.part is not None
        self.windows.append(Window(moment.part, self._fetched.get(_key(moment), 0), self.begun))


def missing(copier: Copier) -> Iterator[tuple[int, list[int]]]:
    """Yield each page that differs, and the numbers of the stores that are not in the copy."""
    for page in copier.differing:
        here = slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)
        words = copier.source[here].cast("Q")
        with memoryview(copier.copy)[here] as other:
            copied = other.cast("Q")
            yield page, [n for n, there in zip(words, copied, strict=True) if n != there]


@contextmanager
def _stage(how: How, context: Context, pages: int, backend: Backend | None) -> Iterator[Stage]:
    with KvmVm(backend=backend) as vm, ExitStack() as later:
        copier = Copier(vm, how, Place(GPA, HVA, pages))
        copier.start()
        region = (1, 0, GPA, copier.size_bytes, HVA)
        switch = standins.standin(
            standins.How.PROTECT_READ, vm, standins.Place(region, other_hva=0)
        )
        later.callback(switch.close)
        cpu = vm.guest()
        code, at = stores.program(pages), guest.LOOP - guest.BASE
        cpu.memory[at : at + len(code)] = code
        words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * stores.WORDS].cast("Q")
        words[Word.LIMIT] = pages
        regs = stores.regs(copier.guest_gpa, PAUSE)
        running = later.enter_context(attended(cpu, regs, context))
        later.enter_context(apart(running.thread_id))
        yield Stage(copier, running, words, switch)


def _key(moment: Moment) -> tuple[int, int]:
    """Return which pages a moment is about; the slot that has them may change."""
    assert moment.part is not None
    return moment.part.first, moment.part.pages
