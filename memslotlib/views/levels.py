"""How many states an exploration found at each distance from the initial one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from ..check import Result
from .words import counted

#: Beyond this ratio of the largest level to the smallest, a linear scale hides most of them.
LINEAR_RATIO_MAX = 1000


def levels_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row for each level of each result: its model, number of steps, and states.

    Results of one model are told apart by their reductions, and then by a number. A level without
    states has no row.
    """
    return [
        {"model": name, "steps": steps, "states": states}
        for name, result in zip(_names(results), results, strict=True)
        for steps, states in enumerate(result.levels)
        if states
    ]


def levels_chart(*results: Result) -> alt.Chart:
    """Return the states first met after so many micro-steps, a line for each result.

    The scale is logarithmic where the levels span more than three decades. Raises ValueError
    without a result.

    >>> from memslotlib.check import explore
    >>> from memslotlib.check.examples import increment
    >>> levels_chart(explore(increment())).description
    'States by distance from the initial one: increment 8 states in 5 levels, at most 2 in level 2'
    >>> levels_chart()
    Traceback (most recent call last):
    ValueError: no result to draw
    """
    if not results:
        raise ValueError("no result to draw")
    rows = levels_rows(results)
    counts = [row["states"] for row in rows]
    is_log = max(counts) > LINEAR_RATIO_MAX * min(counts)
    # With the same domain, colour and shape share a legend.
    domain = alt.Scale(domain=_names(results))
    colour = alt.Color("model:N", title=None, scale=domain)
    shape = alt.Shape("model:N", title=None, scale=domain)
    if len(results) == 1:
        colour, shape = colour.legend(None), shape.legend(None)
    chart: alt.Chart = (
        alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]
        .mark_line(point=True)
        .encode(
            x=alt.X("steps:Q", title="micro-steps from the initial state").axis(
                tickMinStep=1, format="d"
            ),
            y=alt.Y("states:Q", title="states first met").scale(type="log" if is_log else "linear"),
            color=colour,
            shape=shape,
            tooltip=["model:N", "steps:Q", alt.Tooltip("states:Q", format=",")],
        )
    )
    told = zip(_names(results), results, strict=True)
    description = "; ".join(_said(name, result) for name, result in told)
    return chart.properties(description=f"States by distance from the initial one: {description}")


def _said(name: str, result: Result) -> str:
    most = max(result.levels)
    levels = counted(result.depth, "level")
    return (
        f"{name} {counted(result.states, 'state')} in {levels}, "
        f"at most {most:,} in level {result.levels.index(most)}"
    )


def _names(results: Sequence[Result]) -> list[str]:
    """Return a name for each result, no two alike: with its reductions where models are alike."""
    models = [result.model for result in results]
    names = [
        _reduced(result) if models.count(result.model) > 1 else result.model for result in results
    ]
    return [
        f"{name} ({names[:number].count(name) + 1})" if name in names[:number] else name
        for number, name in enumerate(names)
    ]


def _reduced(result: Result) -> str:
    reductions = ["symmetry"] if result.symmetry else []
    reductions += ["partial order"] if result.partial_order else []
    return ", ".join([result.model, *reductions])
