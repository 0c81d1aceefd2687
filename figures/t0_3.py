"""T0.3: updates that the guest proves to have run inside, though nobody waited; and controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memslotlib import litmus
from memslotlib.litmus_host import Method
from memslotlib.verdict import Word
from memslotlib.views.tables import Cell, Table

from .records import Shown, recorded_table, shown

#: From what cannot show a hole to what must: API and guest.
ROWS = (
    ("none", "long64-cpl3"),
    ("flags", "long64-cpl3"),
    ("move", "long64-cpl3"),
    ("move", "long64"),
    ("today", "long64-cpl3"),
)


def table(records: Sequence[Shown] | None = None) -> Table:
    """Return one row for each access, API and guest that was recorded by overlap."""
    records = shown("q0.jsonl") if records is None else records
    columns = ("Access", "API", "Guest", "Updates", "Accesses", "Hit", "95 % bound", "Verdict")
    return recorded_table(columns, [_row(one) for one in _chosen(records)])


def _chosen(records: Sequence[Shown]) -> Iterator[Shown]:
    by_key = {
        (one.record.experiment, one.parameters["api"], one.parameters["context"]): one
        for one in records
        if one.parameters["method"] == Method.OVERLAP.value
    }
    keys = ((name, api, context) for name in litmus.TESTS for api, context in ROWS)
    return (by_key[key] for key in keys if key in by_key)


def _row(one: Shown) -> tuple[object, ...]:
    verdict = one.run.verdict
    # The rule of three: nothing seen in N independent trials, then less than 3/N with 95 %.
    bound = f"< 1/{verdict.trials // 3:,}" if verdict.word is Word.NOT_SEEN else ""
    word = Cell(verdict.word.value, one.verdict.kind)
    access = one.record.experiment.rpartition("+")[2]
    guest = one.parameters["context"] + ("*" if one.native else "")
    counts = (verdict.trials, _rounded(verdict.opportunities), verdict.hits)
    return access, one.parameters["api"], guest, *counts, bound, word


def _rounded(count: int) -> Cell:
    """Return a number of which only the size matters, short enough for the table."""
    for size, unit in ((10**6, " M"), (10**3, " k")):
        if count >= 10 * size:
            return Cell(f"{count // size:,}{unit}", "number")
    return Cell.of(count)
