"""What an updater does, as a list of kernel steps: what a chapter prints, and a mutant changes.

A program is straight: what may fail is told by one program for each place where it does, and a
model chooses one of them at its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..check.model import Step
from .slots import Edit

#: Steps that only tell a property something: to leave them out is to ask nothing.
MARKS = ("ioctl_returns", "settle", "settle_rings")


@dataclass(frozen=True)
class Op:
    """One step of an update, with what it is done to."""

    step: Step
    arguments: tuple[Any, ...] = ()

    @property
    def edits(self) -> Iterator[Edit]:
        """The edits of slot sets that the step makes."""
        return (one for one in self.arguments if isinstance(one, Edit))

    def __str__(self) -> str:
        name = self.step.__name__.replace("_", " ")
        return " ".join([name, *map(str, self.arguments)])


@dataclass(frozen=True, eq=False)
class Program:
    """The steps of one update, in order; ``name`` says which, if it is one of several."""

    ops: tuple[Op, ...]
    name: str = ""

    def __iter__(self) -> Iterator[Op]:
        return iter(self.ops)

    def __getitem__(self, number: int) -> Op:
        return self.ops[number]

    def __len__(self) -> int:
        return len(self.ops)

    # A program is kept over steps by a model: it never changes, and is itself alone.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self) >> 4

    def __str__(self) -> str:
        return self.name

    @property
    def text(self) -> str:
        """The program, one numbered step a line."""
        return "\n".join(f"{number:2} {op}" for number, op in enumerate(self.ops, 1))

    def without(self, number: int) -> Program:
        """Return the program with one step left out."""
        ops = self.ops[:number] + self.ops[number + 1 :]
        return Program(ops, f"without {number + 1}: {self.ops[number]}")

    def swapped(self, number: int) -> Program:
        """Return the program with a step and the next one exchanged."""
        one, other = self.ops[number : number + 2]
        ops = (*self.ops[:number], other, one, *self.ops[number + 2 :])
        return Program(ops, f"{number + 2} before {number + 1}: {other}")

    @property
    def mutants(self) -> Iterator[Program]:
        """Every deletion of one step, and every exchange of neighbours that differ.

        But for what is no step of a kernel or a VMM: that the update is over, and the last round.
        """
        steps = [n for n, op in enumerate(self.ops) if op.step.__name__ not in MARKS]
        for number in steps:
            yield self.without(number)
        for number in steps:
            if number + 1 in steps and self.ops[number] != self.ops[number + 1]:
                yield self.swapped(number)
