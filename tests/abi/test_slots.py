import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.abi.slots import AddressSpace, Slot
from memslotlib.uapi import MemFlag


def a_slot(slot_id=1, base_gfn=16, npages=4, hva=0x10000, flags=0, as_id=0):
    return Slot(as_id, slot_id, base_gfn, npages, hva, flags)


def a_space(*slots, as_id=0, step=1):
    space = AddressSpace(as_id, step)
    for slot in slots:
        space.replace(None, slot)
    return space


def test_a_slot_says_what_its_flags_mean():
    def facts(flags):
        slot = a_slot(flags=flags)
        return slot.logging, slot.readonly, slot.immutable

    assert facts(0) == (False, False, False)
    assert facts(MemFlag.LOG_DIRTY_PAGES) == (True, False, False)
    assert facts(MemFlag.READONLY) == (False, True, False)
    assert facts(MemFlag.GUEST_MEMFD) == (False, False, True)


def test_a_slot_knows_its_end_its_number_and_its_host_addresses():
    slot = a_slot(slot_id=3, base_gfn=16, npages=4, hva=0x10000, as_id=1)

    assert slot.end_gfn == 20
    assert slot.number == 0x10003
    assert slot.hva_of(16) == 0x10000
    assert slot.hva_of(18) == 0x12000


@pytest.mark.parametrize(
    ("place", "covered"),
    [((1, 15), False), ((1, 16), True), ((1, 19), True), ((1, 20), False), ((0, 16), False)],
)
def test_a_slot_covers_its_frames_in_its_address_space(place, covered):
    assert a_slot(slot_id=3, base_gfn=16, npages=4, as_id=1).covers(place) is covered


def test_a_fresh_slot_has_no_bitmap_and_no_guest_memfd():
    assert a_slot()[6:] == (None, 0, 0)


def test_generations_start_at_the_address_space_and_step_by_their_number():
    space = AddressSpace(1, 2)

    assert (space.as_id, space.generation) == (1, 1)
    space.swap(1)
    assert space.generation == 3
    space.swap(2)
    assert space.generation == 7


def test_replacing_creates_moves_and_deletes():
    old, new = a_slot(base_gfn=16), a_slot(base_gfn=32)
    space = a_space(old)
    assert (len(space), space.get(1), space.get(2)) == (1, old, None)

    space.replace(old, new)
    assert (list(space), space.find(16), space.find(32)) == ([new], None, new)

    space.replace(new, None)
    assert (len(space), list(space), space.get(1)) == (0, [], None)
    space.check()


@pytest.mark.parametrize(
    ("gfn", "npages", "overlaps"),
    [(12, 4, False), (12, 5, True), (19, 1, True), (20, 1, False), (17, 1, True), (0, 99, True)],
)
def test_ranges_overlap_by_frames(gfn, npages, overlaps):
    slot = a_slot(slot_id=1, base_gfn=16, npages=4)

    found = a_space(slot).overlapping(gfn, npages, but_id=2)

    assert found == (slot if overlaps else None)


def test_a_slot_never_overlaps_itself():
    assert a_space(a_slot()).overlapping(18, 4, but_id=1) is None


def test_the_slot_below_is_found_past_itself():
    below, own = a_slot(slot_id=2, base_gfn=10, npages=6), a_slot(slot_id=1, base_gfn=16)
    space = a_space(below, own)

    assert space.overlapping(15, 4, but_id=1) is below
    assert space.overlapping(16, 4, but_id=1) is None


def test_a_slot_of_one_page_right_below_is_found_past_itself():
    below, own = a_slot(slot_id=2, base_gfn=15, npages=1), a_slot(slot_id=1, base_gfn=16)

    assert a_space(below, own).overlapping(15, 2, but_id=1) is below


def test_the_slot_above_is_found_past_itself():
    own, above = a_slot(slot_id=1, base_gfn=16), a_slot(slot_id=2, base_gfn=20)

    assert a_space(own, above).overlapping(17, 4, but_id=1) is above


def corrupted(change):
    space = a_space(a_slot(slot_id=1, base_gfn=16), a_slot(slot_id=2, base_gfn=20))
    change(space)
    return space


def overlap(space):
    slot = a_slot(slot_id=2, base_gfn=20)._replace(base_gfn=18)
    space._by_gfn.pop(20)
    space._by_gfn[18] = space._by_id[2] = slot


def empty(space):
    old = space.get(2)
    space.replace(old, old._replace(npages=0))


def odd_generation(space):
    space.generation_step, space.generation = 2, 1


@pytest.mark.parametrize(
    "change",
    [
        overlap,
        empty,
        lambda space: space._by_id.pop(1),
        lambda space: space._by_gfn.pop(16),
        lambda space: space._by_id.update({1: a_slot(slot_id=1)}),
        lambda space: space._by_gfn.update({16: space._by_gfn[20]}),
        lambda space: space.replace(space.get(1), a_slot(as_id=1)),
        lambda space: setattr(space, "as_id", 1),
        odd_generation,
    ],
)
def test_the_walker_sees_every_corruption(change):
    corrupted(lambda space: None).check()

    with pytest.raises(AssertionError):
        corrupted(change).check()


def test_the_walker_names_the_slot_that_overlaps():
    with pytest.raises(AssertionError) as error:
        corrupted(overlap).check()

    assert str(error.value).startswith("slot 2 overlaps the slot below it")


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=10), st.data())
def test_lookups_agree_with_a_page_map(ranges, data):
    space, pages = AddressSpace(0, 1), {}
    for slot_id, (gfn, npages) in enumerate(ranges):
        taken = {pages[g].id for g in range(gfn, gfn + npages) if g in pages}
        found = space.overlapping(gfn, npages, but_id=slot_id)
        assert (found.id if found else None) == (
            pages[max(g for g in range(gfn, gfn + npages) if g in pages)].id if taken else None
        )
        if not taken:
            slot = a_slot(slot_id=slot_id, base_gfn=gfn, npages=npages)
            space.replace(None, slot)
            pages |= dict.fromkeys(range(gfn, gfn + npages), slot)
    space.check()

    for gfn in range(-1, 40):
        assert space.find(gfn) == pages.get(gfn)
