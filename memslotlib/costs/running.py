"""Times of ioctls while vCPUs run, and what the vCPUs lose by them.

The vCPUs use the pages of one slot; another slot is updated. Between turns they are paused, so that
each contender has the machine to itself. The updater has a CPU of its own where there are two; with
more vCPUs than CPUs are left, the scheduler decides who is measured, and a record says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from time import perf_counter_ns
from typing import Any

from ..host import KvmVm, guest
from ..host.arena import WAIT_LIMIT_S, NoProgressError
from ..host.counters import EXITS, FIXED, Counters
from ..host.cpus import by_itself
from ..host.pausing import Pausable, pause, paused_guests, resume
from ..host.striding import Count, program, regs
from ..interface import Context
from .operations import NO_OP, OPERATIONS, Place, a_vm, cycle, pages, zaps_here
from .rounds import Samples, Turn, by_turns

#: The slot that vCPUs use, and the one beside it that is updated.
USED_GPA, NEIGHBOUR_GPA, NEIGHBOUR_ASIDE = 0x1000_0000, 0x4000_0000, 0x5000_0000
NEIGHBOUR_PAGES = 16
#: Memory of VMs that are open at once: each at addresses of its own.
_HVAS = count(0x2000_0000_0000, 0x1_0000_0000)
#: Which updates a neighbour is put to; NONE is the updater's loop without an ioctl.
NONE, PAIR = "none", "delete-create"
UPDATES = {NONE: "", NO_OP: NO_OP, "flags": "flags", "move": "move", PAIR: "delete"}
#: Each vCPU's words have a cache line of their own.
_LINE_BYTES = 64
#: The access under way, the rest of its round, and one round more.
_ROUNDS_TO_SETTLE = 2


@dataclass(frozen=True)
class Crew:
    """A VM, its vCPUs, which run round their pages unless paused, and the first one's counters."""

    vm: KvmVm
    neighbour: Place
    vcpus: Sequence[Pausable]
    words: Sequence[memoryview]
    counters: Counters | None

    def loads(self) -> int:
        """How many loads all vCPUs have made."""
        return sum(int(words[Count.LOADS]) for words in self.words)

    def settle(self) -> None:
        """Wait until each vCPU has used all of its pages once more."""
        targets = [words[Count.ROUNDS] + _ROUNDS_TO_SETTLE for words in self.words]
        deadline = time.monotonic() + WAIT_LIMIT_S
        for words, target in zip(self.words, targets, strict=True):
            while words[Count.ROUNDS] < target:
                if time.monotonic() > deadline:
                    raise NoProgressError(f"a vCPU made no two rounds in {WAIT_LIMIT_S:g} s")
                time.sleep(0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the vCPUs run, once round their pages first, and pause them in the end."""
        with by_itself([one.thread_id for one in self.vcpus]):
            resume(self.vcpus)
            try:
                self.settle()
                yield
            finally:
                pause(self.vcpus)

    def replace(self) -> None:
        """Delete the neighbour and create it again."""
        self.vm.set_user_memory_region(*self.neighbour.gone)
        self.vm.set_user_memory_region(*self.neighbour.rest)

    def counted(self) -> Mapping[str, int]:
        """Return what KVM has counted of the first vCPU; nothing where it does not count."""
        return self.counters.read() if self.counters else {}


@contextmanager
def crew(vcpus: int, used_pages: int, zap: str = "all", *, counts: bool = False) -> Iterator[Crew]:
    """Open a VM with so many vCPUs, paused, that use so many pages; beside them the neighbour.

    Raises NotRunError without a usable KVM; if it ``counts``, also where KVM does not count faults.
    """
    with a_vm(zap) as vm, ExitStack() as later:
        hva, size = next(_HVAS), pages(used_pages)
        neighbour = Place(1, NEIGHBOUR_GPA, pages(NEIGHBOUR_PAGES), hva + size, NEIGHBOUR_ASIDE)
        vm.memory(hva, size + neighbour.size_bytes)
        vm.set_user_memory_region(0, 0, USED_GPA, size, hva)
        vm.set_user_memory_region(*neighbour.rest)
        counters = None
        programs, words = [], []
        code, at = program(), guest.LOOP - guest.BASE
        for number in range(vcpus):
            cpu = vm.another_cpu() if number else vm.guest()
            cpu.memory[at : at + len(code)] = code
            if counts and not number:
                counters = later.enter_context(Counters(cpu.vcpu, FIXED, EXITS))
            line = guest.SHARED + _LINE_BYTES * number
            words.append(cpu.memory[line - guest.BASE :][: 8 * len(Count)].cast("Q"))
            programs.append((cpu, regs(USED_GPA, size, line)))
        for one in words:
            later.callback(one.release)
        running = later.enter_context(paused_guests(programs, Context.LONG64_CPL3))
        yield Crew(vm, neighbour, running, words, counters)


def measure_vcpus(given: Mapping[str, Any]) -> Samples:
    """Time each operation beside ``vcpus`` vCPUs, ``rounds`` times: while they are out, and run.

    ``loads`` are what the vCPUs got done meanwhile: with 0 there was nobody to be in the way.
    """
    with ExitStack() as later:
        contenders: dict[str, Turn] = {}
        for number in given["vcpus"]:
            made = later.enter_context(crew(number, given["pages"]))
            contenders[f"{number} out"] = partial(_cycle_beside, made, is_running=False)
            contenders[f"{number} running"] = partial(_cycle_beside, made, is_running=True)
        return by_turns(contenders, given["rounds"])


def _cycle_beside(made: Crew, *, is_running: bool) -> dict[str, int]:
    # They have run in either case, so that what is measured begins alike.
    with made.running():
        if not is_running:
            pause(made.vcpus)
        before = made.loads()
        taken = cycle(made.vm, made.neighbour)
        loads = made.loads() - before
        if not is_running:
            resume(made.vcpus)
    return {**taken, "loads": loads}


def measure_pause(given: Mapping[str, Any]) -> Samples:
    """Time delete and create beside ``vcpus`` running vCPUs, ``rounds`` times: plain, and paused.

    Paused, also told apart: until all are out (``kick``), the ioctls (``update``), until all are
    told to go on (``resume``); and how long the vCPU that was out longest was out (``out``).
    """
    with ExitStack() as later:
        contenders: dict[str, Turn] = {}
        for number in given["vcpus"]:
            made = later.enter_context(crew(number, given["pages"]))
            contenders[f"{number} plain"] = partial(_plain, made)
            contenders[f"{number} paused"] = partial(_paused, made)
        return by_turns(contenders, given["rounds"])


def _plain(made: Crew) -> dict[str, int]:
    with made.running():
        begin = perf_counter_ns()
        made.replace()
        return {"ns": perf_counter_ns() - begin}


def _paused(made: Crew) -> dict[str, int]:
    with made.running():
        begin = perf_counter_ns()
        pause(made.vcpus)
        out = perf_counter_ns()
        made.replace()
        updated = perf_counter_ns()
        resume(made.vcpus)
        end = perf_counter_ns()
        made.settle()
        longest = max(one.out_ns for one in made.vcpus)
    parts = {"kick": out - begin, "update": updated - out, "resume": end - updated}
    return {"ns": end - begin, **parts, "out": longest}


def measure_refaults(given: Mapping[str, Any]) -> Samples:
    """Count the faults of a vCPU in one round of its ``pages`` after each operation, ``rounds``.

    ``faults`` are those that KVM ended by mapping a page, ``exits`` all returns from the guest,
    from before the ioctl until the vCPU has been round twice.
    """
    with ExitStack() as later:
        contenders: dict[str, Turn] = {}
        for zap in zaps_here():
            made = later.enter_context(crew(1, given["pages"], zap, counts=True))
            for operation in OPERATIONS:
                contenders[f"{operation} {zap}"] = partial(_refaults, made, operation)
        return by_turns(contenders, given["rounds"])


def _refaults(made: Crew, operation: str) -> dict[str, int]:
    found: dict[str, int] = {}
    with made.running():
        for name, region in made.neighbour.steps(operation):
            before, loads = made.counted(), made.loads()
            made.vm.set_user_memory_region(*region)
            made.settle()
            if name == operation:
                after = made.counted()
                found = {
                    "faults": after[FIXED] - before[FIXED],
                    "exits": after[EXITS] - before[EXITS],
                    "loads": made.loads() - loads,
                }
    return found


def measure_neighbour(given: Mapping[str, Any]) -> Samples:
    """Count what a vCPU gets done in windows of ``window_us`` while its neighbour is updated.

    For each of ``pages`` that it uses, each way of zapping and each of ``intervals_us`` between
    the begin of one update and the next (0: at once), ``rounds`` windows. An update is what
    changes the neighbour and what changes it back. ``cpu_ns`` is the vCPU thread's own time, which
    goes on while KVM works for the vCPU, but not while another process has its CPU.
    """
    with ExitStack() as later:
        contenders: dict[str, Turn] = {}
        for zap in zaps_here():
            for used in given["pages"]:
                made = later.enter_context(crew(1, used, zap, counts=True))
                window = partial(_window, made, given["window_us"] * 1000)
                contenders[f"{NONE} 0 {used} {zap}"] = partial(window, NONE, 0)
                for interval in given["intervals_us"]:
                    for update in UPDATES:
                        if update != NONE:
                            name = f"{update} {interval} {used} {zap}"
                            contenders[name] = partial(window, update, interval * 1000)
        return by_turns(contenders, given["rounds"])


def _window(made: Crew, window_ns: int, update: str, interval_ns: int) -> dict[str, int]:
    steps = () if update == NONE else made.neighbour.steps(UPDATES[update])
    change = _changer(made.vm, [region for _, region in steps])
    with made.running():
        (vcpu,) = made.vcpus
        counted, loads, ran = made.counted(), made.loads(), vcpu.cpu_seconds
        begin = perf_counter_ns()
        updates, due, now = 0, begin, begin
        while now < begin + window_ns:
            if now >= due:
                change()
                updates += 1
                due += interval_ns
            now = perf_counter_ns()
        loads, ran = made.loads() - loads, vcpu.cpu_seconds - ran
        faults = made.counted()[FIXED] - counted[FIXED]
    found = {"loads": loads, "updates": updates, "faults": faults}
    return {**found, "ns": now - begin, "cpu_ns": round(ran * 1e9)}


def _changer(vm: KvmVm, steps: Sequence[tuple[int, int, int, int, int]]) -> Callable[[], None]:
    def change() -> None:
        for region in steps:
            vm.set_user_memory_region(*region)

    return change
