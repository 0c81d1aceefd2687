"""Stepping through a model by hand: what could run here, and what keeps the others from running."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import trees
from .model import Model
from .paths import Path, Read
from .program import Program
from .replay import trace_of
from .trace import Trace, elements, pick, source_line


@dataclass(frozen=True)
class Option:
    """A micro-step that is possible: whose, which of its outcomes, and what it would be."""

    actor: str
    label: str
    where: str
    choice: int
    actor_index: int


@dataclass(frozen=True)
class BlockedActor:
    """An actor that cannot step: the condition that it waits for, and what it read to decide.

    An actor that has returned has the condition ``returned``.
    """

    actor: str
    condition: str
    where: str
    reads: Mapping[str, Any]


class Walk:
    """A run that is made one micro-step at a time, and can be taken back.

    >>> from memslotlib.check.examples import peterson
    >>> walk = Walk(peterson())
    >>> [option.label for option in walk.options]
    ['want', 'want']
    >>> for _ in range(3):
    ...     walk.take(0, 0)
    >>> walk.values["inside[0]"]
    True
    >>> walk.take(1, 0), walk.take(1, 0), walk.take(1, 0)
    Traceback (most recent call last):
    memslotlib.check.errors.CheckError: step 6: thread1 has no outcome 0 in state \
wants=[True True] inside=[True False] turn=0; possible are 0.0 (thread0)
    """

    def __init__(self, model: Model | Program) -> None:
        self.program = model if isinstance(model, Program) else Program(model)
        self.moves: list[tuple[int, int]] = []

    @property
    def values(self) -> dict[str, Any]:
        """The value of every element of every variable, now."""
        return self.program.retried(lambda: elements(self.program, self._state()))

    @property
    def options(self) -> list[Option]:
        """What could run now, actor by actor."""
        return self.program.retried(self._options)

    def _options(self) -> list[Option]:
        found = []
        for one in self.program.successors(self._state()):
            where, text = source_line(one.path)
            label = str(one.path.label) if one.path.label is not None else text
            name = self.program.model.actor_names[one.actor]
            found.append(Option(name, label, where, one.choice, one.actor))
        return found

    @property
    def blocked(self) -> list[BlockedActor]:
        """What cannot run now, and why: one entry for each condition that is false."""
        return self.program.retried(self._all_blocked)

    def _all_blocked(self) -> list[BlockedActor]:
        found, state = [], self._state()
        for actor, name in enumerate(self.program.model.actor_names):
            paths = self.program.outcomes(actor, state)
            if all(path.kind != trees.LEAF for path in paths):
                found += [self._blocked(actor, name, path) for path in paths]
        return found

    def take(self, actor_index: int, choice: int = 0) -> None:
        """Make a step; CheckError says what is possible when this one is not."""
        number = len(self.moves) + 1
        self.program.retried(lambda: pick(self.program, self._state(), actor_index, choice, number))
        self.moves.append((actor_index, choice))

    def back(self) -> None:
        """Take the last step back; nothing happens at the beginning."""
        if self.moves:
            self.moves.pop()

    def trace(self) -> Trace:
        """Return the run so far, with its replay string."""
        return trace_of(self.program, self.moves, "", False)

    def _state(self) -> int:
        """Return the packed state after the moves; made anew, since packing may change."""
        state = self.program.initial
        for number, (actor, choice) in enumerate(self.moves, 1):
            chosen = pick(self.program, state, actor, choice, number)
            state = state if chosen.path.stops else chosen.state
        return state

    def _blocked(self, actor: int, name: str, path: Path) -> BlockedActor:
        swap, names = self.program.cells_of(actor), self.program.model.element_names
        values = self.values
        read = dict.fromkeys(names[swap[one.cell]] for one in path.log if isinstance(one, Read))
        if not path.lines:
            return BlockedActor(name, "returned", "", {})
        # The wait is the last thing that the path did.
        where, text = source_line(path._replace(first=len(path.lines) - 1))
        return BlockedActor(name, text, where, {element: values[element] for element in read})
