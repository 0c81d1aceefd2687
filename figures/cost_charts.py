"""F2.11 to F2.16: what an update costs, as ratios within a round; medians between quartiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from memslotlib.views.prose import Said

from . import costs
from .costs import Records, Row

#: A chart, or that there is nothing to draw.
Figure = alt.FacetChart | alt.LayerChart | Said
_UNRECORDED = Said("NOT RUN: nothing is recorded yet.")
_TIPS = {
    "ratio": "median of ratios",
    "low": "lower quartile",
    "high": "upper quartile",
    "n": "rounds",
    "us": "median here, in us",
    "lost_us": "vCPU's time an update, in us",
    "lost_low_us": "its lower quartile",
    "lost_high_us": "its upper quartile",
    "faults": "faults an update",
}
#: Vega's expression for a size in MiB.
_SIZE = (
    "datum.value < 1 ? datum.value * 1024 + ' KiB' :"
    " datum.value < 1024 ? datum.value + ' MiB' : datum.value / 1024 + ' GiB'"
)
#: What rows have besides and no reader is told.
_SILENT = {"panel", "step"}


def slots(records: Records | None = None) -> Figure:
    """F2.11: each operation's time by the number of slots, as a multiple of that with one."""
    rows = costs.by_slots(records)
    y = alt.Y("ratio:Q", title="time, of that with one slot")
    chart = _lines(rows, "operation", "slots", _log(rows, "slots", "slots"), y)
    return _panels(chart, "slot", rows, "Time by the number of slots")


def size(records: Records | None = None) -> Figure:
    """F2.12: each operation's time by the size of its slot, as a multiple of the smallest's."""
    rows = costs.by_size(records)
    x = _log(rows, "mib", "size of the slot", _SIZE)
    chart = _lines(rows, "operation", "mib", x, _log_ratio("time, of that with 4 KiB"))
    return _panels(chart, "zap", rows, "Time by the size of the slot")


def vcpus(records: Records | None = None) -> Figure:
    """F2.13: each operation's time beside running vCPUs, as a multiple of that beside idle ones."""
    rows = costs.by_vcpus(records)
    x = alt.X("vcpus:O", title="running vCPUs").axis(labelAngle=0)
    chart = _lines(rows, "operation", "vcpus", x, _log_ratio("time, of that with all out"))
    return _panels(chart, "cpus", rows, "Time beside running vCPUs", apart=True)


def pause(records: Records | None = None) -> Figure:
    """F2.14: what a paused update is made of, as multiples of the plain one's time."""
    parts = list(costs.STACKED)
    rows = [
        {**row, "step": parts.index(row["part"])}
        for row in costs.by_pause(records)
        if row["part"] in parts
    ]
    picked, faint = _legend("part")
    bars = (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            x=alt.X("vcpus:O", title="running vCPUs").axis(labelAngle=0),
            y=alt.Y("ratio:Q", title="time, of the plain update"),
            color=alt.Color("part:N", title=None, sort=parts),
            order=alt.Order("step:Q"),
            opacity=faint,
            tooltip=_tips(rows, "part", "vcpus"),
        )
        .add_params(picked)
        .properties(width=230, height=220)
    )
    return _panels(bars, "cpus", rows, "Paused updates against plain ones", apart=True)


def neighbour(records: Records | None = None) -> Figure:
    """F2.15: what a vCPU gets done while another slot is updated, as a share of undisturbed."""
    rows = [
        {**row, "panel": f"{row['pages']} pages, {row['zap']}"}
        for row in costs.by_neighbour(records)
    ]
    x = alt.X("every_us:O", title="an update every so many us; 0: at once").axis(labelAngle=0)
    y = alt.Y("ratio:Q", title="accesses, of those undisturbed")
    chart = _lines(rows, "update", "every_us", x, y)
    return _panels(chart, "panel", rows, "What a vCPU gets done")


def wholesale(records: Records | None = None) -> Figure:
    """F2.16: replacing all slots one by one, as a multiple of replacing one of them."""
    rows = [{**row, "what": "all, one by one"} for row in costs.by_wholesale(records)]
    if not rows:
        return _UNRECORDED
    x, y = _log(rows, "slots", "slots"), _log_ratio("time, of replacing one slot")
    chart = _lines(rows, "what", "slots", x, y)
    return chart.properties(description=_described("Replacing all slots", rows))


def _lines(rows: Sequence[Row], color: str, where: str, x: alt.X, y: alt.Y) -> alt.LayerChart:
    """Return a line and its quartiles for each colour, along the column ``where``."""
    picked, faint = _legend(color)
    base = alt.Chart(_data(rows)).encode(
        x=x, color=alt.Color(f"{color}:N", title=None, sort=[]), opacity=faint
    )
    line = base.mark_line(point=alt.OverlayMarkDef(size=40)).encode(
        y=y, tooltip=_tips(rows, color, where)
    )
    quartiles = base.mark_rule(strokeWidth=2).encode(y="low:Q", y2="high:Q")
    return alt.LayerChart(layer=[quartiles, line.add_params(picked)], width=250, height=240)


def _legend(field: str) -> tuple[alt.Parameter, Any]:
    """Return what a click in the legend does: it leaves one, and makes the others faint."""
    picked = alt.selection_point(fields=[field], bind="legend")
    return picked, alt.when(picked).then(alt.value(1)).otherwise(alt.value(0.12))


def _panels(
    chart: Any, field: str, rows: Sequence[Row], title: str, *, apart: bool = False
) -> Figure:
    """Return a panel for each value of a column, which share their axes unless set ``apart``."""
    if not rows:
        return _UNRECORDED
    facet = alt.Facet(f"{field}:N", title=None, sort=[])
    panels: alt.FacetChart = chart.facet(facet=facet, columns=2)
    if apart:
        panels = panels.resolve_scale(x="independent", y="independent")
    return panels.properties(description=_described(title, rows))


def _log(rows: Sequence[Row], field: str, title: str, labels: str = "datum.label") -> alt.X:
    """Return a logarithmic axis with a tick at each value that was measured."""
    ticks = sorted({row[field] for row in rows})
    axis = alt.X(f"{field}:Q", title=title).scale(type="log")
    return axis.axis(values=ticks, grid=False, format=",.5~r", labelAngle=-45, labelExpr=labels)


def _log_ratio(title: str) -> alt.Y:
    ticks = [10**power for power in range(-2, 5)]
    return alt.Y("ratio:Q", title=title).scale(type="log").axis(values=ticks, format=",~r")


def _tips(rows: Sequence[Row], *fields: str) -> list[alt.Tooltip]:
    there = {name for row in rows for name in row}
    told = [alt.Tooltip(f"{f}:Q", title=t, format=",.3~r") for f, t in _TIPS.items() if f in there]
    return [*(alt.Tooltip(f"{field}:N") for field in fields), *told]


def _data(rows: Sequence[Row]) -> alt.Data:
    return alt.Data(values=list(rows))  # type: ignore[no-untyped-call]


def _described(title: str, rows: Sequence[Row]) -> str:
    """Return a chart in words, for those who do not see it."""
    said = (
        " ".join(str(value) for name, value in row.items() if name not in {*_TIPS, *_SILENT})
        + f" {row['ratio']:.3g}"
        for row in rows
    )
    return f"{title}, medians of ratios: {'; '.join(said)}"
