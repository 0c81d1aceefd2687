"""What the views of a trace have in common: words for it, and text that fits its column."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import PurePath

from ..check import Trace
from ..check.events import events
from ..check.trace import TraceStep


def counted(count: int, what: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "step"), counted(1500, "step")
    ('1 step', '1,500 steps')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def headline(trace: Trace) -> str:
    """Return what a trace shows, in one line.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import peterson
    >>> headline(explore(peterson()).trace("thread 0 enters"))
    'peterson: thread 0 enters after 3 steps'
    >>> headline(explore(peterson(forgets_turn=True)).trace())
    'peterson: mutual exclusion is broken after 6 steps'
    """
    told = [event for event in events(trace) if event.name == trace.about or not trace.about]
    if not told:
        return f"{trace.model}: {trace.about or 'a run'} of {counted(len(trace), 'step')}"
    last = told[-1]
    verb = " is broken" if last.is_bad else ""
    after = f"after {counted(last.step, 'step')}" if last.step else "in the initial state"
    return f"{trace.model}: {last.name}{verb} {after}"


def place(where: str) -> str:
    """Return a place in source, ``file:line``, without the folders of the machine it is on.

    >>> place("/somewhere/model.py:7")
    'model.py:7'

    A notebook's cell is in a file with a number for a name.

    >>> place("/somewhere/ipykernel_12/34567.py:7")
    'cell:7'
    """
    path = PurePath(where)
    if path.parent.name.startswith("ipykernel_"):
        return f"cell:{path.name.rpartition(':')[2]}"
    return path.name


def acting(trace: Trace) -> tuple[str, ...]:
    """Return the actors that take a step, in the order of the model."""
    there = {step.actor for step in trace.steps}
    return tuple(name for name in trace.actors if name in there)


def changes(step: TraceStep, colon: str = ":") -> tuple[str, ...]:
    """Return what a step changed, one line of text each."""
    return tuple(
        f"{name}{colon} {before} -> {after}" for name, (before, after) in step.changes.items()
    )


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return the lines of ``text``, none wider than ``width``; those after the first indented.

    >>> wrapped("two threads are done", 14, "  ")
    ['two threads', '  are done']
    """
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def wrapped_change(change: str, width: int) -> list[str]:
    """Return the lines of a change: its name alone on the first where one line is too narrow.

    >>> wrapped_change("dirty[0]: False -> True", 23)
    ['dirty[0]: False -> True']
    >>> wrapped_change("dirty[0]: False -> True", 22)
    ['dirty[0]:', '  False -> True']
    """
    if len(change) <= width:
        return [change]
    name, _, values = change.partition(" ")
    return [*wrapped(name, width), *wrapped(f"  {values}", width, "  ")]


def fitted(widths: Sequence[int], room: int, narrowest: int) -> list[int]:
    """Return the widths, the widest made narrower until all fit, but none below ``narrowest``.

    >>> fitted([40, 30, 5], 50, 10)
    [22, 23, 5]
    """
    found = list(widths)
    while sum(found) > room and max(found) > narrowest:
        found[found.index(max(found))] -= 1
    return found
