"""Appendix A2: what the project measures of itself, each number with its bound and its command."""

from __future__ import annotations

from collections.abc import Sequence

from memslotlib.evidence import DATA, Record, read
from memslotlib.experiments import host_label
from memslotlib.provenance import code_digest
from memslotlib.views.prose import Said, say
from memslotlib.views.tables import Cell, Table

FILE = "benchmarks.jsonl"


def newest(records: Sequence[Record] | None = None) -> list[Record]:
    """Return the last record of each benchmark, in the order of their names."""
    records = read(DATA / FILE) if records is None else records
    last = {record.experiment: record for record in records}
    return [last[name] for name in sorted(last)]


def table(records: Sequence[Record] | None = None) -> Table:
    """Return one row a number: what was measured, its bound, whether it is kept, its command."""
    rows = []
    for record in newest(records):
        program = record.experiment.removeprefix("bench-")
        stale = " (stale)" if _is_stale(record) else ""
        for number in record.result["numbers"]:
            rows.append(
                (
                    number["name"],
                    f"{_written(number['value'])} {number['unit']}{stale}",
                    *_bound(number["value"], number["at_most"], number["at_least"]),
                    f"benchmarks/bench_{program}.py",
                )
            )
    return Table(("What", "Measured", "Bound", "", "Again with"), rows)


def source(records: Sequence[Record] | None = None) -> Said:
    """Return on which host, at which commits and when the numbers were measured."""
    found = newest(records)
    if not found:
        return Said("NOT RUN: nothing is recorded yet. `make bench` measures on your host.")
    return say(
        "Measured on {hosts}, commits {commits}, {days}.",
        hosts="; ".join(sorted({host_label(record) for record in found})),
        commits=", ".join(sorted({record.provenance.commit for record in found})),
        days=", ".join(sorted({record.provenance.date[:10] for record in found})),
    )


def mutation(records: Sequence[Record] | None = None) -> Said:
    """Return the last recorded mutation score of the simulator's tests."""
    records = read(DATA / "conformance.jsonl") if records is None else records
    runs = [record for record in records if record.experiment == "mutation"]
    if not runs:
        return Said("NOT RUN: no mutation run is recorded.")
    return say(
        "{killed:,} of {total:,} mutants killed, {score:.1%}; {survived:,} survive.",
        **{name: runs[-1].result[name] for name in ("killed", "total", "score", "survived")},
    )


def _is_stale(record: Record) -> bool:
    """Whether the code that the benchmark measured has changed since."""
    return record.is_stale(code_digest(*record.parameters["modules"]))


def _written(value: float) -> str:
    """Return four digits of a number, or all before the point of one that has more.

    >>> _written(3.46612), _written(127_191_329)
    ('3.466', '127,191,329')
    """
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _bound(value: float, at_most: float | None, at_least: float | None) -> tuple[str, object]:
    if at_most is not None:
        return f"at most {_written(at_most)}", _kept(value <= at_most)
    if at_least is not None:
        return f"at least {_written(at_least)}", _kept(value >= at_least)
    return "", ""


def _kept(kept: bool) -> Cell:
    return Cell("kept", "kept") if kept else Cell("MISSED", "verdict violated")
