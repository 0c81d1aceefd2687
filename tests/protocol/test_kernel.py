"""The steps of ``kvm_set_memslot()``: what each changes, what it waits for, what it is held to."""

from __future__ import annotations

import pytest
from protocol.stage import COME, EMULATED, GONE, HIGH, LOAD, LOW, NEW, OLD, moments, seen, until
from protocol.stage import stage as staged

from memslotlib.protocol.kernel import (
    LOCK,
    RETURN,
    UNLOCK,
    free,
    invalidate,
    replace,
    swap,
    synchronize,
)
from memslotlib.protocol.program import Op
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.state import AWAITED, OUTSIDE, READING
from memslotlib.protocol.world import Access


def test_slots_lock_keeps_the_next_updater_waiting_until_it_is_released():
    stage = staged(GONE, LOCK, UNLOCK)
    one, other = stage.update(), stage.update()

    assert one.step()
    assert not other.step()
    assert one.step()
    assert other.step()


@pytest.mark.parametrize("edits", [1, 2])
def test_sets_that_differ_at_rest_are_found_when_the_lock_goes(edits):
    edit = replace(None, OLD)
    stage = staged(COME, LOCK, edit, *swap(0), *[edit] * (edits - 1), UNLOCK)

    stage.run(stage.update())

    assert ("I7 both sets are equal at rest" in stage.failed) == (edits == 1)


def test_an_edit_shows_in_a_lookup_only_after_the_swap():
    stage = staged(GONE, replace(OLD, None), *swap(0))
    update = stage.update()

    until(update, "inactive set")
    assert seen(stage) == "old"
    until(update, "swap")
    assert seen(stage) == "-"


def test_a_swap_is_about_one_address_space():
    smm = Slot("smm", 0, 2, as_id=1)
    stage = staged(Change((OLD, smm), ()), replace(smm, None), *swap(1))

    stage.run(stage.update())

    assert (seen(stage), seen(stage, as_id=1)) == ("old", "-")


def test_slots_that_overlap_are_found_when_the_edit_is_made():
    wide = Slot("wide", 0, 2)
    stage = staged(Change((LOW,), (wide,)), replace(None, HIGH), replace(None, wide))
    update = stage.update()

    assert update.step()
    assert stage.failed == []
    assert update.step()
    assert stage.failed == ["I8 no two slots overlap"]


def test_a_grace_period_waits_for_exactly_the_readers_from_before():
    stage = staged(GONE, *synchronize())
    before, after = stage.accessing(EMULATED, 0), stage.accessing(EMULATED, 1)
    update = stage.update()

    assert before.step()  # a look-up, inside SRCU
    until(update, "synchronize_srcu: begin")
    assert after.step()
    assert list(stage.m.srcu) == [AWAITED, READING]
    assert not update.step()

    stage.run(before)
    assert list(stage.m.srcu) == [OUTSIDE, READING]
    assert update.step()
    assert not after.is_over


def test_nobody_waits_for_a_vcpu_in_the_guest():
    stage = staged(GONE, *synchronize())
    stage.access(LOAD)

    update = stage.update()
    assert list(update.labels()) == ["synchronize_srcu: begin", "synchronize_srcu: end"]


def test_who_leaves_and_comes_back_is_not_waited_for():
    stage = staged(GONE, *synchronize())
    first = stage.accessing(EMULATED)
    assert first.step()
    update = stage.update()
    assert update.step()

    stage.run(first)
    again = stage.accessing(EMULATED)
    assert again.step()

    assert update.step()


def test_the_use_of_a_freed_slot_is_found_and_that_of_its_copy_is_not():
    stage = staged(GONE, Op(free, (OLD,)))
    reader = stage.accessing(EMULATED)
    assert reader.step()
    stage.run(stage.update())

    stage.run(reader)

    assert stage.failed == ["I1 no use of a slot that was freed"]
    other = staged(GONE, Op(free, (OLD.invalid,)))
    reader = other.accessing(EMULATED)
    assert reader.step()
    other.run(other.update())
    other.run(reader)
    assert other.failed == []


def test_a_freed_slot_takes_its_bits_along_unless_somebody_took_them_over():
    old = Slot("old", 0, 2, log=True)
    heir = old.taken_over("heir")
    for new, left in ((Slot("new", 0, 2, log=True), set()), (heir, {0, 1})):
        change = Change((old,), (new,))
        stage = staged(change, replace(old, new), *swap(0), Op(free, (old,)))
        for gfn in old.gfns:
            stage.m.bitmap[stage.world.bitmaps.index("old"), gfn] = True

        stage.run(stage.update())

        assert stage.dirty(old) == left


def test_invalidate_shows_the_copy_and_leaves_the_old_slot_to_the_other_set():
    stage = staged(GONE, *invalidate(OLD))

    assert moments(stage) == ["old", "old!"]
    assert str(stage.m.sets[0, 1 - stage.m.active[0]]) == "{old}"


def test_the_return_is_noted_when_it_happens():
    stage = staged(Change((OLD,), (NEW,)), RETURN)
    assert not stage.m.returned

    stage.run(stage.update())

    assert stage.m.returned


def test_bits_that_went_along_with_a_move_stay_where_the_old_slot_is_freed():
    old = Slot("old", 0, 1, log=True)
    there = Slot("there", 1, 1, "A-1", log=True, bitmap=("old",))
    stage = staged(Change((old,), (there,)), replace(old, there), *swap(0), Op(free, (old,)))
    stage.m.bitmap[stage.world.bit(old, 0)] = True

    stage.run(stage.update())

    assert stage.dirty(there) == {1}


def test_a_slot_that_is_freed_has_no_bitmap_to_take_along_where_there_are_rings():
    old = Slot("old", 0, 2, log=True)
    stage = staged(Change((old,), ()), Op(free, (old,)), ring=True, accesses=(Access("store", 0),))

    assert stage.run(stage.update()) == ["free old", ""]
