"""The table of models that are too strong."""

from dataclasses import replace

import pytest

from figures import too_strong
from memslotlib.too_strong import ENTRIES, NotRefutedError, refuted
from memslotlib.verdict import Verdict

NAME = "MOVE is one swap"


def test_every_entry_has_a_row_in_which_only_the_changed_model_holds():
    rows = too_strong.table().rows

    assert [row[0] for row in rows] == [f"{one.name}. {one.why}" for one in ENTRIES.values()]
    for row in rows:
        assert [verdict.text.split()[0] for verdict in row[3:6]] == ["VIOLATED", "HOLDS", "SEEN"]


def test_a_row_names_scene_property_and_experiment():
    (row,) = too_strong.table([refuted(ENTRIES[NAME])]).rows

    assert row[1:3] == ("move+emulator, move", "I3b")
    assert row[6] == "delete-create+store, move, long64, overlap"


def test_a_page_with_an_entry_that_is_not_refuted_is_not_built():
    found = replace(refuted(ENTRIES[NAME]), host=Verdict.not_run("nothing is recorded"))

    with pytest.raises(NotRefutedError, match=NAME):
        too_strong.table([found])
