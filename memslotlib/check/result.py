"""What an exploration found: a verdict for each property, the counts, coverage, and traces."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..verdict import Verdict, Word
from .coverage import Footprint, Line, coverage, footprints
from .errors import CheckError, nearest
from .model import Property
from .program import Program
from .space import Counts
from .trace import Trace


@dataclass(frozen=True)
class PropertyResult:
    """What became of one property.

    ``hits`` counts its events: violations, or for ``sometimes`` the states or steps that show it.
    ``after_steps`` is after how many micro-steps the first one comes (-1: none came).
    """

    about: Property
    verdict: Verdict
    hits: int
    after_steps: int

    @property
    def is_good(self) -> bool:
        """Whether it holds; an undetermined one is not good."""
        return self.verdict.word is Word.HOLDS


@dataclass(frozen=True)
class Result:
    """An exploration's outcome.

    ``states`` are distinct; ``generated`` counts the initial one and every micro-step, those to
    known states included; ``depth`` is the number of levels, ``levels`` the states of each.
    ``bound`` says what was explored, ``is_complete`` whether that was everything. ``symmetry`` and
    ``partial_order`` tell the reductions under which the states were counted. ``seconds`` is all
    that it took, ``search_seconds`` without taking the actors apart and looking for traces.

    ``coverage`` and ``footprints`` tell of all paths that were run; under symmetry these include
    some at states that differ from explored ones by a permutation.

    A violation of one property hides no other: ``verdicts`` has them all. A model one of whose
    ``sometimes`` never comes true is ``vacuous``, and then nothing is said to hold; so is a
    ``never`` that the text of no step names, and then it is not said to hold.
    """

    model: str
    engine: str
    verdicts: Mapping[str, PropertyResult]
    states: int
    generated: int
    levels: tuple[int, ...]
    bound: str
    is_complete: bool
    symmetry: bool
    partial_order: bool
    vacuous: tuple[str, ...]
    words: int
    bits: int
    memory_bytes: int
    seconds: float
    search_seconds: float
    traces: Mapping[str, Trace] = field(repr=False)
    counts: Counts = field(repr=False)
    program: Program = field(repr=False, compare=False)
    samples: int = 0

    @cached_property
    def coverage(self) -> Mapping[str, tuple[Line, ...]]:
        """The lines of the actors' source, by file, and whether any path ran them."""
        return coverage(self.program)

    @cached_property
    def footprints(self) -> tuple[Footprint, ...]:
        """What each micro-step may read and write."""
        return tuple(footprints(self.program))

    @property
    def digest(self) -> str:
        """Six hexadecimal digits that stand for the model: replay strings begin with them."""
        return self.program.model.digest

    @property
    def depth(self) -> int:
        """The number of levels, the initial state's included."""
        return len(self.levels)

    @property
    def ok(self) -> bool:
        """Whether every property holds, and not for lack of anything happening."""
        return all(one.is_good for one in self.verdicts.values())

    def trace(self, name: str = "") -> Trace:
        """Return the trace of a property: how it breaks, or how a ``sometimes`` comes true.

        Without a name, the shortest trace of all violations. CheckError when there is none.
        """
        if name:
            if name in self.traces:
                return self.traces[name]
            if name in self.verdicts:
                raise CheckError(f"{name}: {self.verdicts[name].verdict.text}, so it has no trace")
            raise CheckError(f"no property {name!r}: {nearest(name, self.verdicts)}")
        broken = [
            self.traces[name]
            for name, one in self.verdicts.items()
            if one.verdict.word is Word.VIOLATED and name in self.traces
        ]
        if not broken:
            raise CheckError(f"{self.model}: no property is violated, so there is no trace")
        return min(broken, key=len)

    @property
    def uncovered(self) -> Iterator[tuple[str, Line]]:
        """The lines that no path ran, with their files: dead code, or a test of nothing."""
        for file, lines in self.coverage.items():
            yield from ((file, line) for line in lines if not line.is_covered)

    @property
    def text(self) -> str:
        """The result in a few lines of at most 72 columns."""
        kind = "sampled" if self.samples else "explored"
        head = f"{self.model}: {self.states:,} states {kind}, {self.generated:,} generated"
        lines = [f"{head}, depth {self.depth}"]
        lines += textwrap.wrap(self.bound, 72, initial_indent="  ", subsequent_indent="  ")
        for name, one in self.verdicts.items():
            after = f" after {one.after_steps} steps" if one.after_steps >= 0 else ""
            lines.append(f"  {one.verdict.text:<13} {one.about.sort.value}: {name}{after}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text


def first_difference(one: Trace, other: Trace) -> tuple[int, str, str] | None:
    """Return where two runs part: the number of the first step that differs, and both lines.

    A run that has ended has the line ``(ended)``. None when they are the same.
    """
    lines = [[step.line for step in trace.steps] + ["(ended)"] for trace in (one, other)]
    for number, (a, b) in enumerate(zip(*lines, strict=False), 1):
        if a != b:
            return number, a, b
    return None


def why(trace: Trace, step: int = 0) -> dict[str, tuple[int, str]]:
    """Return the last writer of everything that a step read: the last step of all, by default.

    Maps each element to the number of the step that wrote it last (0: nobody, it still has its
    initial value) and that step's line.

    Raises CheckError when the trace has no such step.
    """
    number = step or len(trace)
    if not 1 <= number <= len(trace):
        raise CheckError(f"the trace has steps 1 to {len(trace)}, and no step {step}")
    found: dict[str, tuple[int, str]] = {}
    for name in trace.steps[number - 1].reads:
        found[name] = 0, "(initial value)"
        for earlier in range(number - 1, 0, -1):
            if name in trace.steps[earlier - 1].changes:
                found[name] = earlier, trace.steps[earlier - 1].line
                break
    return found
