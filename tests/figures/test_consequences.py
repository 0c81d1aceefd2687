"""What becomes of who meets a hole: a row for each, in words that differ."""

import pytest

from figures import consequences
from memslotlib.check.errors import CheckError


def test_every_kind_of_consequence_has_its_row_and_its_shortest_way():
    rows = consequences.table().rows

    assert [row.who for row in rows] == list(consequences.WHO)
    words = [row.consequence for row in rows]
    for part in ("KVM_EXIT_MMIO", "internal error", "#UD", "#PF", "VM is dead", "lost MSI"):
        assert sum(part in one for one in words) == (2 if part == "KVM_EXIT_MMIO" else 1)
    assert all(0 < row.steps < 20 for row in rows)


def test_an_api_without_holes_has_no_rows(monkeypatch):
    monkeypatch.setattr(consequences, "API", "pause")
    monkeypatch.setattr(consequences, "WHO", {"nobody": "split+load"})

    with pytest.raises(CheckError, match="I3a"):
        consequences.table()
