"""What is timed: each ioctl that changes a slot, and the one that changes nothing.

Times are taken around ``KvmVm``'s own call; what that adds to the ioctl is measured too
(:func:`.alone.measure_harness`). A VM that no vCPU runs in needs no memory behind its slots: KVM
looks at addresses alone until somebody accesses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns

from ..host import KvmVm
from ..host.backend import Backend, Region
from ..host.standins import zap_own
from ..uapi import PAGE_SIZE, Cap, MemFlag, Quirk

#: Which translations a slot that goes takes along: all with KVM_X86_QUIRK_SLOT_ZAP_ALL.
ZAPS = ("all", "own")

NO_OP, FLAGS, MOVE, DELETE, CREATE = "no-op", "flags", "move", "delete", "create"
#: The ioctls that are told apart; FLAGS starts to log.
OPERATIONS = (NO_OP, FLAGS, MOVE, DELETE, CREATE)
#: Likewise, but of a slot that logs; and what only undoes another one.
CREATE_LOGGED, DELETE_LOGGED = "create, logged", "delete, logged"
FLAGS_OFF, MOVE_BACK = "flags off", "move back"


@dataclass(frozen=True, slots=True)
class Place:
    """A slot under test: where it is at rest, and ``aside``, where it is moved to and back from."""

    slot: int
    gpa: int
    size_bytes: int
    hva: int
    aside: int

    @property
    def rest(self) -> Region:
        """The slot as it is between turns."""
        return self.slot, 0, self.gpa, self.size_bytes, self.hva

    @property
    def logged(self) -> Region:
        """The same slot, which logs dirty pages."""
        return self.slot, MemFlag.LOG_DIRTY_PAGES, self.gpa, self.size_bytes, self.hva

    @property
    def moved(self) -> Region:
        """The same slot elsewhere."""
        return self.slot, 0, self.aside, self.size_bytes, self.hva

    @property
    def gone(self) -> Region:
        """The slot, deleted."""
        return self.slot, 0, 0, 0, 0

    def steps(self, operation: str) -> Iterator[tuple[str, Region]]:
        """Yield an operation and what undoes it, each with what it is called.

        DELETE and CREATE are one another's.
        """
        if operation == NO_OP:
            yield NO_OP, self.rest
        elif operation == FLAGS:
            yield from ((FLAGS, self.logged), (FLAGS_OFF, self.rest))
        elif operation == MOVE:
            yield from ((MOVE, self.moved), (MOVE_BACK, self.rest))
        else:
            yield from ((DELETE, self.gone), (CREATE, self.rest))

    @property
    def cycle(self) -> Iterator[tuple[str, Region]]:
        """Every operation once, those of a slot that logs among them; the slot is at rest again."""
        for operation in (NO_OP, FLAGS, MOVE):
            yield from self.steps(operation)
        yield DELETE, self.gone
        yield CREATE_LOGGED, self.logged
        yield DELETE_LOGGED, self.gone
        yield CREATE, self.rest


def timed(vm: KvmVm, region: Region) -> int:
    """Make one ioctl; return how many nanoseconds it took."""
    begin = perf_counter_ns()
    vm.set_user_memory_region(*region)
    return perf_counter_ns() - begin


def cycle(vm: KvmVm, place: Place) -> dict[str, int]:
    """Make a place's cycle twice; return how long each ioctl of the second one took.

    The first finds the caches as another contender has left them, and translations to zap that a
    vCPU has made since.
    """
    for _, region in place.cycle:
        vm.set_user_memory_region(*region)
    return {name: timed(vm, region) for name, region in place.cycle}


@contextmanager
def a_vm(zap: str = "all", backend: Backend | None = None) -> Iterator[KvmVm]:
    """Open a VM whose slots, when they go, take ``all`` translations along or their ``own``.

    Raises NotRunError without a usable KVM, or where the kernel knows no other way than ``all``.
    """
    with KvmVm(backend=backend) as vm:
        if zap == "own":
            zap_own(vm)
        yield vm


def zaps_here() -> tuple[str, ...]:
    """Return the ways of zapping that this host's kernel has; NotRunError without a usable KVM."""
    with KvmVm() as vm:
        known = vm.check_extension(Cap.DISABLE_QUIRKS2) & Quirk.SLOT_ZAP_ALL
    return ZAPS if known else ZAPS[:1]


def pages(number: int) -> int:
    """Return the size of so many pages, in bytes."""
    return number * PAGE_SIZE
