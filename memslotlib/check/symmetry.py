"""Whether members that are declared interchangeable are.

Opaque members cannot be told apart one by one, but a loop over all of them can still favour the
first. So a sample of the states that are explored is held against the same states with two members
exchanged: what can happen next has to be the same, up to exchanging them.
"""

from __future__ import annotations

from collections import Counter

from .errors import ModelError
from .forward import moves, waits
from .kinds import Symmetric
from .program import Program


def check_symmetry(program: Program, state: int) -> None:
    """Raise ModelError when exchanging two neighbours changes what can happen in ``state``."""
    expected = None
    for of, _ in program.packing.by_set:
        for member in range(1, of.size):
            expected = expected or _behaviour(program, state)
            other = program.packing.swapped(state, of, member - 1, member)
            if _behaviour(program, other) != expected:
                raise asymmetric(program, state, of, member)


def asymmetric(program: Program, state: int, of: Symmetric, member: int) -> ModelError:
    """Return the error that says that a member and the one before it are told apart."""
    return ModelError(
        f"members {of[member - 1]} and {of[member]} of {of.name} are told apart: exchanging them "
        "changes what can happen",
        state=program.said(state),
    )


def _behaviour(program: Program, state: int) -> tuple[object, ...]:
    canonical = program.packing.canonical
    steps = Counter((canonical(after), marks) for _, _, after, marks in moves(program, state))
    truths = [program.holds(number, state) for number in range(len(program.events))]
    return steps, truths, waits(program, state)
