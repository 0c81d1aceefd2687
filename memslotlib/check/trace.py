"""A trace: the micro-steps that lead from the initial state to something, and what each changed."""

from __future__ import annotations

import itertools
import linecache
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import paths as p
from .errors import CheckError
from .program import Program, Successor
from .space import Edge

Elements = dict[str, Any]


@dataclass(frozen=True)
class TraceStep:
    """One micro-step.

    ``label`` is what its ``yield`` said, or else the source line (``text``) that first touched
    something shared. ``reads`` maps what it read to the values, ``changes`` what it changed to
    (before, after), ``failed`` lists the properties that it broke, each with the message.
    ``choice`` counts the actor's possible outcomes in that state.
    """

    actor: str
    label: str
    where: str
    text: str
    choice: int
    reads: Mapping[str, Any]
    changes: Mapping[str, tuple[Any, Any]]
    failed: tuple[tuple[str, str], ...] = ()
    stops: bool = False

    @property
    def line(self) -> str:
        """The step as one line of text."""
        changed = "; ".join(f"{n} {a} -> {b}" for n, (a, b) in self.changes.items())
        failed = "; ".join(f"BREAKS {name}{f': {m}' if m else ''}" for name, m in self.failed)
        return "  ".join(part for part in (self.actor, self.label, changed, failed) if part)


@dataclass(frozen=True)
class Trace:
    """A run of a model from its initial state.

    ``about`` names the property that it shows, ``initial`` the value of every element of every
    variable at the beginning. ``intervals`` tells of each declared interval whether it is on,
    initially and after each step. ``is_shortest`` says that no run is shorter, and that none as
    short has fewer context switches. ``replay`` is all that is needed to run it again: see
    :func:`.replay.replay`.
    """

    model: str
    about: str
    actors: tuple[str, ...]
    initial: Mapping[str, Any]
    steps: tuple[TraceStep, ...]
    replay: str
    is_shortest: bool = True
    intervals: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    program: Program | None = field(default=None, repr=False, compare=False)
    moves: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.steps)

    def __bool__(self) -> bool:
        # A trace without steps is one: the initial state shows everything.
        return True

    @property
    def lines(self) -> tuple[str, ...]:
        """One line of text for each step."""
        width = len(str(len(self.steps)))
        return tuple(f"{n:{width}} {step.line}" for n, step in enumerate(self.steps, 1))

    @property
    def switches(self) -> int:
        """How often another actor goes on."""
        return sum(a.actor != b.actor for a, b in itertools.pairwise(self.steps))

    def values(self, step: int) -> Elements:
        """Return the value of every element after so many steps."""
        found = dict(self.initial)
        for one in self.steps[:step]:
            found.update({name: after for name, (_, after) in one.changes.items()})
        return found

    def __str__(self) -> str:
        return "\n".join(self.lines)


def best_moves(levels: Sequence[Mapping[int, Sequence[Edge]]], start: int) -> list[tuple[int, int]]:
    """Return the path through ``levels`` with the fewest context switches, as (actor, choice).

    Among equals, the one whose actors, then choices, come first in the model.
    """
    costs: list[dict[int, dict[int, int]]] = [{} for _ in range(len(levels) + 1)]

    def cost(number: int, actor: int, after: int | None) -> int | None:
        """Return the switches from a step on, or None where the step leads to no target."""
        if number + 1 == len(levels) or after is None:
            return 0
        if not levels[number + 1].get(after) and number + 2 == len(levels):
            return 0  # The target is that state itself.
        ahead = costs[number + 1].get(after)
        if not ahead:
            return None
        return min(c + (other != actor) for other, c in ahead.items())

    for number in range(len(levels) - 1, -1, -1):
        for state, edges in levels[number].items():
            best: dict[int, int] = {}
            for actor, _, after in edges:
                found = cost(number, actor, after)
                if found is not None and found < best.get(actor, found + 1):
                    best[actor] = found
            costs[number][state] = best
    moves: list[tuple[int, int]] = []
    state, last = start, -1
    for number, edges_of in enumerate(levels):
        options = []
        for actor, choice, after in edges_of.get(state, ()):
            found = cost(number, actor, after)
            if found is not None:
                options.append((found + (last not in (actor, -1)), actor, choice, after))
        if not options:
            break
        _, last, choice, following = min(options, key=lambda one: one[:3])
        moves.append((last, choice))
        if following is None:
            break
        state = following
    return moves


def pick(program: Program, state: int, actor: int, choice: int, number: int) -> Successor:
    """Return one step out of ``state``; CheckError says what else there is when it is not there."""
    names = program.model.actor_names
    options = program.successors(state)
    for one in options:
        if (one.actor, one.choice) == (actor, choice):
            return one
    wanted = names[actor] if actor < len(names) else f"actor {actor}"
    there = ", ".join(f"{one.actor}.{one.choice} ({names[one.actor]})" for one in options)
    raise CheckError(
        f"step {number}: {wanted} has no outcome {choice} in state {program.said(state)}; "
        f"possible are {there or 'no steps at all'}"
    )


def described(
    program: Program,
    state: int,
    chosen: Successor,
    messages: Sequence[tuple[str, str]] | None = None,
) -> TraceStep:
    """Return a step of a trace from a step of the program."""
    path = chosen.path
    where, text = source_line(path)
    before = elements(program, state)
    after = elements(program, chosen.state)
    names = program.model.element_names
    swap = program.cells_of(chosen.actor)
    reads = [names[swap[one.cell]] for one in path.log if isinstance(one, p.Read)]
    if messages is None:
        messages = [(mark.name, mark.message) for mark in path.marks]
    nevers = {one.name for one in program.model.properties if one.sort.value == "never"}
    return TraceStep(
        program.model.actor_names[chosen.actor],
        str(path.label) if path.label is not None else text,
        where,
        text,
        chosen.choice,
        {name: before[name] for name in dict.fromkeys(reads)},
        {name: (before[name], after[name]) for name in before if before[name] != after[name]},
        tuple((name, message) for name, message in messages if name in nevers),
        path.stops,
    )


def source_line(path: p.Path) -> tuple[str, str]:
    """Return place and text of the line of a path that first touched something shared."""
    if not path.lines:
        return "", ""
    file, line = path.lines[path.first]
    return f"{file}:{line}", _without_comment(linecache.getline(file, line).strip())


def _without_comment(text: str) -> str:
    """Return a line of code up to the comment that ends it, if one does.

    >>> _without_comment("m.a = '#'  # b")
    "m.a = '#'"
    """
    try:
        for token in tokenize.generate_tokens(iter([text]).__next__):
            if token.type == tokenize.COMMENT:
                return text[: token.start[1]].rstrip()
    except (tokenize.TokenError, SyntaxError, StopIteration):
        pass  # A line of a longer statement: good enough as it is.
    return text


def choices(program: Program, chosen: Successor) -> list[int]:
    """Return what each ``choose`` of a step gave, as numbers."""
    member = program.instances[chosen.actor].member
    return [one.made_by(member) for one in chosen.path.log if isinstance(one, p.Choice)]


def elements(program: Program, state: int) -> Elements:
    """Return the value of every element of every variable."""
    found: Elements = {}
    names = program.model.element_names
    for variable in program.model.layout:
        for number, value in enumerate(program.value(variable, state)):
            found[names[variable.first + number * variable.cells_each]] = value
    return found
