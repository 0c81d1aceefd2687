"""What an engine is asked and what it answers: the counts of an exploration, level by level."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .independence import Futures
    from .program import Program

#: How a run ended.
COMPLETE = "complete"
STOPPED = "stopped at a violation"
STATES = "states"
MEMORY = "memory"
SECONDS = "seconds"
DEPTH = "depth"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Bounds:
    """Where an exploration gives up: all are optional, and whichever is reached first counts."""

    states: int | None = None
    memory_bytes: int | None = None
    seconds: float | None = None
    depth: int | None = None


@dataclass
class Hits:
    """How often a property's event was met, and in which level first (-1: never)."""

    count: int = 0
    first_level: int = -1

    def add(self, level: int, count: int = 1) -> None:
        """Count events of a level; levels come in order."""
        if count and self.first_level < 0:
            self.first_level = level
        self.count += count


@dataclass
class Counts:
    """What a breadth-first exploration counted.

    ``generated`` counts the initial state and every micro-step out of an expanded state, those
    that come to a known state included. ``levels`` is the number of states first met after so many
    micro-steps; ``expanded`` how many of all states were expanded.
    """

    generated: int = 1
    stopped_paths: int = 0
    expanded: int = 0
    levels: list[int] = field(default_factory=lambda: [1])
    steps: list[Hits] = field(default_factory=list)
    predicates: list[Hits] = field(default_factory=list)
    deadlocks: Hits = field(default_factory=Hits)
    memory_bytes: int = 0
    ended: str = COMPLETE

    @property
    def distinct(self) -> int:
        """How many different states were found."""
        return sum(self.levels)


#: A step on a shortest path: actor, which of its outcomes, and the state after it (None: stopped).
Edge = tuple[int, int, int | None]


@dataclass(frozen=True)
class Target:
    """What a trace should lead to, within which level.

    ``kind`` is ``step`` (a micro-step out of that level with bit ``number`` among its marks),
    ``event`` (a state of that level in which predicate ``number`` is what it should not be),
    ``deadlock`` or ``states`` (one of ``states``, as the engine holds them).
    """

    kind: str
    level: int
    number: int = 0
    states: frozenset[int] = frozenset()

    @property
    def after_steps(self) -> int:
        """How many steps lead there."""
        return self.level + (self.kind == "step")


class Engine(Protocol):
    """An exploration that is under way or done; the states it holds can be asked about."""

    name: str
    program: Program
    symmetry: bool
    futures: Futures | None
    counts: Counts

    def run(self, bounds: Bounds, is_enough: Callable[[Counts], bool] | None = None) -> None:
        """Explore breadth first until done, a bound is reached, or ``is_enough`` says so."""

    def level(self, number: int) -> Iterable[int]:
        """Return the states of a level, as packed ints."""

    def towards(self, target: Target) -> list[dict[int, list[Edge]]]:
        """Return, level by level, all states on shortest paths to a target, with their steps.

        The states are those that the model itself goes through: not representatives.
        """

    def unreachable(self, predicate: int) -> Iterator[tuple[int, int]]:
        """Return the states from which ``predicate`` can never come true, with their levels."""

    def close(self) -> None:
        """Give the memory back."""


MakeEngine = Callable[..., Engine]
