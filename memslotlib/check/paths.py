"""Recording one path of a micro-step: what it reads and chooses, in order, and what it comes to."""

from __future__ import annotations

from typing import Any, NamedTuple

from .errors import ModelError
from .kinds import Member, Symmetric
from .packing import Packing


class Read(NamedTuple):
    """A cell was read and held this code."""

    cell: int
    code: int


class Choice(NamedTuple):
    """One of so many ``options`` was chosen; of the members of a set, if ``of`` is one."""

    options: int
    chosen: int
    of: Symmetric | None

    def made_by(self, member: Member | None) -> int:
        """Return its number where a member makes it in the place of its role's first one."""
        if self.of is None or member is None or member.of is not self.of:
            return self.chosen
        return {0: member.index, member.index: 0}.get(self.chosen, self.chosen)


class Mark(NamedTuple):
    """A step property was broken or reached."""

    name: str
    message: str
    stop: bool


class Path(NamedTuple):
    """One path of a micro-step of a role in one of its local states.

    ``kind`` is a node's kind; ``after`` the number of the next local state. ``lines`` are those
    that ran, ``first`` the index of the one that first touched something shared.
    """

    local: int
    log: tuple[Read | Choice, ...]
    kind: int
    after: int = 0
    writes: tuple[tuple[int, int], ...] = ()
    marks: tuple[Mark, ...] = ()
    label: Any = None
    lines: tuple[tuple[str, int], ...] = ()
    first: int = 0

    @property
    def stops(self) -> bool:
        """Whether the step leads nowhere."""
        return any(mark.stop for mark in self.marks)


class Recorder:
    """The port that notes what a path does, on one packed state, with given first choices."""

    def __init__(self, packing: Packing) -> None:
        self.begin(packing, 0, [], [])

    def begin(
        self, packing: Packing, state: int, chosen: list[int], lines: list[tuple[str, int]]
    ) -> None:
        """Forget the last path; read from ``state``, and choose as ``chosen`` says, then 0."""
        self.offsets, self.masks = packing.offsets, packing.masks
        self.state, self.chosen, self.lines = state, chosen, lines
        self.log: list[Read | Choice] = []
        self.seen: dict[int, int] = {}
        self.written: dict[int, int] = {}
        self.marks: list[Mark] = []
        self.counts: list[int] = []
        self.first = -1
        self.is_predicate = False
        self.own: Member | None = None

    def read(self, cell: int) -> int:
        """Return what the path wrote, or the state's code; only the first read is noted."""
        code = self.seen.get(cell)
        if code is None:
            mask = self.masks[cell]
            code = self.seen[cell] = self.state >> self.offsets[cell] & mask
            self._touched()
            if mask:
                self.log.append(Read(cell, code))
        return code

    def write(self, cell: int, code: int) -> None:
        """Note a write; what is read there from now on is ``code``."""
        self._only_steps("writes")
        self._touched()
        self.seen[cell] = self.written[cell] = code

    def choose(self, count: int, of: Symmetric | None) -> int:
        """Return the next of the given choices, or the first possibility."""
        self._only_steps("chooses")
        self._touched()
        number = len(self.counts)
        chosen = self.chosen[number] if number < len(self.chosen) else 0
        self.counts.append(count)
        if count > 1:
            self.log.append(Choice(count, chosen, of))
        return chosen

    def mark(self, name: str, message: str, stop: bool) -> None:
        """Note that a step property was broken or reached."""
        self._only_steps("fails or reaches")
        self._touched()
        self.marks.append(Mark(name, message, stop))

    def next_choices(self) -> list[int] | None:
        """Return the choices of the path after this one, or None after the last."""
        chosen = (self.chosen + [0] * len(self.counts))[: len(self.counts)]
        while chosen and chosen[-1] + 1 >= self.counts[len(chosen) - 1]:
            chosen.pop()
        return [*chosen[:-1], chosen[-1] + 1] if chosen else None

    def _touched(self) -> None:
        if self.first < 0:
            self.first = max(0, len(self.lines) - 1)

    def _only_steps(self, what: str) -> None:
        if self.is_predicate:
            raise ModelError(f"a predicate {what}: it may only read")
