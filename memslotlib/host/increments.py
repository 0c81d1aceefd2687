"""Two vCPUs that count together, with a locked instruction, while the counter's slot is updated.

Each counts its own increments in a word of its own, after each; the counter itself is in the slot.
What is missing in the end was lost. Stray exits are served from the memory, as a VMM would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum

from ..interface import Context
from ..uapi import PAGE_SIZE
from . import guest, loops
from .arena import WAIT_LIMIT_S, NoProgressError
from .attended import Attended, attended
from .backend import Backend
from .cpus import spread
from .pausing import pause, resume
from .vm import KvmVm

SLOT, GPA, HVA = 1, 0x1000_0000, 0x2000_0000_0000
SIZE_BYTES = PAGE_SIZE
VCPUS = 2
#: Shared words of one vCPU: how many increments it has made, and how many it may.
WORDS = 2
_MADE, _LIMIT = 0, 1
#: How long the updater waits between two updates.
UPDATE_S = 0.0003
#: Updates that a run needs to say something.
UPDATES_MIN = 5
_REGION = (SLOT, 0, GPA, SIZE_BYTES, HVA)
_DELETE = (SLOT, 0, 0, 0, 0)


class How(Enum):
    """What happens to the slot meanwhile; the value names it in records and claims."""

    NONE = "none"
    #: Deleted, and created as it was.
    TODAY = "today"
    #: The same while no vCPU runs.
    PAUSE = "pause"
    #: The slot stays; the same pages are mapped again over its host address.
    MMAP = "mmap"
    MREMAP = "mremap"
    #: Nothing happens, and the increments are not locked: a control.
    UNLOCKED = "unlocked"


@dataclass(frozen=True, slots=True)
class Run:
    """One run: increments made, increments missing, updates meanwhile, exits that were served."""

    made: int
    lost: int
    updates: int
    served: int
    duration_ns: int
    needs_updates: bool

    @property
    def overlapped(self) -> bool:
        """Whether there were enough updates while both vCPUs counted."""
        return self.updates >= UPDATES_MIN or not self.needs_updates

    @property
    def row(self) -> dict[str, int]:
        """The counts by name, as a record keeps them."""
        names = ("made", "lost", "updates", "served", "duration_ns")
        return {name: getattr(self, name) for name in names}


def program(*, locked: bool) -> bytes:
    """Return the program: add one to what rbx points to, until as many were made as allowed.

    It starts with rsi at the vCPU's own words.
    """
    return loops.assembled(
        [
            "begin:",
            f"48 3b 46 {8 * _LIMIT:02x}",  # cmp LIMIT(%rsi), %rax
            "73 -> begin",  #                jae begin
            f"{'f0 ' * locked}48 ff 03",  #  lock incq (%rbx)
            "48 ff c0",  #                   inc %rax
            f"48 89 46 {8 * _MADE:02x}",  #  mov %rax, MADE(%rsi)
            "eb -> begin",  #                jmp begin
        ]
    )


def count(how: How, increments: int, *, backend: Backend | None = None) -> Run:
    """Let each vCPU make so many increments, update meanwhile, and compare.

    Raises NotRunError without a usable KVM, ``arena.NoProgressError`` when the guest does not get
    on, ``arena.UnclaimedError`` when it stops by itself.
    """
    begin = time.monotonic_ns()
    with KvmVm(backend=backend) as vm, ExitStack() as later:
        counter = vm.memory(HVA, SIZE_BYTES).cast("Q")
        vm.set_user_memory_region(*_REGION)
        cpus = later.enter_context(_counting(vm, increments, locked=how is not How.UNLOCKED))
        update = _update(how, vm, [one for one, _ in cpus])
        updates = _updated(cpus, increments, update)
        made = sum(int(words[_MADE]) for _, words in cpus)
        served = sum(one.exits for one, _ in cpus)
        lost = made - int(counter[0])
        needs_updates = how not in (How.NONE, How.UNLOCKED)
        return Run(made, lost, updates, served, time.monotonic_ns() - begin, needs_updates)


def _updated(
    cpus: Sequence[tuple[Attended, memoryview]], increments: int, update: Callable[[], None]
) -> int:
    """Update until all have counted; return how many updates were over before one had."""
    updates, deadline = 0, time.monotonic() + WAIT_LIMIT_S * VCPUS
    while any(words[_MADE] < increments for _, words in cpus):
        for one, _ in cpus:
            one.check()
        if time.monotonic() > deadline:
            raise NoProgressError(f"not {increments} increments after {updates} updates")
        time.sleep(UPDATE_S)
        update()
        updates += all(words[_MADE] < increments for _, words in cpus)
    return updates


def _update(how: How, vm: KvmVm, cpus: list[Attended]) -> Callable[[], None]:
    def recreate() -> None:
        vm.set_user_memory_region(*_DELETE)
        vm.set_user_memory_region(*_REGION)

    def paused() -> None:
        pause(cpus)
        recreate()
        resume(cpus)

    updates: dict[How, Callable[[], None]] = {
        How.TODAY: recreate,
        How.PAUSE: paused,
        How.MMAP: lambda: vm.remap(HVA, SIZE_BYTES, HVA),
        How.MREMAP: lambda: vm.remap(HVA, SIZE_BYTES, HVA, by_move=True),
    }
    return updates.get(how, lambda: None)


@contextmanager
def _counting(
    vm: KvmVm, increments: int, *, locked: bool
) -> Iterator[list[tuple[Attended, memoryview]]]:
    """Let the vCPUs count, all at once, each with its shared words."""
    first = vm.guest()
    code, at = program(locked=locked), guest.LOOP - guest.BASE
    first.memory[at : at + len(code)] = code
    shared = first.memory[guest.SHARED - guest.BASE :][: VCPUS * 64]
    memory = vm.memory(HVA, SIZE_BYTES)
    with ExitStack() as later:
        made = []
        for number, cpu in enumerate([first, *(vm.another_cpu() for _ in range(VCPUS - 1))]):
            # A cache line each.
            words = shared[64 * number :][: 8 * WORDS].cast("Q")
            regs = guest.regs(guest.LOOP, rbx=GPA, rsi=guest.SHARED + 64 * number)
            running = later.enter_context(attended(cpu, regs, Context.LONG64_CPL3, GPA, memory))
            made.append((running, words))
        spread([running.thread_id for running, _ in made])
        for _, words in made:
            words[_LIMIT] = increments
        yield made
