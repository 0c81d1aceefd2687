"""What the tests of the history share: explore a model once, and look at a trace's labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from memslotlib.check import Model, Result, Trace, explore
from memslotlib.protocol.program import Program
from memslotlib.verdict import Word


@cache
def explored(make: Callable[[], Model]) -> Result:
    """Explore a bug's model; every test of it sees the same result."""
    return explore(make())


def violated(result: Result) -> set[str]:
    """Return the names of the properties that are violated."""
    return {name for name, one in result.verdicts.items() if one.verdict.word is Word.VIOLATED}


def labels(trace: Trace) -> list[str]:
    """Return the steps of a trace, without the changes."""
    return [f"{one.actor}: {one.label}" for one in trace.steps]


def come_in_order(wanted: list[str], found: list[str]) -> bool:
    """Whether all of ``wanted`` are in ``found``, in that order, with others between them."""
    left = iter(found)
    return all(one in left for one in wanted)


def steps(program: Program) -> list[str]:
    """Return the names of a program's steps."""
    return [op.step.__name__ for op in program]
