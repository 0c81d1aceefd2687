"""What happens to a model's properties along a trace, and at which step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .forward import is_stuck
from .model import Sort
from .program import Program
from .trace import Trace, pick


@dataclass(frozen=True)
class Event:
    """A property is broken, or shown, by step number ``step`` (0: by the initial state)."""

    step: int
    name: str
    message: str = ""
    is_bad: bool = True

    @property
    def text(self) -> str:
        """The event in words.

        >>> Event(4, "no lost update", "the counter is 1").text
        'BREAKS no lost update: the counter is 1'
        >>> Event(3, "thread 0 enters", is_bad=False).text
        'SHOWS thread 0 enters'
        """
        message = f": {self.message}" if self.message else ""
        return f"{'BREAKS' if self.is_bad else 'SHOWS'} {self.name}{message}"


def events(trace: Trace) -> tuple[Event, ...]:
    """Return what the steps of a trace break, and last what it shows, in the order of the steps.

    A step breaks a ``never`` by what it does, and an ``always`` when its predicate is true before
    and false after it. A deadlock comes with the last step. That some state can never be reached
    any more, and that a ``sometimes`` comes true, is told where the trace is about that.

    Of a trace without its program only the steps themselves are asked.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import peterson
    >>> events(explore(peterson(forgets_turn=True)).trace("mutual exclusion"))
    (Event(step=6, name='mutual exclusion', message='', is_bad=True),)
    """
    found = [
        Event(number, name, message)
        for number, step in enumerate(trace.steps, 1)
        for name, message in step.failed
    ]
    if trace.program is not None:
        states = _states(trace, trace.program)
        found += _untrue(trace.program, states)
        found += _ended(trace, trace.program, states)
    return tuple(sorted(found, key=lambda event: event.step))


def _states(trace: Trace, program: Program) -> list[int]:
    """Return the initial state and the one after each step; a step that stops leads nowhere."""
    states = [program.initial]
    for number, (actor, choice) in enumerate(trace.moves, 1):
        chosen = pick(program, states[-1], actor, choice, number)
        states.append(states[-1] if chosen.path.stops else chosen.state)
    return states


def _untrue(program: Program, states: list[int]) -> Iterator[Event]:
    for index, one in enumerate(program.model.predicates):
        if one.sort is Sort.ALWAYS:
            was_true = True
            for number, state in enumerate(states):
                is_true = program.holds(index, state)
                if was_true and not is_true:
                    yield Event(number, one.name)
                was_true = is_true


def _ended(trace: Trace, program: Program, states: list[int]) -> Iterator[Event]:
    last = len(states) - 1
    for one in program.model.properties:
        if one.sort is Sort.NO_DEADLOCK and is_stuck(program, states[-1]):
            yield Event(last, one.name)
        elif one.name == trace.about and one.sort is Sort.CAN_ALWAYS_REACH:
            yield Event(last, one.name, "it is out of reach from here")
        elif one.name == trace.about and one.sort is Sort.SOMETIMES:
            yield Event(last, one.name, is_bad=False)
