"""The same calls to two backends, every answer compared: the simulator held against a kernel.

An :class:`Operation` is one call of the :class:`~memslotlib.interface.Vm` interface with all its
arguments, so a run is a list that can be printed, shrunk and replayed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..errors import KvmError, MemslotError, errno_name
from ..interface import FETCH_STUB, Context, Exit, Vm
from ..uapi import PAGE_SIZE

#: The pages that slots are made of, in the guest and behind it.
PAGES = 12
GPA = 0x1000_0000
HVA = 0x2000_0000_0000


@dataclass(frozen=True, slots=True)
class Made:
    """In an argument: the descriptor that the n-th successful create_guest_memfd returned."""

    n: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: the method's name and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()
    context: Context | None = None

    def __str__(self) -> str:
        shown = [hex(a) if isinstance(a, int) else repr(a) for a in self.arguments]
        return f"{self.method}({', '.join(shown)}{f', {self.context}' if self.context else ''})"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call answered: an errno (0 for success) and its value; the rule is not compared."""

    errno: int
    value: object = None
    rule: str = field(default="", compare=False)

    def __str__(self) -> str:
        return errno_name(self.errno) if self.errno else _shown(self.value)


class Player:
    """Makes operations on one VM and remembers the descriptors that they made."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.made: list[int] = []

    def play(self, operation: Operation) -> Answer:
        """Make one call and return what it answered.

        A descriptor's number is the process's affair: a new one is answered by its place among
        those made, 0 for the first.
        """
        try:
            value = self._call(operation, self.resolved(operation))
        except KvmError as error:
            return Answer(error.errno or 0, rule=error.rule)
        if operation.method == "create_guest_memfd":
            self.made.append(value)
            return Answer(0, len(self.made) - 1)
        # A view of memory changes with it; the answer is what the memory held.
        return Answer(0, bytes(value) if isinstance(value, memoryview) else value)

    def resolved(self, operation: Operation) -> list[Any]:
        """Return the arguments with this VM's own descriptors in place."""
        return [self.made[a.n] if isinstance(a, Made) else a for a in operation.arguments]

    def _call(self, operation: Operation, arguments: list[Any]) -> Any:
        if operation.method == "poke":
            hva, data = arguments
            self.vm.memory(hva, len(data))[:] = data
            return None
        keywords = {} if operation.context is None else {"context": operation.context}
        return getattr(self.vm, operation.method)(*arguments, **keywords)


class MismatchError(MemslotError, AssertionError):
    """Two backends disagree; the text holds the calls that lead there, ready to be replayed."""


class Pair:
    """Two backends driven with the same calls; any difference raises :class:`MismatchError`.

    Every return value, errno, exit and dirty bitmap is compared at once; the bytes of all memory by
    :meth:`compare_memory`. ``coverage`` counts what was asked by (method, outcome), and refusals by
    the simulator's rule.
    """

    def __init__(self, simulator: Vm, other: Vm) -> None:
        self.simulator = simulator
        self.other = other
        self._players = Player(simulator), Player(other)
        self.history: list[Operation] = []
        self.coverage: Counter[str] = Counter()
        for vm in (simulator, other):
            vm.memory(HVA, PAGES * PAGE_SIZE)[:] = FETCH_STUB * (PAGES * PAGE_SIZE // 2)

    def step(self, operation: Operation) -> Answer:
        """Make one call on both and compare the answers."""
        self.history.append(operation)
        ours, theirs = (_comparable(operation, one.play(operation)) for one in self._players)
        if ours != theirs:
            self._disagree(f"{operation}: the simulator answers {ours}, the other {theirs}")
        self.coverage[f"{operation.method}: {_outcome(ours)}"] += 1
        if ours.rule:
            self.coverage[f"rule {ours.rule}"] += 1
        return ours

    def compare_memory(self) -> None:
        """Compare every byte of the memory that slots may be backed by."""
        ours = bytes(self.simulator.memory(HVA, PAGES * PAGE_SIZE))
        theirs = bytes(self.other.memory(HVA, PAGES * PAGE_SIZE))
        if ours != theirs:
            first = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
            at = f"hva {HVA + first:#x}: {ours[first]:#04x} and {theirs[first]:#04x}"
            self._disagree(f"memory differs at {at}")

    def _disagree(self, what: str) -> None:
        calls = "\n".join(f"  {number}: {call}" for number, call in enumerate(self.history))
        raise MismatchError(f"{what}\nafter\n{calls}")


def _comparable(operation: Operation, answer: Answer) -> Answer:
    """Return what two VMs must agree on.

    How often a dirty ring names a page depends on when the host happens to map it: of a harvest
    that is its pages, each once, and of a reset that it succeeds.
    """
    if answer.errno == 0 and operation.method == "reset_dirty_rings":
        return Answer(0)
    if isinstance(answer.value, list):
        return Answer(0, list(dict.fromkeys(answer.value)))
    return answer


def _shown(value: object) -> str:
    if value is None:
        return "OK"
    if isinstance(value, bytes):
        return value.hex() or "no bytes"
    return value.text if isinstance(value, Exit) else repr(value)


def _outcome(answer: Answer) -> str:
    if answer.errno:
        return errno_name(answer.errno)
    return getattr(answer.value, "reason", "OK")
