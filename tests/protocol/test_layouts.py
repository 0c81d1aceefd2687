"""A layout that is never merged: a change is then a create or a delete of whole slots."""

from __future__ import annotations

import pytest
from protocol.stage import broken, world

from memslotlib.protocol.apis import today
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ARM64, X86, every

STAYS, GOES = Slot("stays", 0, 1), Slot("goes", 1, 1)
CARVED, MERGED = Change((STAYS, GOES), (STAYS,)), Change((Slot("both", 0, 2),), (STAYS,))
ACCESSES = every(("load", "store"), (0, 1), ("guest", "emulator"))


@pytest.mark.parametrize("policy", [X86, ARM64])
def test_frames_that_stay_meet_no_hole_where_slots_are_whole_and_do_where_one_is_cut(policy):
    for change, found in ((CARVED, set()), (MERGED, {"I3a"})):
        w = world(change, today.update(change, policy), accesses=ACCESSES, policy=policy)
        assert broken(w) == found


def test_a_merge_back_is_a_create_and_shows_no_hole_either():
    change = Change((STAYS,), (STAYS, GOES))

    assert broken(world(change, today.update(change, X86), accesses=ACCESSES)) == set()
