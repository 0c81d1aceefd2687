"""Litmus tests: one scenario, small enough to read, that a model and a real kernel both answer.

A test says what a vCPU does, and for each API how the memslots change meanwhile, one ioctl a step.
The layouts before and after both map the accessed GPA. A property says what the access may come to,
at whatever moment it is made. What runs a test is a :class:`Runner`; the caller chooses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from .errors import MemslotError
from .interface import FETCH_STUB, Access, Context, Exit, Vm
from .uapi import PAGE_SIZE, MemFlag
from .verdict import Verdict

#: The slot, the range and the backing that every test here is about.
SLOT = 1
GPA = 0x1000_0000
HVA = 0x2000_0000_0000
SIZE_BYTES = 4 * PAGE_SIZE
#: The page that the vCPU accesses: inside the range before and after every update, a move by one
#: page included.
TARGET = GPA + 2 * PAGE_SIZE
#: Another page inside the range before and after, which nothing has accessed yet.
UNTOUCHED = TARGET + PAGE_SIZE
#: What every page starts with: a load finds it, a store leaves it, a fetch executes it. A guest
#: that fetches without end finds a return there instead.
CONTENT = FETCH_STUB * 4


class UnknownLitmusError(MemslotError, KeyError):
    """No such litmus test, or it does not know the API; the text lists what there is."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Step:
    """One KVM_SET_USER_MEMORY_REGION call of an update, with the name that traces print."""

    name: str
    slot: int = SLOT
    flags: int = 0
    gpa: int = GPA
    size_bytes: int = SIZE_BYTES
    hva: int = HVA

    @property
    def region(self) -> tuple[int, int, int, int, int]:
        """The arguments of the call."""
        return self.slot, self.flags, self.gpa, self.size_bytes, self.hva

    def apply(self, vm: Vm) -> None:
        """Make the call."""
        vm.set_user_memory_region(*self.region)


CREATE = Step("CREATE")
DELETE = Step("DELETE", gpa=0, size_bytes=0, hva=0)

#: How each API changes the slot: the ioctls in order, starting from :data:`CREATE`'s slot. A move
#: shifts the range up a page: the target stays mapped, though by another page of the backing.
#: "none" sets the slot to what it is, which KVM answers without touching it: no claim is about it,
#: but whatever measures the others must find nothing in it.
UPDATES: Mapping[str, tuple[Step, ...]] = {
    "today": (DELETE, CREATE),
    "move": (Step("MOVE", gpa=GPA + PAGE_SIZE),),
    "flags": (Step("FLAGS", flags=int(MemFlag.LOG_DIRTY_PAGES)),),
    "none": (Step("NONE"),),
}


@dataclass(frozen=True, slots=True)
class Litmus:
    """A scenario: what the vCPU does while the slot under it is updated."""

    name: str
    access: Access
    apis: tuple[str, ...] = tuple(UPDATES)

    def update(self, api: str) -> tuple[Step, ...]:
        """Return the ioctls by which ``api`` updates the slot.

        >>> [step.name for step in get("delete-create+fetch").update("today")]
        ['DELETE', 'CREATE']
        >>> get("delete-create+fetch").update("batch")
        Traceback (most recent call last):
        memslotlib.litmus.UnknownLitmusError: delete-create+fetch: no API 'batch'; \
it knows today, move, flags, none
        """
        if api not in self.apis:
            known = ", ".join(self.apis)
            raise UnknownLitmusError(f"{self.name}: no API {api!r}; it knows {known}")
        return UPDATES[api]


TESTS: Mapping[str, Litmus] = {
    test.name: test
    for test in (Litmus(f"delete-create+{access.value}", access) for access in Access)
}


def get(name: str) -> Litmus:
    """Return the litmus test of this name; UnknownLitmusError lists the names there are."""
    if name not in TESTS:
        raise UnknownLitmusError(f"no litmus test {name!r}; there are {', '.join(TESTS)}")
    return TESTS[name]


class Property(Enum):
    """What an access may come to; the value is the claim file's word for it."""

    #: Memory answers, nothing else happens.
    SERVED = "served"
    #: Memory answers, or userspace is told; the guest itself takes no fault for it.
    REPORTED = "reported"

    def allows(self, reason: str) -> bool:
        """Tell whether the property bears with an access that came to this exit."""
        if self is Property.SERVED:
            return reason == "done"
        return reason != "shutdown"


@dataclass(frozen=True, slots=True)
class Run:
    """One litmus test, run once by one runner: the verdict and what the vCPU met.

    ``exits`` counts the ways in which the property was broken, by exit reason; ``samples`` is what
    was measured on the way, one entry an update.
    """

    litmus: str
    keeps: Property
    api: str
    context: Context
    verdict: Verdict
    exits: Mapping[str, int]
    samples: Mapping[str, Sequence[int]] = field(default_factory=dict)


class Runner(Protocol):
    """Whatever can run a litmus test: a model, this host, a kernel in the lab."""

    def run(self, litmus: Litmus, keeps: Property, api: str, context: Context) -> Run:
        """Run it and say what came out; never raise because something was missing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the access came to when it was made after ``after`` (the update's steps so far)."""

    after: tuple[str, ...]
    exit: Exit

    @property
    def line(self) -> str:
        """One line of a trace."""
        return f"{' '.join(self.after) or 'before'}: {self.exit.reason}"


@dataclass(frozen=True, slots=True)
class BoundaryRunner:
    """Makes the access between any two ioctls, once each: every interleaving of whole ioctls.

    On the simulator this exhausts the sequential contract and so speaks the model's words. It can
    say nothing of what happens *inside* an ioctl: an API of one step is UNDETERMINED, never HOLDS.
    """

    make_vm: Callable[[], AbstractContextManager[Vm]]

    def outcomes(self, litmus: Litmus, api: str, context: Context) -> list[Outcome]:
        """Return what the access comes to at each boundary of the update, in order."""
        steps = litmus.update(api)
        return [self._outcome(litmus, steps[:n], context) for n in range(len(steps) + 1)]

    def run(self, litmus: Litmus, keeps: Property, api: str, context: Context) -> Run:
        """Judge the outcomes at all boundaries."""
        outcomes = self.outcomes(litmus, api, context)
        broken = [one for one in outcomes if not keeps.allows(one.exit.reason)]
        bound = f"one access at each of {len(outcomes)} ioctl boundaries"
        if broken:
            verdict = Verdict.violated(
                tuple(one.line for one in outcomes), bound=bound, states=len(outcomes)
            )
        else:
            verdict = Verdict.undetermined(bound + "; not inside the ioctl", states=len(outcomes))
        exits = Counter(one.exit.reason for one in broken)
        return Run(litmus.name, keeps, api, context, verdict, exits)

    def _outcome(self, litmus: Litmus, steps: tuple[Step, ...], context: Context) -> Outcome:
        with self.make_vm() as vm:
            # The same bytes in every page, because a move changes which of them answers.
            for page in range(0, SIZE_BYTES, PAGE_SIZE):
                vm.memory(HVA + page, len(CONTENT))[:] = CONTENT
            CREATE.apply(vm)
            for step in steps:
                step.apply(vm)
            exit_ = _accessed(vm, litmus.access, context)
        return Outcome(tuple(step.name for step in steps), exit_)


def _accessed(vm: Vm, access: Access, context: Context) -> Exit:
    if access is Access.LOAD:
        return vm.read(TARGET, len(CONTENT), context=context)
    if access is Access.STORE:
        return vm.write(TARGET, CONTENT, context=context)
    return vm.fetch(TARGET, context=context)
