"""A trace as a pytest module: the run that broke something, kept as a regression test."""

from __future__ import annotations

import pprint
import re
from collections.abc import Mapping
from typing import Any

from ..errors import CheckError
from ..events import events
from ..trace import Trace
from .trace_json import plain

_EXPRESSION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

_TEMPLATE = '''\
"""{title}

Written by memslotlib.check.exports.pytest_file from a trace. It replays that run, step by step, on
the model as it is now, and fails when a step is not possible any more, when something else is
broken or shown, or when the run ends in other values.
"""

from {module} import {root}

from memslotlib.check import replay
from memslotlib.check.events import events
from memslotlib.check.exports.trace_json import plain

#: The run: which actor steps, one after the other.
REPLAY = {replay!r}

#: What happens: after how many steps, to which property, and whether that is bad.
EVENTS = {events}

#: The values after the last step.
VALUES = {values}


def test_{name}():
    # The model may have changed: that it still behaves so is what is tested.
    trace = replay({call}, REPLAY, any_model=True)

    found = [(event.step, event.name, event.is_bad) for event in events(trace)]
    assert found == EVENTS, f"this run:\\n{{trace}}"
    assert {{name: plain(value) for name, value in trace.values(len(trace)).items()}} == VALUES
'''


def to_pytest(
    trace: Trace, model_expression: str, arguments: Mapping[str, Any] | None = None
) -> str:
    """Return the text of a pytest module that replays a trace and expects the same of it.

    ``model_expression`` names what returns the model, as ``package.module:function``;
    ``arguments`` are its keyword arguments, plain values whose ``repr`` is Python. The test passes
    as long as the model breaks the same properties at the same steps and ends in the same values.
    What a trace is only *about* (a ``sometimes``, a state that cannot be reached any more) is left
    out, since no replay can tell it.

    Raises CheckError when ``model_expression`` has another form, or a keyword is no identifier.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import increment
    >>> trace = explore(increment()).trace()
    >>> text = to_pytest(trace, "memslotlib.check.examples:increment", {"threads": 2})
    >>> print(text[text.index("def test") :].splitlines()[2].strip())
    trace = replay(increment(threads=2), REPLAY, any_model=True)
    >>> to_pytest(trace, "increment()")
    Traceback (most recent call last):
    memslotlib.check.errors.CheckError: 'increment()' is not of the form package.module:function
    """
    if not _EXPRESSION.fullmatch(model_expression):
        raise CheckError(f"{model_expression!r} is not of the form package.module:function")
    module, _, function = model_expression.partition(":")
    keywords = dict(arguments or {})
    for keyword in keywords:
        if not keyword.isidentifier():
            raise CheckError(f"{keyword!r} is no keyword argument")
    call = f"{function}({', '.join(f'{key}={value!r}' for key, value in keywords.items())})"
    told = [(one.step, one.name, one.is_bad) for one in events(_as_replayed(trace))]
    values = {name: plain(value) for name, value in trace.values(len(trace)).items()}
    about = trace.about or "a run"
    return _TEMPLATE.format(
        title=_one_line(f"{trace.model}: {about}, {len(trace)} steps."),
        module=module,
        root=function.partition(".")[0],
        replay=trace.replay,
        events=_pretty(told),
        values=_pretty(values),
        name=re.sub(r"\W+", "_", f"{trace.model} {about}".lower()).strip("_") or "trace",
        call=call,
    )


def _as_replayed(trace: Trace) -> Trace:
    """Return the trace as :func:`.replay.replay` gives it, which is not about any property."""
    return Trace(**{**vars(trace), "about": ""})


def _one_line(text: str) -> str:
    """Return text that can stand in a docstring."""
    return " ".join(text.replace("\\", "/").replace('"', "'").split())


def _pretty(value: object) -> str:
    return pprint.pformat(value, width=98, sort_dicts=False)
