"""Running a trace again on the actors as they are written: plain generators, nothing compiled.

That is what keeps the explorer honest: a trace that it found counts only if Python itself, running
the untouched generators, comes to the same state after every step.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator, Sequence
from typing import Any

from .errors import CheckError
from .kinds import Member, Symmetric
from .model import Model
from .program import Program, Successor
from .shared import Blocked, view
from .trace import Trace, choices, described, elements, pick

_STRING = re.compile(r"([0-9a-f]{6}):((?:\d+(?:\.\d+)?(?:\*\d+)?(?:,|$))*)")


class _Live:
    """The port to a state that is there: reads and writes happen, choices are given."""

    def __init__(self, codes: list[int]) -> None:
        self.codes = codes
        self.own: Member | None = None
        self.choices: list[int] = []
        self.marks: list[tuple[str, str]] = []

    def read(self, cell: int) -> int:
        return self.codes[cell]

    def write(self, cell: int, code: int) -> None:
        self.codes[cell] = code

    def choose(self, count: int, of: Symmetric | None) -> int:
        if count == 1:
            return 0
        if not self.choices:
            raise CheckError("the actor makes a choice that its trace does not know")
        return self.choices.pop(0)

    def mark(self, name: str, message: str, stop: bool) -> None:
        self.marks.append((name, message))


class Direct:
    """The actors of a model as running generators, and the state that they share."""

    def __init__(self, program: Program) -> None:
        model = program.model
        self.program = program
        self.port = _Live([cell.init for cell in model.cells])
        self.shared = view(model, self.port)
        self.running: list[Generator[Any, None, Any]] = []
        for instance, role in zip(model.instances, program.role_of, strict=True):
            generator = instance.start(self.shared)
            # A first yield that nothing shared comes before is where the actor starts.
            if role.is_primed:
                next(generator, None)
            self.running.append(generator)

    def step(self, chosen: Successor) -> list[tuple[str, str]]:
        """Make one micro-step; return the marks that it set, with their messages.

        Raises CheckError when the generator does something else than the explorer says.
        """
        name = self.program.model.actor_names[chosen.actor]
        self.port.own = self.program.instances[chosen.actor].member
        self.port.choices = choices(self.program, chosen)
        self.port.marks = []
        try:
            next(self.running[chosen.actor], None)
        except Blocked:
            raise CheckError(f"{name}: its generator waits where the explorer steps") from None
        expected = self.program.codes(chosen.state)[: len(self.port.codes)]
        if tuple(self.port.codes) != expected or self.port.choices:
            raise CheckError(
                f"{name}: its generator and the explorer part at {chosen.path.label!r}: "
                f"{self.port.codes} is not {list(expected)}"
            )
        return self.port.marks

    def intervals(self) -> list[bool]:
        """Tell which of the model's declared intervals are on."""
        return [bool(one.predicate(self.shared)) for one in self.program.model.intervals]


def replay_string(model: Model, moves: Sequence[tuple[int, int]]) -> str:
    """Return moves in the form that fits a mail: ``1f3c9a:0*3,4,0.2``.

    First a digest of the model, then the number of the actor of each step; ``.2`` is its third
    outcome where it has several, ``*3`` three such steps in a row.
    """
    words = [f"{actor}.{choice}" if choice else str(actor) for actor, choice in moves]
    runs = [(word, len(list(group))) for word, group in itertools.groupby(words)]
    return f"{model.digest}:" + ",".join(w if n == 1 else f"{w}*{n}" for w, n in runs)


def moves_of(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the digest and the moves of a replay string; CheckError when it is none.

    >>> moves_of("1f3c9a:0*2,1.2")
    ('1f3c9a', [(0, 0), (0, 0), (1, 2)])
    >>> moves_of("0,1")
    Traceback (most recent call last):
    memslotlib.check.errors.CheckError: '0,1' is no replay string, such as 1f3c9a:0*3,4,0.2
    """
    match = _STRING.fullmatch(text.strip())
    if not match:
        raise CheckError(f"{text!r} is no replay string, such as 1f3c9a:0*3,4,0.2")
    moves: list[tuple[int, int]] = []
    for word in filter(None, match[2].split(",")):
        step, _, times = word.partition("*")
        actor, _, choice = step.partition(".")
        moves += [(int(actor), int(choice or 0))] * int(times or 1)
    return match[1], moves


def replay(model: Model, text: str, *, any_model: bool = False) -> Trace:
    """Run a replay string on ``model`` and return the trace.

    The string names the model that it was made from; ``any_model=True`` runs it on another one,
    such as the same model with a fault taken out.

    Raises CheckError when it was made from another model, or a step of it is not possible: the
    text says which, and what would have been.
    """
    digest, moves = moves_of(text)
    if digest != model.digest and not any_model:
        raise CheckError(
            f"{text[:20]!r} was made from a model with digest {digest}; that of {model.name} is "
            f"{model.digest} (any_model=True runs it all the same)"
        )
    program = Program(model)
    trace = trace_of(program, moves, "", False)
    broken = [name for step in trace.steps for name, _ in step.failed]
    return Trace(**{**vars(trace), "about": broken[-1] if broken else ""})


def trace_of(
    program: Program, moves: Sequence[tuple[int, int]], name: str, shortest: bool
) -> Trace:
    """Return the trace of these moves; CheckError when one of them is not possible."""
    return program.retried(lambda: _trace_of(program, moves, name, shortest))


def _trace_of(
    program: Program, moves: Sequence[tuple[int, int]], name: str, shortest: bool
) -> Trace:
    model = program.model
    direct = Direct(program)
    steps, state = [], program.initial
    on = [direct.intervals()]
    for number, (actor, choice) in enumerate(moves, 1):
        chosen = pick(program, state, actor, choice, number)
        messages = direct.step(chosen)
        steps.append(described(program, state, chosen, messages))
        on.append(direct.intervals())
        if not chosen.path.stops:
            state = chosen.state
    return Trace(
        model.name,
        name,
        model.actor_names,
        elements(program, program.initial),
        tuple(steps),
        replay_string(model, moves),
        shortest,
        {one.name: tuple(row[n] for row in on) for n, one in enumerate(model.intervals)},
        program,
        tuple(moves),
    )
