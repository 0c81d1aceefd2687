"""Models that are too strong, and what refutes each: explored when the page is made."""

from __future__ import annotations

from collections.abc import Sequence

from memslotlib.too_strong import ENTRIES, Refuted, assert_refuted, refuted
from memslotlib.views.tables import Table

COLUMNS = ("Supposed, and why", "In", "Asked", "As it is", "So supposed", "On a host", "Where")


def table(found: Sequence[Refuted] | None = None) -> Table:
    """Return a row for each supposition, with what both models and a host say.

    Raises NotRefutedError when one of them is not refuted.
    """
    found = [refuted(one) for one in ENTRIES.values()] if found is None else found
    for one in found:
        assert_refuted(one)
    return Table(COLUMNS, [_row(one) for one in found])


def _row(one: Refuted) -> tuple[object, ...]:
    entry, verdicts = one.entry, (one.base, one.changed, one.host)
    supposed, where = f"{entry.name}. {entry.why}", f"{entry.scene}, {entry.api}"
    return supposed, where, entry.keeps, *verdicts, entry.seen.title
