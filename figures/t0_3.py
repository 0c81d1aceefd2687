"""T0.3: accesses that the guest proves to have overlapped an ioctl, and the holes they met."""

from __future__ import annotations

from collections.abc import Sequence

from memslotlib.litmus_host import Method
from memslotlib.verdict import Word
from memslotlib.views.tables import Cell, Table

from .records import Shown, shown


def table(records: Sequence[Shown] | None = None) -> Table:
    """Return one row for each access and API that was recorded by overlap."""
    records = shown("q0.jsonl") if records is None else records
    rows = [_row(one) for one in records if one.parameters["method"] == Method.OVERLAP.value]
    columns = ("Access", "API", "Updates", "Accesses", "Holes", "95 % bound", "Verdict")
    return Table(columns, rows)


def _row(one: Shown) -> tuple[object, ...]:
    verdict = one.run.verdict
    (updates,) = one.record.samples["updates_overlapped"]
    # The rule of three: nothing seen in N independent trials, then less than 3/N with 95 %.
    bound = f"< 1 in {updates // 3:,}" if verdict.word is Word.NOT_SEEN else ""
    word = Cell(verdict.word.value, one.verdict.kind)
    access = one.record.experiment.rpartition("+")[2]
    return access, one.parameters["api"], updates, verdict.trials, verdict.hits, bound, word
