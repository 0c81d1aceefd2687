"""T0.6: what an access comes to while one ioctl is held between its first change and its last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from memslotlib import litmus
from memslotlib.litmus_host import Method
from memslotlib.views.tables import Table

from .records import Shown, recorded_table, shown


def table(records: Sequence[Shown] | None = None) -> Table:
    """Return one row for each access, ioctl and guest that was recorded while held.

    A cell counts holds: the page was served, the access stalled, it met a hole (the exit is that of
    T0.1), or the guest never came to it.
    """
    records = shown("q0.jsonl") if records is None else records
    columns = ("Access", "Ioctl", "Guest", "Page mapped", "Page not mapped", "Released")
    rows = [_row(one) for one in records if one.parameters["method"] == Method.HELD.value]
    return recorded_table(columns, rows)


def _row(one: Shown) -> tuple[object, ...]:
    samples = one.record.samples
    first, *_ = litmus.UPDATES[one.parameters["api"]]
    return (
        one.record.experiment.rpartition("+")[2],
        first.name,
        one.parameters["context"] + ("*" if one.native else ""),
        _told("hole" if met else "served" for met in samples["mapped_exits"]),
        _told(
            _unmapped(*each)
            for each in zip(
                samples["unmapped_accesses"],
                samples["unmapped_exits"],
                samples["unmapped_stalled"],
                strict=True,
            )
        ),
        _told("hole" if met else "served" for met in samples["exits_afterwards"]),
    )


def _unmapped(accesses: int, exits: int, stalled: int) -> str:
    if accesses < 0:
        return "not reached"
    if exits:
        return "hole"
    return "stalled" if stalled else "served"


def _told(holds: Iterable[str]) -> str:
    """Return how many holds came to what: ``stalled 19, served 1``."""
    return ", ".join(f"{word} {count}" for word, count in Counter(holds).most_common())
