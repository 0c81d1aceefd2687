"""F0.1: how many of the updates that the vCPU ran inside show it a hole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from memslotlib.litmus_host import Method

from .records import Shown, shown


def rows(records: Sequence[Shown] | None = None) -> list[dict[str, Any]]:
    """Return one row for each overlap, controls left out: its counts and its share of hits."""
    records = shown("q0.jsonl") if records is None else records
    return [
        _row(one)
        for one in records
        if one.parameters["method"] == Method.OVERLAP.value and one.parameters["api"] != "none"
    ]


def chart(records: Sequence[Shown] | None = None) -> alt.FacetChart:
    """Return the share of updates that showed a hole, three panels, one for each access."""
    made = rows(records)
    bars = (
        alt.Chart(alt.Data(values=made))  # type: ignore[no-untyped-call]
        .mark_bar()
        .encode(
            x=alt.X("api:N", title=None, sort=["today", "move", "flags"]).axis(labelAngle=0),
            xOffset=alt.XOffset("guest:N", sort=[]),
            y=alt.Y("share:Q", title="updates that showed a hole").axis(format="%", tickCount=4),
            color=alt.Color("guest:N", title="guest", sort=[]),
            tooltip=["access:N", "api:N", "guest:N", "hits:Q", "trials:Q", "accesses:Q"],
        )
        .properties(width=170, height=200)
    )
    description = "Share of updates that showed a hole, by API, kind of access and guest: " + (
        "; ".join(
            f"{r['access']} {r['api']} {r['guest']} {r['hits']} of {r['trials']}" for r in made
        )
        or "nothing recorded"
    )
    panels: alt.FacetChart = bars.facet(
        column=alt.Column("access:N", title=None, sort=["load", "store", "fetch"])
    )
    return panels.properties(description=description)


def _row(one: Shown) -> dict[str, Any]:
    verdict = one.run.verdict
    return {
        "access": one.record.experiment.rpartition("+")[2],
        "api": one.parameters["api"],
        "guest": one.parameters["context"] + ("*" if one.native else ""),
        "hits": verdict.hits,
        "trials": verdict.trials,
        "accesses": verdict.opportunities,
        "share": verdict.hits / verdict.trials,
    }
