"""One actor at a time: what an exploration interleaves, run in one order that the caller chooses.

The steps are those that an exploration takes. Where nothing is interleaved, an update is an ioctl
and an access is an exit, and the answers have to be those of :class:`memslotlib.abi.SimVm`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ..check import Actor, CheckError, Model, Symmetric
from ..check.kinds import Member
from ..check.model import Instance, Sort
from ..check.shared import Blocked, view
from ..check.stepping import LocalState, Stepper
from .kernel import publish
from .mmu import interrupt
from .model import model, updater
from .notifier import backing
from .slots import Contents, Slot
from .vcpu import guest_access, kvm_access, lookup
from .world import Access, World

#: No access takes so many steps unless it is retried for ever.
STEPS_MAX = 1000


@dataclass(frozen=True, eq=False)
class Ordered(World):
    """A world all of whose programs run, one after the other."""

    @cached_property
    def contents(self) -> tuple[tuple[Contents, ...], ...]:
        """What each address space's sets come to hold, the initial contents first."""
        before = sorted(self.change.before, key=str)
        found = [[Contents(s for s in before if s.as_id == as_id)] for as_id in self.spaces]
        sets = [[one, one] for (one,) in found]
        active = [0 for _ in self.spaces]
        for op in (op for program in self.programs for op in program):
            for edit in op.edits:
                as_id, inactive = edit.as_id, 1 - active[edit.as_id]
                sets[as_id][inactive] = sets[as_id][inactive].edited(edit)
                found[as_id].append(sets[as_id][inactive])
            if op.step is publish:
                active[op.arguments[0]] ^= 1
        return tuple(tuple(dict.fromkeys(one)) for one in found)


class Outcome(NamedTuple):
    """What an access came to: ``memory`` and which page, ``hole`` or ``readonly``."""

    reason: str
    page: str = ""


class Sequential:
    """The state of a world and its actors, each of which steps when it is told to.

    A vCPU stays in the guest between its accesses, with whatever it has in its TLB; it leaves when
    an update waits for that, by one of the ``interrupts``.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._made = model(world)
        self._port = _Port(self._made)
        self.m: Any = view(self._made, self._port)
        self._stepper = Stepper(self._made, self.m)
        self.interrupts = [self.start(interrupt, v) for v in world.cpu]

    @property
    def failed(self) -> list[str]:
        """The properties that steps broke, in their order."""
        nevers = {one.name for one in self._made.of_sort(Sort.NEVER)}
        return [name for name in self._port.marks if name in nevers]

    def start(self, function: Callable[..., Any], *arguments: Any) -> Running:
        """Return an actor that has not stepped yet; it gets the shared state, then these."""
        instance = Instance(Actor(function, *arguments))
        return Running(self._stepper, self._port, self._stepper.start(instance)[0])

    def update(self, number: int = 0) -> Running:
        """Return the updater at the beginning of one of the world's programs."""
        self._port.chosen = number
        return self.start(updater, self.world)

    def accessing(self, access: Access, cpu: int = 0) -> Running:
        """Return a vCPU at the beginning of an access."""
        return self.start(_access, self.world.cpu[cpu], self.world, access)

    def run(self, actor: Running) -> list[str]:
        """Step an actor until it is over; interrupts arrive when it waits. Return its labels.

        Raises CheckError where it would wait, or be retried, for ever.
        """
        labels = []
        while not actor.is_over:
            if actor.step():
                labels.append(actor.label)
            elif not any(ipi.step() for ipi in self.interrupts):
                raise CheckError(f"waits for ever after {', '.join(labels[-3:]) or 'no step'}")
            if len(labels) > STEPS_MAX:
                raise CheckError(f"over {STEPS_MAX} steps, the last ones {', '.join(labels[-3:])}")
        return labels

    def access(self, access: Access, cpu: int = 0) -> Outcome:
        """Make an access and return what it came to."""
        reached = len(self._port.marks)
        self.run(self.accessing(access, cpu))
        v, frame = self.world.cpu[cpu], self.world.at(access.as_id, access.gfn)
        slot = lookup(self.m, access.as_id, access.gfn)
        if "an access gets to memory" in self._port.marks[reached:]:
            if access.via == "guest":
                return Outcome("memory", self.m.tlb[v, frame].page)
            assert slot is not None
            return Outcome("memory", backing(self.m, self.world, access, slot.hva))
        is_there = slot is not None and not slot.is_invalid
        return Outcome("readonly" if is_there else "hole")

    def dirty(self, slot: Slot) -> frozenset[int]:
        """Return the frames whose bits are set in a slot's dirty bitmap."""
        return frozenset(
            gfn for gfn in slot.gfns if slot.log and self.m.bitmap[self.world.bit(slot, gfn)]
        )


class Running:
    """An actor on its way; ``label`` is what its last step said."""

    def __init__(self, stepper: Stepper, port: _Port, local: LocalState) -> None:
        self._stepper, self._port, self._local = stepper, port, local
        self.label = ""

    @property
    def is_over(self) -> bool:
        """Whether it has returned."""
        return not self._local

    def step(self) -> bool:
        """Make one micro-step; False, and nothing has changed, where it waits or has returned."""
        if self.is_over:
            return False
        before = list(self._port.codes)
        try:
            self._local, label = self._stepper.step(self._local)
        except Blocked:
            self._port.codes[:] = before
            return False
        self.label = "" if label is None else str(label)
        return True

    def labels(self) -> Iterator[str]:
        """Step until it waits or is over; yield what each step says, after it, if anything."""
        while self.step():
            if self.label:
                yield self.label


class _Port:
    """What is behind the shared state: its codes, the marks of steps, the choice to be made."""

    def __init__(self, made: Model) -> None:
        self.codes = [cell.init for cell in made.cells]
        self.marks: list[str] = []
        self.chosen = 0
        self.own: Member | None = None

    def read(self, cell: int) -> int:
        return self.codes[cell]

    def write(self, cell: int, code: int) -> None:
        self.codes[cell] = code

    def choose(self, count: int, of: Symmetric | None) -> int:
        return self.chosen

    def mark(self, name: str, message: str, stop: bool) -> None:
        self.marks.append(name)


def _access(m: Any, v: Any, w: World, access: Access) -> Iterator[Any]:
    """Make one access, as a vCPU of an exploration makes each of its."""
    if access.via == "guest":
        yield from guest_access(m, w, v, access)
    else:
        yield from kvm_access(m, w, v, access)
