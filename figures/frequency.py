"""How often VMMs update memslots, and what that comes to: the recorded traces times the costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import altair as alt

from memslotlib.costs.rounds import Spread
from memslotlib.verdict import Verdict
from memslotlib.views.prose import Said
from memslotlib.views.tables import Table
from memslotlib.vmm.frequency import Run, runs, time_ns
from memslotlib.vmm.traces import Kind

from .costs import Records, by_neighbour, recorded

#: How a claim names these traces, its rows, and by how many holes a run counts.
LITMUS = "vmm-traces"
ROWS = {"workloads": False, "synthetic": True}
HOLES = 50
_HOST = "the hosts of the traces"
#: Where an update's cost is taken from: one running vCPU.
_COST = "cost-vcpus"


@cache
def counted() -> tuple[Run, ...]:
    """Return every recorded run, counted."""
    return tuple(runs())


def verdict(row: str, found: Sequence[Run] | None = None) -> Verdict:
    """Return in how many runs more transactions leave a hole than ``HOLES``.

    Somebody chose the runs, so a NOT SEEN is about all of them and bounds no chance. NOT RUN
    without a run.
    """
    runs_ = counted() if found is None else found
    chosen = [one for one in runs_ if one.is_synthetic is ROWS[row]]
    hits, calls = sum(one.holes > HOLES for one in chosen), sum(one.transactions for one in chosen)
    if not chosen:
        return Verdict.not_run("no run is recorded")
    if hits:
        return Verdict.seen(hits, len(chosen), host=_HOST, opportunities=calls)
    quiet = Verdict.not_seen(len(chosen), opportunities=calls, host=_HOST)
    return replace(quiet, bound=f"all {len(chosen)} recorded runs; {calls:,} transactions")


def costs_ns(records: Records | None = None) -> dict[Kind, float]:
    """Return what an update of each kind takes beside one running vCPU; empty if not recorded."""
    found = recorded() if records is None else records
    if _COST not in found:
        return {}
    samples = found[_COST].record.samples["1 running"]
    return {kind: Spread.of(samples[kind.value]).median for kind in Kind}


def share(run: Run, cost_ns: Mapping[Kind, float]) -> float | None:
    """Return the part of a run that its updates would take; None where its clock means nothing."""
    return time_ns(run.kinds, cost_ns) / (run.seconds * 1e9) if run.is_timed else None


def largest_share(cost_ns: Mapping[Kind, float]) -> float:
    """Return the largest share among runs of firmware, OSes and VMMs."""
    shares = [share(one, cost_ns) for one in counted() if not one.is_synthetic]
    return max(one for one in shares if one is not None)


def table(records: Records | None = None) -> Table:
    """Return a row for each run that nobody wrote to provoke updates: counts, and their cost."""
    cost_ns = costs_ns(records)
    rows = [_row(one, cost_ns) for one in counted() if not one.is_synthetic]
    columns = (
        *("Scenario", "VMM", "Create", "Delete", "Flags", "Transactions", "Leave a hole"),
        *("Last of these", "Peak a second", "Cost, together", "Of the run"),
    )
    return Table(columns, rows)


def _row(run: Run, cost_ns: Mapping[Kind, float]) -> tuple[object, ...]:
    kinds = (run.kinds.get(kind, 0) for kind in (Kind.CREATE, Kind.DELETE, Kind.FLAGS))
    last = "-" if run.last_hole_s is None or not run.is_timed else f"{run.last_hole_s:.1f} s"
    peak: object = run.peak_per_s if run.is_timed else "-"
    cost, part = "NOT RUN", "NOT RUN"
    if cost_ns:
        taken = share(run, cost_ns)
        cost = f"{time_ns(run.kinds, cost_ns) / 1e6:.1f} ms"
        part = "-" if taken is None else f"{taken:.3%}"
    counts = (run.transactions, run.holes)
    return run.scenario, run.vmm, *kinds, *counts, last, peak, cost, part


_GROUPS = {False: "firmware, OS or VMM", True: "written to provoke updates"}
#: What a vCPU has in use where it is told what it loses, and how far apart updates are there.
USED_PAGES, _EVERY_US = 512, 1000


def lost_us(records: Records | None = None) -> dict[str, float]:
    """Return what delete and create of another slot cost a vCPU, by how slots zap; perhaps none."""
    wanted = ("delete-create", USED_PAGES, _EVERY_US)
    return {
        row["zap"]: row["lost_us"]
        for row in by_neighbour(records)
        if (row["update"], row["pages"], row["every_us"]) == wanted
    }


def concern(records: Records | None = None) -> Table:
    """Return, for each group of runs, its busiest second, and what is lost in that second.

    The updater loses what the ioctls take beside one running vCPU; each vCPU what DELETE and CREATE
    of another slot cost it, for each DELETE.
    """
    cost_ns, lost = costs_ns(records), lost_us(records)
    rows = []
    for is_synthetic, name in _GROUPS.items():
        chosen = [one for one in counted() if one.is_synthetic is is_synthetic and one.is_timed]
        busiest = max(chosen, key=lambda one: sum(one.busiest.values()))
        updates = Spread.of([one.updates for one in chosen])
        told: list[str] = ["NOT RUN"] * 3
        if cost_ns and lost:
            deletes = busiest.busiest.get(Kind.DELETE, 0)
            spent = [time_ns(busiest.busiest, cost_ns) / 1e6]
            spent += [deletes * lost[f"zaps {zap}"] / 1e3 for zap in ("all", "own")]
            told = [f"{ms:.1f} ms" for ms in spent]
        counts = (len(chosen), f"{updates.median:,.0f}", max(one.updates for one in chosen))
        which = f"{busiest.vmm}, {busiest.scenario}"
        rows.append((name, *counts, sum(busiest.busiest.values()), which, *told))
    columns = (
        *("Guest", "Runs", "Updates, median", "Most"),
        *("In the busiest second", "Of"),
        *("The updater loses", "Each vCPU, zaps all", "Zaps own"),
    )
    return Table(columns, rows)


def chart(records: Records | None = None) -> alt.Chart:
    """F2.17: each timed run by its updates and its busiest second; what it costs in its tooltip."""
    cost_ns = costs_ns(records)
    rows = [
        {
            "run": f"{one.vmm}, {one.scenario}",
            "guest": _GROUPS[one.is_synthetic],
            "updates": one.updates,
            "peak": one.peak_per_s,
            "holes": one.holes,
            "share": (share(one, cost_ns) if cost_ns else None),
        }
        for one in counted()
        if one.is_timed
    ]
    picked = alt.selection_point(fields=["guest"], bind="legend")
    made: alt.Chart = (
        alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]
        .mark_point(filled=True, size=70)
        .encode(
            x=alt.X("updates:Q", title="updates in the run").scale(type="log"),
            y=alt.Y("peak:Q", title="transactions in its busiest second").scale(type="log"),
            color=alt.Color("guest:N", title=None),
            opacity=alt.when(picked).then(alt.value(0.8)).otherwise(alt.value(0.1)),
            tooltip=[
                "run:N",
                "updates:Q",
                alt.Tooltip("peak:Q", title="in a second"),
                alt.Tooltip("holes:Q", title="leave a hole"),
                alt.Tooltip("share:Q", title="of the run's time", format=".2%"),
            ],
        )
        .add_params(picked)
    )
    said = (f"{row['run']} {row['updates']} updates, {row['peak']} a second" for row in rows)
    return made.properties(description=f"Runs by updates and busiest second: {'; '.join(said)}")


def source() -> Said:
    """Return what the traces are, and what they are not."""
    found = counted()
    synthetic = sum(one.is_synthetic for one in found)
    return Said(
        f"{len(found) - synthetic} runs of firmware, operating systems and VMM operations, and"
        f" {synthetic} of guests that were written to provoke updates, by"
        f" {' and '.join(sorted({one.vmm for one in found}))}; counted as this page is made, from"
        " `figures/data/vmm-traces`. A mix of scenarios, no sample of what runs in the world. Of"
        " runs on an emulated host the moments mean nothing, and none is given."
    )
