"""What it costs to switch a stand-in (``host.standins``), beside a DELETE and CREATE of the slot.

Before each switch the guest stores to every page of the slot, so that all of them are mapped; then
it runs on without touching the slot, and so is in nobody's way. The stand-in is switched off and
on, and in the next turn the slot is deleted and created: the two take turns, so that what else the
host does meets both. Absolute times say little of a host that is busy or nested; their ratio within
a run says something.

A switch includes the call from Python: what that costs is what ``How.NOTHING`` costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from ..errors import MemslotError
from ..interface import Context
from ..uapi import PAGE_SIZE
from . import guest, stores
from .arena import WAIT_LIMIT_S, NoProgressError
from .backend import Backend
from .cpus import apart
from .runner import Runner
from .standins import How, Place, Standin, standin
from .stores import Word
from .vm import KvmVm

#: For a stand-in that changes the whole VM, turns are as long as a VM lives.
BLOCKS = 10
#: Turns of the guest's pause between two stores.
_PAUSE = 1
_POLL_S = 20e-6


@dataclass(frozen=True, slots=True)
class Switch:
    """How long it took to switch off and on again."""

    off_ns: int
    on_ns: int


@dataclass(frozen=True)
class CostResult:
    """Switches of a stand-in, and of DELETE and CREATE in turn with them; as many of each."""

    how: How
    context: Context
    pages: int
    switches: tuple[Switch, ...] = field(repr=False)
    pairs: tuple[Switch, ...] = field(repr=False)
    wall_seconds: float
    backend: str


def switchcost(
    place: Place,
    how: How,
    context: Context = Context.LONG64_CPL3,
    rounds: int = 100,
    *,
    backend: Backend | None = None,
) -> CostResult:
    """Time a stand-in for a slot, so many rounds; its pages are a power of two.

    Raises NotRunError without a usable KVM or what the stand-in needs; ``arena.NoProgressError``
    when the guest does not get on in time.
    """
    begin = time.monotonic()
    switches: list[Switch] = []
    pairs: list[Switch] = []
    if how is How.QUIRK_OFF:
        for _ in range(BLOCKS):
            for kind, seen in ((how, switches), (How.TODAY, pairs)):
                with _stage(place, context, backend) as stage:
                    with closing(standin(kind, stage.vm, place)) as one:
                        seen.extend(stage.switch(one) for _ in range(-(-rounds // BLOCKS)))
                    name = stage.vm.backend.name
    else:
        with _stage(place, context, backend) as stage:
            pair = standin(How.TODAY, stage.vm, place)
            with closing(standin(how, stage.vm, place)) as one:
                for _ in range(rounds):
                    switches.append(stage.switch(one))
                    pairs.append(stage.switch(pair))
            name = stage.vm.backend.name
    wall_seconds = time.monotonic() - begin
    pages = place.size_bytes // PAGE_SIZE
    return CostResult(how, context, pages, tuple(switches), tuple(pairs), wall_seconds, name)


@dataclass
class Stage:
    """A guest that stores to a slot when it is allowed to."""

    place: Place
    vm: KvmVm
    runner: Runner
    words: memoryview

    def switch(self, one: Standin) -> Switch:
        """Let the guest store to every page, then time a switch."""
        self.visit()
        begin = time.monotonic_ns()
        one.off()
        off = time.monotonic_ns()
        one.on()
        on = time.monotonic_ns()
        return Switch(off - begin, on - off)

    def visit(self) -> None:
        """Let the guest store to every page once, and wait until it has."""
        last = int(self.words[Word.LIMIT]) + self.place.size_bytes // PAGE_SIZE
        self.words[Word.LIMIT] = last
        deadline = time.monotonic() + WAIT_LIMIT_S
        while self.words[Word.ENDED] < last:
            if self.runner.ended:
                raise MemslotError(f"the vCPU stopped by itself: {self.runner.ended}")
            if time.monotonic() > deadline:
                made = self.words[Word.ENDED]
                raise NoProgressError(f"the guest made {made} of {last} stores in time")
            time.sleep(_POLL_S)


@contextmanager
def _stage(place: Place, context: Context, backend: Backend | None) -> Iterator[Stage]:
    with KvmVm(backend=backend) as vm:
        pages = place.size_bytes // PAGE_SIZE
        for hva in (place.hva, place.other_hva):
            memory = vm.memory(hva, place.size_bytes)
            for page in range(pages):
                # In the file, as memory that a guest has used is.
                memory[page * PAGE_SIZE] = 1
        vm.set_user_memory_region(*place.region)
        cpu = vm.guest()
        code, at = stores.program(pages), guest.LOOP - guest.BASE
        cpu.memory[at : at + len(code)] = code
        words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * stores.WORDS].cast("Q")
        running = vm.run_in_thread(stores.regs(place.region[2], _PAUSE), context)
        with apart(running.thread_id):
            stage = Stage(place, vm, running, words)
            stage.visit()
            yield stage
