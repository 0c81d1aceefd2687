from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.errors import LayoutError
from memslotlib.layout import Change, Kind, Layout, Region, Span
from memslotlib.uapi import MemFlag

LOG, READONLY = MemFlag.LOG_DIRTY_PAGES, MemFlag.READONLY
SPACE = 24


def a_region(gfn=16, npages=4, hva=0x10000, flags=0, slot=1):
    return Region(gfn, npages, hva, flags, slot)


@st.composite
def layouts(draw):
    """Random small layouts: disjoint regions, few host addresses, so that all fates occur."""
    edges = sorted(draw(st.sets(st.integers(0, SPACE), max_size=8)))
    ranges = list(zip(edges[::2], edges[1::2], strict=False))
    slots = draw(st.permutations(range(len(ranges))))
    return Layout(
        Region(
            gfn,
            end - gfn,
            (gfn << 12) + draw(st.sampled_from([0, 0x40000])),
            draw(st.sampled_from([0, LOG, READONLY])),
            slot,
        )
        for (gfn, end), slot in zip(ranges, slots, strict=True)
    )


def page_map(layout):
    """The naive oracle: frame to (slot, host address, flags)."""
    return {
        region.gfn + i: (region, region.hva + i * 4096, region.flags)
        for region in layout
        for i in range(region.npages)
    }


class TestRegion:
    def test_its_range_is_half_open(self):
        region = a_region(gfn=16, npages=4)

        assert [gfn in region for gfn in (15, 16, 19, 20)] == [False, True, True, False]
        assert "16" not in region
        assert region.end_gfn == 20

    def test_it_is_known_by_bytes_as_well(self):
        region = Region.at(0x10000, 0x4000, 0x20000, LOG, slot=0x10003)

        assert region == Region(16, 4, 0x20000, LOG, 0x10003)
        assert (region.gpa, region.size_bytes) == (0x10000, 0x4000)
        assert (region.as_id, region.slot_id) == (1, 3)

    def test_flags_are_flags_even_when_given_as_a_number(self):
        assert a_region(flags=1).flags is LOG

    def test_frames_have_host_addresses(self):
        assert a_region(gfn=16, hva=0x10000).hva_of(18) == 0x12000

    @pytest.mark.parametrize("gfn", [15, 20])
    def test_a_frame_outside_has_none(self, gfn):
        with pytest.raises(LayoutError) as error:
            a_region().hva_of(gfn)

        assert str(error.value) == f"slot 1 [0x10000, 0x14000): gfn {gfn:#x} is outside"

    def test_a_part_keeps_its_backing(self):
        part = a_region(gfn=16, npages=4, hva=0x10000, flags=LOG, slot=7).part(17, 19)

        assert part == Region(17, 2, 0x11000, LOG, 7)
        assert a_region().part(16, 20) == a_region()

    @pytest.mark.parametrize(("gfn", "end"), [(15, 17), (19, 21), (18, 18), (19, 18)])
    def test_no_part_reaches_outside_or_is_empty(self, gfn, end):
        with pytest.raises(LayoutError) as error:
            a_region().part(gfn, end)

        assert str(error.value) == (
            f"slot 1 [0x10000, 0x14000): gfns [{gfn:#x}, {end:#x}) are not a part of it"
        )

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"npages": 0}, "slot 1 [0x10000, 0x10000): 0 pages"),
            ({"npages": -1}, "slot 1 [0x10000, 0xf000): -1 pages"),
            ({"hva": 0x800}, "slot 1 [0x10000, 0x14000): hva 0x800 is not a multiple of 0x1000"),
            ({"gfn": -1}, "slot 1 [-0x1000, 0x3000): gfn, hva and slot are not negative"),
            ({"hva": -4096}, "slot 1 [0x10000, 0x14000): gfn, hva and slot are not negative"),
            ({"slot": -1}, "slot -1 [0x10000, 0x14000): gfn, hva and slot are not negative"),
        ],
    )
    def test_an_impossible_one_is_refused(self, fields, text):
        with pytest.raises(LayoutError) as error:
            a_region(**fields)

        assert str(error.value) == text

    @pytest.mark.parametrize(("gpa", "size", "name"), [(0x800, 0x1000, "gpa"), (0, 0x1800, "size")])
    def test_unaligned_bytes_are_refused(self, gpa, size, name):
        with pytest.raises(LayoutError) as error:
            Region.at(gpa, size, 0, slot=5)

        wrong = gpa if name == "gpa" else size
        assert str(error.value) == f"slot 5: {name} {wrong:#x} is not a multiple of 0x1000"

    def test_regions_of_two_address_spaces_never_overlap(self):
        assert a_region().overlaps(a_region(slot=2))
        assert not a_region().overlaps(a_region(slot=0x10002))


class TestLayout:
    def test_it_is_in_order_of_frames(self):
        layout = Layout([a_region(gfn=32, slot=1), a_region(gfn=0, slot=2)])

        assert [region.gfn for region in layout] == [0, 32]
        assert len(layout) == 2
        assert layout.npages == 8
        assert layout.slot(1).gfn == 32
        assert layout.slot(3) is None

    def test_order_of_making_does_not_matter(self):
        one, two = a_region(), a_region(gfn=40, slot=2)

        assert Layout([one, two]) == Layout([two, one])
        assert hash(Layout([one, two])) == hash(Layout([two, one]))
        assert Layout([one]) != Layout([two])
        assert Layout([one]) != [one]

    def test_neighbours_may_touch(self):
        assert len(Layout([a_region(0, 4), a_region(4, 4, slot=2)])) == 2

    @pytest.mark.parametrize(("gfn", "npages"), [(13, 4), (19, 4), (17, 1), (10, 20), (16, 4)])
    def test_overlap_is_refused_and_both_are_named(self, gfn, npages):
        other = a_region(gfn=gfn, npages=npages, slot=2)

        with pytest.raises(LayoutError) as error:
            Layout([a_region(), other])

        assert str(error.value) == f"slot 1 [0x10000, 0x14000) overlaps {other}"

    def test_a_slot_number_is_used_once(self):
        with pytest.raises(LayoutError) as error:
            Layout([a_region(), a_region(gfn=100)])

        assert str(error.value) == (
            "slot 1 [0x10000, 0x14000) and slot 1 [0x64000, 0x68000) have one slot number"
        )

    def test_address_spaces_do_not_mix(self):
        with pytest.raises(LayoutError) as error:
            Layout([a_region(), a_region(gfn=0, slot=0x10001)])

        assert str(error.value) == (
            "Layout([slot 1 [0x10000, 0x14000)]) and slot 65537 [0x0, 0x4000)"
            " are of different address spaces"
        )

    def test_it_can_be_changed_into_another(self):
        layout = Layout([a_region()])

        moved = layout.with_regions(a_region(gfn=100), a_region(slot=2))
        assert [(r.slot, r.gfn) for r in moved] == [(2, 16), (1, 100)]
        assert list(moved.without(1)) == [a_region(slot=2)]
        assert list(layout) == [a_region()]

    def test_an_absent_slot_cannot_be_taken_away(self):
        with pytest.raises(LayoutError) as error:
            Layout([a_region()]).without(9)

        assert str(error.value) == "there is no slot 9 in Layout([slot 1 [0x10000, 0x14000)])"

    @given(layouts(), st.integers(0, SPACE), st.integers(0, SPACE))
    def test_lookups_agree_with_a_page_map(self, layout, start, end):
        pages = page_map(layout)

        for gfn in range(-1, SPACE + 1):
            assert layout[gfn] == (pages[gfn][0] if gfn in pages else None)
        within = {pages[gfn][0] for gfn in range(start, end) if gfn in pages}
        assert layout.within(start, end) == sorted(within, key=lambda r: r.gfn)
        holes = [gfn for low, high in layout.holes(start, end) for gfn in range(low, high)]
        assert holes == [gfn for gfn in range(start, end) if gfn not in pages]
        assert layout.npages == len(pages)


class TestChange:
    @given(layouts(), layouts())
    def test_spans_partition_the_pages_of_both_layouts(self, old, new):
        before, after = page_map(old), page_map(new)
        change = Change(old, new)

        gfns = [gfn for span in change for gfn in range(span.gfn, span.end_gfn)]
        assert gfns == sorted(before.keys() | after.keys())
        for span in change:
            assert span.npages == span.end_gfn - span.gfn > 0
            for gfn in range(span.gfn, span.end_gfn):
                assert span.kind is fate(before.get(gfn), after.get(gfn))
                assert span.old == (before[gfn][0] if gfn in before else None)
                assert span.new == (after[gfn][0] if gfn in after else None)

    @given(layouts(), layouts())
    def test_ranges_are_joined_and_complete(self, old, new):
        change = Change(old, new)

        for kind in Kind:
            ranges = change.ranges(kind)
            frames = [gfn for low, high in ranges for gfn in range(low, high)]
            assert frames == [
                gfn for span in change.of(kind) for gfn in range(span.gfn, span.end_gfn)
            ]
            assert all(a[1] < b[0] for a, b in pairwise(ranges))

    @given(layouts())
    def test_nothing_changes_between_equal_layouts(self, layout):
        change = Change(layout, Layout(layout))

        assert not change
        assert {span.kind for span in change} <= {Kind.KEPT}
        assert change.slots_touched() == []
        assert change.shaken() == []

    @given(layouts(), layouts())
    def test_it_is_true_when_any_slot_is_touched(self, old, new):
        assert bool(Change(old, new)) == bool(Change(old, new).slots_touched()) == (old != new)

    @given(layouts(), layouts())
    def test_going_back_turns_every_fate_around(self, old, new):
        back = {Kind.ADDED: Kind.DROPPED, Kind.DROPPED: Kind.ADDED}

        turned = tuple(
            Span(s.gfn, s.end_gfn, back.get(s.kind, s.kind), s.new, s.old) for s in Change(old, new)
        )

        assert Change(new, old).spans == turned

    def test_a_split_keeps_the_outer_pages_and_shakes_them(self):
        whole = Layout([Region(0, 12, 0x10000, slot=1)])
        parts = Layout(
            [
                Region(0, 4, 0x10000, slot=1),
                Region(4, 4, 0x90000, slot=2),
                Region(8, 4, 0x18000, slot=3),
            ]
        )
        change = Change(whole, parts)

        assert change.ranges(Kind.KEPT) == [(0, 4), (8, 12)]
        assert change.ranges(Kind.REPOINTED) == [(4, 8)]
        assert change.ranges(Kind.KEPT, Kind.REPOINTED) == [(0, 12)]
        assert [span.resized for span in change] == [True, True, True]
        assert change.slots_touched() == [1, 2, 3]
        assert change.shaken() == [(0, 12)]

    def test_a_move_over_its_own_range_shakes_nothing(self):
        change = Change(Layout([a_region(gfn=16)]), Layout([a_region(gfn=18)]))

        assert change.ranges(Kind.DROPPED) == [(16, 18)]
        assert change.ranges(Kind.REPOINTED) == [(18, 20)]
        assert change.ranges(Kind.ADDED) == [(20, 22)]
        assert change.shaken() == []

    def test_a_slot_that_moves_away_leaves_a_gap_before_the_next_comes(self):
        old = Layout([a_region(gfn=16)])
        new = Layout([a_region(gfn=32), a_region(gfn=16, hva=0x90000, slot=2)])

        assert Change(old, new).shaken() == [(16, 20)]

    @pytest.mark.parametrize(
        ("new", "kind", "shaken"),
        [
            ({"flags": LOG}, Kind.REFLAGGED, []),
            ({"flags": READONLY}, Kind.REFLAGGED, [(16, 20)]),
            ({"hva": 0x90000}, Kind.REPOINTED, [(16, 20)]),
            ({"hva": 0x90000, "flags": LOG}, Kind.REPOINTED_REFLAGGED, [(16, 20)]),
            ({"slot": 2}, Kind.KEPT, [(16, 20)]),
        ],
    )
    def test_only_logging_changes_in_place(self, new, kind, shaken):
        change = Change(Layout([a_region()]), Layout([a_region(**new)]))

        assert [span.kind for span in change] == [kind]
        assert change
        assert change.shaken() == shaken
        assert change.of(kind)[0].resized == ("slot" in new)

    def test_a_slot_that_grows_is_shaken(self):
        change = Change(Layout([a_region(npages=4)]), Layout([a_region(npages=6)]))

        assert change.ranges(Kind.KEPT) == [(16, 20)]
        assert change.shaken() == [(16, 20)]
        assert [span.resized for span in change] == [True, False]

    def test_an_untouched_neighbour_is_not_shaken(self):
        stays = a_region(gfn=0, slot=2)
        change = Change(Layout([stays, a_region()]), Layout([stays]))

        assert change.slots_touched() == [1]
        assert change.shaken() == []

    def test_two_address_spaces_have_no_change_between_them(self):
        with pytest.raises(LayoutError) as error:
            Change(Layout([a_region()]), Layout([a_region(slot=0x10001)]))

        assert "are of different address spaces" in str(error.value)
        assert Change(Layout(), Layout([a_region(slot=0x10001)])).ranges(Kind.ADDED) == [(16, 20)]


def fate(old, new):
    """The oracle's word for one frame."""
    if old is None or new is None:
        return Kind.ADDED if old is None else Kind.DROPPED
    names = {
        (True, True): Kind.KEPT,
        (True, False): Kind.REFLAGGED,
        (False, True): Kind.REPOINTED,
        (False, False): Kind.REPOINTED_REFLAGGED,
    }
    return names[old[1] == new[1], old[2] == new[2]]
