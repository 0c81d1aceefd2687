"""The RFC's list: how many swaps, what look-ups see, and where it falls short as posted."""

from __future__ import annotations

import pytest
from protocol.stage import SPLIT, broken, count, moments, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import rfc_list
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import X86, every

ONE, TWO = Slot("one", 0, 1), Slot("two", 1, 1)
MERGE = Change((ONE, TWO), (Slot("both", 0, 2),))
SMM = Slot("smm", 0, 1, as_id=1)
SPACES = Change((ONE, TWO, SMM), (Slot("both", 0, 2), Slot("smm'", 0, 1, "B", as_id=1)))
GUEST = every(("load",), (0,), ("guest",))
ALL = every(("load",), (0,), ("guest", "emulator"))


@pytest.mark.parametrize("program", [rfc_list.as_posted, rfc_list.as_intended])
@pytest.mark.parametrize(("change", "swaps"), [(SPLIT, 1 + 1), (MERGE, 2 + 1), (SPACES, 3 + 2)])
def test_there_is_a_swap_for_each_slot_that_goes_and_one_for_each_space(program, change, swaps):
    assert count(program(change, X86), "publish") == swaps


@pytest.mark.parametrize("program", [rfc_list.as_posted, rfc_list.as_intended])
def test_lookups_see_invalid_and_then_the_new_layout_at_once(program):
    for gfn, new in ((0, "low"), (1, "high")):
        assert moments(staged(SPLIT, *program(SPLIT, X86)), gfn) == ["old", "old!", new]


def test_as_intended_holds_the_lock_from_end_to_end_and_as_posted_takes_it_for_each_edit():
    intended, posted = (f(SPLIT, X86) for f in (rfc_list.as_intended, rfc_list.as_posted))

    assert count(intended, "take_slots_lock") == count(intended, "release_slots_lock") == 1
    assert count(posted, "take_slots_lock") == count(posted, "release_slots_lock") == 5


def test_as_posted_the_sets_differ_while_nobody_holds_the_lock():
    posted, intended = (f(SPLIT, X86) for f in (rfc_list.as_posted, rfc_list.as_intended))

    assert "I7" in broken(world(SPLIT, posted, accesses=GUEST, accesses_max=1))
    assert broken(world(SPLIT, intended, accesses=GUEST)) == set()


def test_kvms_own_access_meets_the_invalid_slots_as_a_hole():
    intended = rfc_list.as_intended(SPLIT, X86)

    assert broken(world(SPLIT, intended, accesses=ALL)) == {"I3a"}


def test_without_memory_in_the_second_pass_the_slots_stay_invalid():
    stage = staged(SPLIT, *rfc_list.failing(SPLIT, X86))

    assert moments(stage) == ["old", "old!"]
    assert stage.m.returned
    assert str(stage.m.sets[0, 0]) == str(stage.m.sets[0, 1]) == "{old!}"
