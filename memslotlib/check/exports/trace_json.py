"""A trace as JSON: the Informal Trace Format of Apalache and Quint, with the steps in addition.

A viewer of that format sees ``vars`` and ``states``, and ignores what else there is.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from ..errors import CheckError
from ..events import Event, events
from ..trace import Trace, TraceStep


def plain(value: Any) -> Any:
    """Return a value of a variable as JSON has it: a number, a truth value, null or text.

    >>> from memslotlib.check import Symmetric
    >>> plain(Symmetric("cpu", 2)[1]), plain(True), plain(None)
    ('cpu1', True, None)
    """
    is_plain = value is None or isinstance(value, bool | int | str)
    return value if is_plain and not isinstance(value, enum.Enum) else str(value)


def to_json(trace: Trace) -> str:
    """Return a trace as JSON, a line for each state and each step, with keys in a fixed order.

    ``states[n]`` is the state after step n, ``steps[n - 1]`` the step that led to it. Files are
    named without their folders.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import increment
    >>> found = from_json(to_json(explore(increment()).trace()))
    >>> list(found)
    ['#meta', 'vars', 'states', 'steps', 'intervals', 'replay']
    >>> found["states"][-1]
    {'#meta': {'index': 4}, 'counter': 1, 'done': 2, 'seen[0]': 0, 'seen[1]': 0}
    """
    told = events(trace)
    meta = {
        "format": "ITF",
        "format-description": "https://apalache-mc.org/docs/adr/015adr-trace.html",
        "source": "memslotlib.check",
        "model": trace.model,
        "about": trace.about,
        "is_shortest": trace.is_shortest,
        "actors": list(trace.actors),
        "initially": [_event(one) for one in told if one.step == 0],
    }
    states = [_state(number, trace.values(number)) for number in range(len(trace) + 1)]
    steps = [
        _step(step, [one for one in told if one.step == number])
        for number, step in enumerate(trace.steps, 1)
    ]
    parts = [
        ("#meta", _line(meta)),
        ("vars", _line(list(trace.initial))),
        ("states", _lines(states)),
        ("steps", _lines(steps)),
        ("intervals", _line({name: list(on) for name, on in trace.intervals.items()})),
        ("replay", _line(trace.replay)),
    ]
    return "{\n" + ",\n".join(f" {_line(key)}: {value}" for key, value in parts) + "\n}\n"


def from_json(text: str) -> dict[str, Any]:
    """Return what :func:`to_json` wrote; CheckError when the text is no trace.

    >>> from_json("[]")
    Traceback (most recent call last):
    memslotlib.check.errors.CheckError: this JSON is no trace: it has no "states"
    """
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise CheckError(f"no JSON: {error}") from None
    for key in ("states", "steps", "replay"):
        if not isinstance(found, dict) or key not in found:
            raise CheckError(f'this JSON is no trace: it has no "{key}"')
    return found


def _state(number: int, values: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: plain(value) for name, value in values.items()}
    return {"#meta": {"index": number}, **named}


def _step(step: TraceStep, told: Iterable[Event]) -> dict[str, Any]:
    return {
        "actor": step.actor,
        "label": step.label,
        "where": PurePath(step.where).name,
        "text": step.text,
        "choice": step.choice,
        "reads": {name: plain(value) for name, value in step.reads.items()},
        "changes": {name: [plain(a), plain(b)] for name, (a, b) in step.changes.items()},
        "events": [_event(one) for one in told],
        "stops": step.stops,
    }


def _event(event: Event) -> dict[str, Any]:
    return {"name": event.name, "message": event.message, "is_bad": event.is_bad}


def _lines(rows: Iterable[Any]) -> str:
    return "[" + ",".join(f"\n  {_line(row)}" for row in rows) + "\n ]"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
