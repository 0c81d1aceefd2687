"""Slots, sets of them, and what a change of layout keeps, drops and re-points."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memslotlib.protocol.slots import Change, Contents, Edit, Slot, page_number, reachable

OLD = Slot("old", 1, 2, log=True)
LOW, HIGH = Slot("low", 0, 1), Slot("high", 3, 1)


def test_a_slots_frames_are_half_open():
    assert list(OLD.gfns) == [1, 2]


def test_an_invalid_copy_is_another_slot_with_the_same_metadata_and_bitmap():
    copy = OLD.invalid

    assert copy.is_invalid
    assert copy != OLD
    assert str(copy) == "old!"
    assert copy.gfns == OLD.gfns
    assert [copy.metadata(gfn) for gfn in copy.gfns] == ["old", "old"]
    assert [copy.dirty_bitmap(gfn) for gfn in copy.gfns] == ["old", "old"]


def test_a_disabled_copy_keeps_metadata_and_bitmap_and_is_not_invalid():
    copy = OLD.disabled

    assert (copy.is_disabled, copy.is_invalid, str(copy)) == (True, False, "old~")
    assert copy.metadata(2) == copy.dirty_bitmap(2) == "old"


def test_a_part_keeps_what_its_frames_had():
    mixed = replace(OLD, arch=("one", "two"), bitmap=("first", "second"))

    part = mixed.part("half", range(2, 3))

    assert (part.base_gfn, part.npages) == (2, 1)
    assert (part.metadata(2), part.dirty_bitmap(2)) == ("two", "second")


def test_a_lookup_finds_the_slot_of_a_frame_and_nothing_in_a_hole():
    contents = Contents([LOW, OLD])

    assert [contents.lookup(gfn) for gfn in range(4)] == [LOW, OLD, OLD, None]


@pytest.mark.parametrize(
    ("edit", "after"),
    [
        (Edit(OLD, None), "{low}"),
        (Edit(OLD, OLD.invalid), "{low old!}"),
        (Edit(None, HIGH), "{high low old}"),
        (Edit(None, OLD), "{low old}"),
        (Edit(HIGH, None), "{low old}"),
    ],
)
def test_an_edit_takes_one_slot_out_and_puts_another_in(edit, after):
    assert str(Contents([LOW, OLD]).edited(edit)) == after


def test_contents_are_equal_however_they_came_about():
    one = Contents([LOW]).edited(Edit(None, HIGH))
    other = Contents([HIGH]).edited(Edit(None, LOW))

    assert one == other


def test_slots_overlap_where_they_share_a_frame_and_not_where_they_touch():
    assert not Contents([LOW, OLD, HIGH]).overlaps
    assert Contents([OLD, Slot("top", 2, 2)]).overlaps


def test_an_edit_knows_its_address_space_by_either_slot():
    smm = replace(OLD, as_id=1)

    assert Edit(smm, None).as_id == Edit(None, smm).as_id == 1


def test_reachable_is_closed_under_edits_with_the_initial_contents_first():
    edits = [Edit(OLD, OLD.invalid), Edit(OLD.invalid, None), Edit(None, HIGH)]

    found = reachable(Contents([OLD]), edits)

    assert str(found[0]) == "{old}"
    assert set(map(str, found)) == {"{old}", "{old!}", "{}", "{high old}", "{high old!}", "{high}"}
    assert all(one.edited(edit) in found for one in found for edit in edits)


def test_a_change_names_who_goes_and_who_comes():
    change = Change((LOW, OLD), (LOW, HIGH))

    assert (change.gone, change.come) == ((OLD,), (HIGH,))


def test_a_frame_is_kept_only_with_the_same_page_before_and_after():
    change = Change((Slot("old", 0, 3),), (Slot("same", 0, 1), Slot("other", 1, 1, "B")))

    assert [change.keeps(0, gfn) for gfn in range(4)] == [True, False, False, False]
    assert [change.repoints(0, gfn) for gfn in range(4)] == [False, True, False, False]
    assert [change.page_before(0, gfn) for gfn in range(4)] == ["A", "A", "A", ""]
    assert [change.page_after(0, gfn) for gfn in range(4)] == ["A", "B", "", ""]


def test_the_other_address_space_does_not_count():
    change = Change((LOW,), (LOW, Slot("smm", 0, 1, as_id=1)))

    assert change.spaces == 2
    assert not change.keeps(1, 0)
    assert not change.repoints(1, 0)


def test_readonly_before_or_after_may_refuse_a_write_and_only_after_forbids_it():
    rom = Slot("rom", 0, 1, readonly=True)
    closing, opening = Change((LOW,), (rom,)), Change((rom,), (LOW,))

    assert closing.may_refuse_writes(0, 0)
    assert opening.may_refuse_writes(0, 0)
    assert closing.becomes_readonly(0, 0)
    assert not opening.becomes_readonly(0, 0)
    assert not closing.may_refuse_writes(0, 1)


@pytest.mark.parametrize(
    ("hva", "page"), [("A", 2), ("A-1", 1), ("A+1", 3), ("+12", 14), ("-2", 0), ("", 2), ("A1", 2)]
)
def test_a_number_with_a_sign_at_the_end_of_an_hva_shifts_its_pages(hva, page):
    assert page_number(hva, 2) == Slot("any", 2, 1, hva).page(2) == page


def test_a_copy_of_a_slot_has_its_id():
    slot = replace(OLD, number=3)

    assert [one.number for one in (slot.invalid, slot.disabled, slot.part("p", range(1, 2)))] == [
        *[3] * 3
    ]
