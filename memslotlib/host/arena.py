"""Where races are held: a scenario, and a VM with a guest that accesses its slot without end.

The scenario comes from the litmus test, so that the kernel is asked what the model is asked. Every
exit of the guest is held against it: one that the scenario does not explain ends the run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..errors import MemslotError, NotRunError
from ..interface import Access, Context
from ..uapi import INTERNAL_ERROR_EMULATION, PAGE_SHIFT, PAGE_SIZE, ExitReason
from . import guest, loops
from .backend import Backend, Region
from .counters import Faults
from .cpus import apart
from .loops import Word
from .runner import ExitRecord, Runner
from .vm import KvmVm

#: How long a guest may make no progress, and an updater wait inside the window.
WAIT_LIMIT_S = 5.0
_POLL_S = 20e-6
#: The access under way when the host looked, and one that began after that.
_SETTLED = 2


class NoProgressError(NotRunError):
    """The guest, or the host, did not get on in time: the run says nothing about the kernel."""


class UnclaimedError(MemslotError):
    """The guest met something that the scenario does not explain; the text lists it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What races: an access, and the ioctls that update the slot under it.

    ``create`` is the slot at rest, ``update`` its change, ``undo`` what brings it back from there.
    ``target`` is the address accessed; ``untouched`` one in another page that every layout covers
    too. Each page of the backing starts with ``content``, 8 bytes: what a load finds and a store
    leaves, of which 4 are accessed. A fetch finds a ``ret`` in its place.
    """

    access: Access
    create: Region
    update: tuple[Region, ...]
    undo: tuple[Region, ...]
    target: int
    untouched: int
    content: bytes

    def claims(self, record: ExitRecord, at: int) -> bool:
        """Whether this exit is what the access to ``at`` comes to where no slot answers.

        A load or store: MMIO in its direction, in that page. A fetch: INTERNAL_ERROR with suberror
        1 at that instruction, or the SHUTDOWN of a guest that was given #UD.
        """
        here = record.gpa >> PAGE_SHIFT == at >> PAGE_SHIFT
        if self.access is not Access.FETCH:
            is_write = self.access is Access.STORE
            return here and record.reason is ExitReason.MMIO and record.is_write is is_write
        if record.reason is ExitReason.INTERNAL_ERROR:
            return here and record.suberror == INTERNAL_ERROR_EMULATION
        return record.reason is ExitReason.SHUTDOWN


class Arena:
    """A VM with the scenario's slot, and a guest that runs on it."""

    def __init__(
        self,
        scenario: Scenario,
        vm: KvmVm,
        runner: Runner,
        words: memoryview,
        faults: Faults | None = None,
    ) -> None:
        self.scenario = scenario
        self.vm = vm
        self.faults = faults
        self.runner = runner
        self.words = words
        self._taken = 0
        #: MMIO reads among the exits taken: so many loads found ones.
        self._answered = 0

    @property
    def heartbeat(self) -> int:
        """The guest's own count of its accesses."""
        return int(self.words[Word.HEARTBEAT])

    @property
    def overlapping(self) -> int:
        """The guest's own count of accesses that it proved to lie inside an odd phase."""
        return int(self.words[Word.OVERLAPPING])

    @property
    def met(self) -> bool:
        """Whether the guest has exited since exits were last taken."""
        return self.runner.exits > self._taken

    def apply(self, regions: tuple[Region, ...]) -> None:
        """Make the ioctls, one after the other."""
        for region in regions:
            self.vm.set_user_memory_region(*region)

    def take(self) -> list[ExitRecord]:
        """Return the exits since the last call; UnclaimedError for one that is not explained."""
        records = self.runner.since(self._taken)
        self._taken += len(records)
        self._answered += sum(one.reason is ExitReason.MMIO and not one.is_write for one in records)
        pages = (self.scenario.target, self.scenario.untouched)
        strange = [one for one in records if not any(self.scenario.claims(one, at) for at in pages)]
        if strange:
            told = Counter(one.text for one in strange).items()
            raise UnclaimedError("; ".join(f"{count} times {text}" for text, count in told))
        return records

    def settle(self) -> Mapping[str, int]:
        """Wait until the guest goes on undisturbed; count the exits until then, by reason."""
        self.wait_for_progress()
        exits = Counter(one.name for one in self.take())
        wrong = self.words[Word.WRONG]
        if wrong != self._answered:
            raise UnclaimedError(
                f"the guest loaded something else than the content {wrong} times;"
                f" {self._answered} MMIO exits explain as many"
            )
        return exits

    def wait_for_progress(self) -> None:
        """Wait until the guest has ended the access under way, and one more."""
        target = self.heartbeat + _SETTLED
        if not self.wait(lambda: self.heartbeat >= target):
            raise NoProgressError(
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


@contextmanager
def arena(scenario: Scenario, context: Context, backend: Backend | None = None) -> Iterator[Arena]:
    """Open a VM with the scenario's slot, let a guest run on it undisturbed, stop it.

    Raises NotRunError without a usable KVM; NoProgressError when the guest does not get going.
    """
    fetches = scenario.access is Access.FETCH
    content = loops.called(context) if fetches else scenario.content
    _, _, _, size_bytes, hva = scenario.create
    with KvmVm(backend=backend) as vm:
        memory = vm.memory(hva, size_bytes)
        for at in range(0, size_bytes, PAGE_SIZE):
            memory[at : at + len(content)] = content
        vm.set_user_memory_region(*scenario.create)
        cpu = vm.guest()
        code, at = loops.loop(scenario.access, context), guest.LOOP - guest.BASE
        cpu.memory[at : at + len(code)] = code
        words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * loops.WORDS].cast("Q")
        words[Word.AT] = scenario.target
        with ExitStack() as later:
            faults = Faults.of(cpu.vcpu)
            if faults:
                later.callback(faults.close)
            running = vm.run_in_thread(loops.regs(scenario.content), context)
            later.enter_context(apart(running.thread_id))
            made = Arena(scenario, vm, running, words, faults)
            made.settle()
            yield made
