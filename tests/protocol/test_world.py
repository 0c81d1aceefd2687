"""A world: what its programs need, its accesses, and the numbers of its frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import FLIP, GONE, LOW, NEW, OLD, SPLIT, world

from memslotlib.protocol.apis import pause, today
from memslotlib.protocol.program import Program
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import (
    ABSENT,
    ARM64,
    X86,
    X86_BEFORE_5_13,
    X86_PML,
    Access,
    Entry,
    RingEntry,
    every,
)


def test_an_access_says_what_where_and_how():
    assert str(Access("store", 2, "emulator", 1)) == "store gfn 2 via emulator in SMM"
    assert [Access(kind, 0).is_write for kind in ("load", "fetch", "store")] == [False, False, True]


def test_an_access_to_two_frames_has_a_part_for_each_and_any_other_is_its_own():
    over = Access("store", 2, "emulator", npages=2)

    assert str(over) == "store gfn 2 and 3 via emulator"
    assert over.parts == (Access("store", 2, "emulator"), Access("store", 3, "emulator"))
    assert Access("load", 1, "smi", 1).parts == (Access("load", 1, "smi", 1),)
    assert world(GONE, accesses=(over,)).straddles
    assert not world(GONE).straddles


@pytest.mark.parametrize(
    ("entry", "load", "store"),
    [(ABSENT, False, False), (Entry("A", False), True, False), (Entry("A", True), True, True)],
)
def test_a_translation_permits_reading_if_it_is_there_and_writing_if_it_says_so(entry, load, store):
    assert entry.permits(Access("load", 0)) == entry.permits(Access("fetch", 0)) == load
    assert entry.permits(Access("store", 0)) == store


def test_every_access_is_there_once():
    found = every(("load", "store"), (0, 1), ("guest", "walk"), (0, 1))

    assert len(found) == len(set(found)) == 16
    assert every(("load",), (1,), ("guest",)) == (Access("load", 1),)


def test_only_x86_since_5_13_retries_a_fault_on_an_invalid_slot():
    assert [policy.retries for policy in (X86, X86_BEFORE_5_13, ARM64)] == [True, False, False]
    assert [policy.zaps_all for policy in (X86, X86_BEFORE_5_13, ARM64)] == [True, True, False]
    assert [policy.remembers for policy in (X86, X86_BEFORE_5_13, ARM64)] == [True, True, False]
    assert not any(policy.keeps_space for policy in (X86, X86_BEFORE_5_13, ARM64))


def test_the_contents_are_all_that_edits_may_make_of_a_set_the_first_ones_first():
    (found,) = world(FLIP, today.update(FLIP, X86)).contents

    assert str(found[0]) == "{old}"
    assert {"{old!}", "{}", "{new}"} < set(map(str, found))


def test_each_address_space_has_contents_of_its_own():
    smm = Slot("smm", 0, 1, as_id=1)
    change = Change((LOW, smm), (LOW,))

    plain, other = world(change, today.update(change, X86)).contents

    assert list(map(str, plain)) == ["{low}"]
    assert set(map(str, other)) == {"{smm}", "{smm!}", "{}"}


def test_frames_of_two_address_spaces_have_different_numbers():
    change = Change((LOW, Slot("smm", 0, 1, as_id=1)), ())
    two = world(change)

    assert [two.at(as_id, gfn) for as_id in two.spaces for gfn in range(two.gfns)] == [0, 1, 2, 3]


def test_without_role_smm_they_have_the_same_numbers():
    change = Change((LOW, Slot("smm", 0, 1, as_id=1)), ())
    one = world(change, has_role_smm=False)

    assert [one.at(as_id, gfn) for as_id in one.spaces for gfn in range(one.gfns)] == [0, 1, 0, 1]


def test_swaps_are_those_of_the_longest_program_and_of_whoever_contends():
    programs = today.update(GONE, X86), today.update(FLIP, X86)

    assert world(GONE).swaps == 0
    assert [world(FLIP, one).swaps for one in programs] == [2, 3]
    assert world(FLIP, *programs).swaps == 3
    assert world(FLIP, *programs, contender=programs[0]).swaps == 5
    assert world(FLIP, programs[1]).mutated(programs[1].without(2)).swaps == 3


def test_a_space_is_untouched_where_no_edit_is_its_own_and_the_world_asks():
    smm = Slot("smm", 0, 1, as_id=1)
    change = Change((LOW, smm), (smm,))
    program = today.update(change, X86)

    assert world(change, program, caches=True).untouched == (1,)
    assert world(change, program).untouched == ()
    both = Change((LOW, smm), ())
    assert world(both, today.update(both, X86), caches=True).untouched == ()


def test_what_moves_is_a_frame_with_another_page_of_either_space():
    smm = Slot("smm", 1, 1, as_id=1)
    change = Change((OLD, smm), (OLD, Slot("smm'", 1, 1, "B", as_id=1)))

    assert world(change).moving == (3,)
    assert world(SPLIT).moving == ()


def test_mortal_are_the_slots_that_a_program_frees_their_copies_too():
    assert world(GONE, today.update(GONE, X86)).mortal == (OLD.invalid, OLD)
    assert world(GONE, Program(())).mortal == ()


def test_translations_name_every_page_read_only_and_writable():
    assert set(world(FLIP, today.update(FLIP, X86)).entries) == {
        ABSENT,
        *(Entry(page, is_writable) for page in "AB" for is_writable in (False, True)),
    }


def test_bitmaps_are_those_of_slots_that_log_each_once():
    log = Slot("log", 0, 1, log=True)
    change = Change((log, Slot("mute", 1, 1)), ())
    one = world(change, today.update(change, X86))

    assert one.logs
    assert one.bitmaps == ("log",)
    assert set(one.metadata) == {"log", "mute"}
    assert not world(SPLIT, today.update(SPLIT, X86)).logs


def test_a_mutant_leaves_what_it_left_out_declared():
    program = pause.update(GONE, X86)
    origin = world(GONE, program)
    mutant = origin.mutated(program.without(0))

    assert mutant.pauses
    assert mutant.programs[0].name in mutant.name
    assert mutant.programs[0][0].step.__name__ != "pause"
    assert mutant.contents == origin.contents
    assert mutant.mortal == origin.mortal


def test_a_world_is_itself_alone():
    assert world(GONE) != world(GONE)
    assert world(SPLIT).pauses is False
    assert world(Change((), (NEW,))).spaces == range(1)


LOG = Slot("log", 0, 2, log=True, number=4)
LOGGED = Change((LOG,), ())


def test_a_clean_translation_permits_a_store_and_does_not_serve_it():
    load, store, clean = Access("load", 0), Access("store", 0), Entry("A", True, True)

    assert (clean.permits(load), clean.permits(store)) == (True, True)
    assert (clean.serves(load), clean.serves(store)) == (True, False)
    assert (Entry("A", True).serves(store), Entry("A", False).serves(store)) == (True, False)
    assert [str(one) for one in (clean, Entry("A", True), Entry("A"), ABSENT)] == [
        *("A:clean", "A:rw", "A:ro", "-")
    ]


def test_translations_are_clean_only_where_the_processor_logs():
    clean = Entry("A", True, True)

    assert clean in world(LOGGED, policy=X86_PML).entries
    assert clean not in world(LOGGED).entries
    assert clean not in world(GONE, policy=X86_PML).entries
    assert [policy.pml for policy in (X86, ARM64, X86_PML)] == [0, 0, 1]


@pytest.mark.parametrize(
    ("policy", "after"), [(X86, Entry("A", False)), (X86_PML, Entry("A", True, True))]
)
def test_a_log_protects_what_can_be_written_and_nothing_else(policy, after):
    w = world(LOGGED, policy=policy)

    assert w.protected(Entry("A", True)) == after
    assert w.protected(Entry("A", False)) == Entry("A", False)
    assert w.protected(ABSENT) == ABSENT


def test_bits_are_counted_by_pages_so_that_a_moved_slot_has_the_same():
    there = Slot("there", 1, 2, "A-1", log=True, bitmap=("log", "log"))
    w = world(Change((LOG,), (there,)), today.update(Change((LOG,), (there,)), X86), gfns=3)

    assert [w.bit(LOG, gfn) for gfn in LOG.gfns] == [w.bit(there, gfn) for gfn in there.gfns]
    assert w.pages == 3
    assert world(Change((replace(LOG, hva="A+5"),), ())).pages == 7


def test_a_ring_has_an_entry_for_each_page_that_may_be_stored_to_in_each_slot_that_logs():
    tail, mute = Slot("tail", 1, 1, log=True, number=4), Slot("mute", 0, 1)
    change = Change((LOG,), (tail, mute))
    accesses = (Access("store", 1), Access("store", 1, "emulator"), Access("load", 0))
    w = world(change, today.update(change, X86), accesses=accesses)

    assert w.ring_entries == (RingEntry(0, 4, 1, 1), RingEntry(0, 4, 0, 1))


def test_a_world_begins_with_nothing_mapped_unless_a_round_of_the_log_is_over():
    assert world(LOGGED).first_slots == (None, None)
    assert world(LOGGED, mapped=True).first_slots == (LOG, LOG)
    assert world(GONE, mapped=True).first_slots == (None, None)
