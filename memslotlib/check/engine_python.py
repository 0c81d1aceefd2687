"""The engine in plain Python: slow, short, and what the others are held against.

It runs wherever Python does, a reader's browser included.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator

from . import space, trees
from .forward import concrete, is_stuck, moves, waits
from .independence import Futures, ample, futures
from .program import OverflowedError, Program
from .space import Bounds, Counts, Edge, Hits, Target
from .symmetry import check_symmetry

#: How many states are expanded between two looks at the clock.
SLICE = 1000
#: What a state takes: its int, its place in the dict and in a level's list.
STATE_BYTES = 32 + 100 + 8


class PythonEngine:
    """Breadth-first search with a dict of packed states."""

    name = "python"

    def __init__(self, program: Program, symmetry: bool, known: Futures | None = None) -> None:
        self.program, self.futures = program, known
        self.symmetry = symmetry and bool(program.packing.chunks)
        self.counts = Counts()
        self._begin()

    def run(self, bounds: Bounds, is_enough: Callable[[Counts], bool] | None = None) -> None:
        """Explore breadth first until done, a bound is reached, or ``is_enough`` says so."""
        until = None if bounds.seconds is None else time.monotonic() + bounds.seconds
        while True:
            try:
                self.counts.ended = self._run(bounds, until, is_enough)
                break
            except OverflowedError:
                self.program.widen()
                if self.futures is not None:
                    self.futures = futures(self.program)
                self._begin()
            except KeyboardInterrupt:
                self.counts.ended = space.INTERRUPTED
                break
        self.counts.levels = [len(states) for states in self.levels]
        self.counts.memory_bytes = self.counts.distinct * STATE_BYTES

    def level(self, number: int) -> Iterable[int]:
        """Return the states of a level, as packed ints."""
        return self.levels[number]

    def towards(self, target: Target) -> list[dict[int, list[Edge]]]:
        """Return, level by level, all states on shortest paths to a target, with their steps."""
        return concrete(self.program, self._marked(target), target, self.symmetry)

    def unreachable(self, predicate: int) -> Iterator[tuple[int, int]]:
        """Return the states from which ``predicate`` can never come true, with their levels."""
        program = self.program
        before: dict[int, list[int]] = {}
        good = []
        for states in self.levels:
            for state in states:
                if program.holds(predicate, state):
                    good.append(state)
                for one in self._steps(state):
                    before.setdefault(one, []).append(state)
        reached = set(good)
        while good:
            for state in before.get(good.pop(), ()):
                if state not in reached:
                    reached.add(state)
                    good.append(state)
        for number, states in enumerate(self.levels):
            yield from ((number, state) for state in states if state not in reached)

    def close(self) -> None:
        """Give the memory back."""
        self.levels.clear()
        self.known.clear()
        self.closed.clear()

    def _begin(self) -> None:
        program = self.program
        initial = program.initial
        if self.symmetry:
            initial = program.packing.canonical(initial)
        self.levels: list[list[int]] = [[initial]]
        self.known = {initial}
        self.closed: set[int] = set()
        self.now = initial
        self.counts = Counts(
            steps=[Hits() for _ in program.model.step_properties],
            predicates=[Hits() for _ in program.model.predicates],
        )

    def _run(
        self, bounds: Bounds, until: float | None, is_enough: Callable[[Counts], bool] | None
    ) -> str:
        most = bounds.states or sys.maxsize
        if bounds.memory_bytes is not None:
            most_by_memory = max(1, bounds.memory_bytes // STATE_BYTES)
        else:
            most_by_memory = sys.maxsize
        while self.levels[-1]:
            depth = len(self.levels) - 1
            if bounds.depth is not None and depth >= bounds.depth:
                return space.DEPTH
            self.levels.append([])
            for number, state in enumerate(self.levels[-2]):
                self._expand(state, depth, self.levels[-1])
                if len(self.known) >= min(most, most_by_memory):
                    return space.STATES if most <= most_by_memory else space.MEMORY
                if number % SLICE == 0 and until is not None and time.monotonic() > until:
                    return space.SECONDS
            if is_enough is not None and is_enough(self.counts):
                return space.STOPPED
        self.levels.pop()
        return space.COMPLETE

    def _expand(self, state: int, depth: int, following: list[int]) -> None:
        program, counts, self.now = self.program, self.counts, state
        canonical = program.packing.canonical if self.symmetry else None
        for number, hits in enumerate(counts.predicates):
            hits.add(depth, int(program.holds(number, state) == program.events[number]))
        if self.symmetry and (counts.expanded < 64 or counts.expanded % 251 == 0):
            check_symmetry(program, state)
        found = []
        if self.futures is not None:
            found = ample(program, self.futures, state, self._is_ahead)
        found = found or moves(program, state)
        counts.expanded += 1
        self.closed.add(state)
        counts.generated += len(found)
        if not found:
            counts.deadlocks.add(depth, int(waits(program, state)))
        for _, _, after, marks in found:
            if marks:
                for number, hits in enumerate(counts.steps):
                    hits.add(depth, marks >> number & 1)
                if marks & trees.STOP:
                    counts.stopped_paths += 1
                    continue
            if canonical is not None:
                after = canonical(after)
            if after not in self.known:
                self.known.add(after)
                following.append(after)

    def _is_ahead(self, state: int) -> bool:
        """Whether a state is still to be expanded, after the one that is now."""
        if self.symmetry:
            state = self.program.packing.canonical(state)
        return state not in self.closed and state != self.now

    def _steps(self, state: int) -> Iterator[int]:
        canonical = self.program.packing.canonical
        for one in self.program.successors(state):
            if not one.path.stops:
                yield canonical(one.state) if self.symmetry else one.state

    def _marked(self, target: Target) -> list[set[int]]:
        """Return, of each level, the states on shortest paths to the target."""
        marked = [
            set(filter(lambda state: self._is_target(target, state), self.levels[target.level]))
        ]
        for number in range(target.level - 1, -1, -1):
            ahead = marked[0]
            marked.insert(
                0, {s for s in self.levels[number] if any(n in ahead for n in self._steps(s))}
            )
        return marked

    def _is_target(self, target: Target, state: int) -> bool:
        program = self.program
        if target.kind == "step":
            return any(
                self.program.marks_of(one.path.marks) >> target.number & 1
                for one in program.successors(state)
            )
        if target.kind == "deadlock":
            return is_stuck(program, state)
        if target.kind == "states":
            return state in target.states
        return program.holds(target.number, state) == program.events[target.number]
