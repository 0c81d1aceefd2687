"""Which lines of the model's actors never ran, and why others did not in some searches."""

from __future__ import annotations

from collections.abc import Iterable

from memslotlib.evidence import Record
from memslotlib.provenance import code_digest
from memslotlib.recheck import MODULES
from memslotlib.views.prose import Said
from memslotlib.views.tables import Table

from .mutants import UNRECORDED, newest


def never(records: Iterable[Record] | None = None) -> Table | Said:
    """Return a row for each line that ran in no search, with the reason of each search."""
    made = newest("coverage", records)
    if made is None:
        return Said(UNRECORDED)
    rows = [(place, text, "; or ".join(reasons)) for place, text, reasons in made.result["never"]]
    return Table(("In", f"Line{_stale(made)}", "Never runs because"), rows)


def reasons(records: Iterable[Record] | None = None) -> Table | Said:
    """Return a row for each reason, with the searches in which some line did not run for it."""
    made = newest("coverage", records)
    if made is None:
        return Said(UNRECORDED)
    columns = (f"Searches{_stale(made)}", "in which some line did not run, because")
    return Table(columns, [(count, why) for why, count in made.result["reasons"].items()])


def total(records: Iterable[Record] | None = None) -> Said:
    """Return how many lines ran in some search of how many."""
    made = newest("coverage", records)
    if made is None:
        return Said(UNRECORDED)
    lines, searches = made.result["lines"], made.result["searches"]
    ran = lines - len(made.result["never"])
    return Said(f"Of {lines:,} lines, {ran:,} ran in some of {searches:,} searches.")


def _stale(made: Record) -> str:
    code = code_digest(*MODULES, "memslotlib.protocol.unran")
    return " (stale)" if made.is_stale(code) else ""
