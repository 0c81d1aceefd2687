"""From marked representatives to the states that the model itself goes through.

Engines mark states as they store them, up to symmetry. A trace needs the real ones, with the steps
between them: they are found forwards, by keeping the successors whose representative is marked.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import trees
from .program import Program
from .space import Edge, Target


def concrete(
    program: Program, marked: Sequence[set[int]], target: Target, symmetry: bool
) -> list[dict[int, list[Edge]]]:
    """Return, level by level, the states on shortest paths to a target, with their steps.

    ``marked`` has, for each level, the states that lie on such a path.
    """
    canonical = program.packing.canonical
    found: list[dict[int, list[Edge]]] = []
    states = [program.initial]
    for number in range(len(marked)):
        edges: dict[int, list[Edge]] = {}
        ahead = marked[number + 1] if number + 1 < len(marked) else None
        for state in states:
            kept: list[Edge] = []
            for actor, choice, after, marks in moves(program, state):
                is_stopped = bool(marks & trees.STOP)
                if ahead is None:
                    if target.kind == "step" and marks >> target.number & 1:
                        kept.append((actor, choice, None if is_stopped else after))
                elif not is_stopped and (canonical(after) if symmetry else after) in ahead:
                    kept.append((actor, choice, after))
            edges[state] = kept
        found.append(edges)
        following = (after for each in edges.values() for *_, after in each)
        states = list(dict.fromkeys(after for after in following if after is not None))
    return found


def moves(program: Program, state: int) -> list[tuple[int, int, int, int]]:
    """Return actor, choice, next state and marks of every micro-step out of ``state``."""
    return [move for actor in range(len(program.roots)) for move in moves_of(program, actor, state)]


def moves_of(program: Program, actor: int, state: int) -> list[tuple[int, int, int, int]]:
    """Return the same for one actor."""
    while True:
        root = program.roots[actor][program.local_of(state, actor)]
        ends = trees.outcomes(program.trees, root, state)
        if program.trees.nodes[ends[-1]] != trees.UNKNOWN:
            break
        program.expand(actor, state)
    words = [program.trees.nodes[end] for end in ends]
    effects = [program.trees.effects[word >> 32] for word in words if word & 0xFF == trees.LEAF]
    return [
        (actor, choice, state & keep | put, marks)
        for choice, (keep, put, marks) in enumerate(effects)
    ]


def is_stuck(program: Program, state: int) -> bool:
    """Tell whether no actor can step in ``state``, and that is a deadlock."""
    return not moves(program, state) and waits(program, state)


def waits(program: Program, state: int) -> bool:
    """Tell whether some actor waits in ``state`` where waiting for ever is a deadlock."""
    return any(
        path.kind == trees.BLOCKED
        for actor in range(len(program.instances))
        for path in program.outcomes(actor, state)
    )
