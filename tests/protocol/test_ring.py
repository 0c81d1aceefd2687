"""Dirty rings: what an entry says, whom it outlives, and what a reset leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import OLD, STORE, until, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import move, today
from memslotlib.protocol.marking import mark_dirty
from memslotlib.protocol.program import Op, Program
from memslotlib.protocol.ring import batches, found, reap_rings, reaped, reset_rings, settle_rings
from memslotlib.protocol.sequential import Sequential
from memslotlib.protocol.slots import Change, Contents, Slot
from memslotlib.protocol.world import X86, Access, Entry, RingEntry

LOST, CLEAN = "I5 no dirty page is lost", "I5' no clean page is called dirty"
ALIAS = "I5'' an entry of a ring names the page that it was pushed for"
LOG = replace(OLD, log=True, number=1)
NEXT = Access("store", 1)
STAYS = Change((LOG,), (LOG,))
RW, RO = Entry("A", True), Entry("A", False)
#: The same id: cut off at the end, or at the beginning.
SHORT, TAIL = Slot("short", 0, 1, log=True, number=1), Slot("tail", 1, 1, log=True, number=1)


def ringed(change=STAYS, *ops, **more):
    parts = {"ring": True, "accesses": (STORE, NEXT), "gfns": 3, **more}
    return staged(change, *ops, **parts)


def entries(stage, name="ring", cpu=0):
    array, v = getattr(stage.m, name), stage.world.cpu[cpu]
    known = stage.world.ring_entries
    return [(one.number, one.offset) for n, one in enumerate(known) if array[v, n]]


def test_an_entry_has_the_id_and_the_offset_of_the_page():
    stage = ringed()
    stage.access(NEXT)
    stage.access(STORE, cpu=1)

    assert entries(stage) == [(1, 1)]
    assert entries(stage, cpu=1) == [(1, 0)]


@pytest.mark.parametrize("access", [STORE, Access("store", 0, "emulator")])
def test_a_store_is_pushed_to_the_ring_of_the_vcpu_that_made_it(access):
    stage = ringed(mapped=True)

    stage.access(access, cpu=1)

    assert (entries(stage, cpu=0), entries(stage, cpu=1)) == ([], [(1, 0)])


def test_an_entry_is_found_by_its_id_and_not_beyond_the_slots_end():
    other = Slot("other", 2, 1, as_id=1, number=1)

    assert found((SHORT, LOG), RingEntry(0, 1, 0, 0)) is SHORT
    assert found((SHORT, LOG), RingEntry(0, 1, 1, 1)) is None
    assert found((other, LOG), RingEntry(0, 1, 1, 1)) is LOG
    assert found((), RingEntry(0, 1, 0, 0)) is None


def test_what_is_read_is_dirty_and_fetched_once():
    stage = ringed(STAYS, Op(reap_rings, (Contents((LOG,)),)))
    stage.access(NEXT)

    labels = stage.run(stage.update())

    assert labels[0] == "read the rings by {old}"
    assert [list(stage.m.harvested)[:2], list(stage.m.touched)[:2]] == [[False, True], [False] * 2]
    assert (entries(stage), entries(stage, "reaped")) == ([], [(1, 1)])
    assert stage.failed == []


def test_a_page_that_is_named_twice_at_once_was_written_all_the_same():
    stage = ringed(STAYS, Op(reap_rings, (Contents((LOG,)),)))
    for cpu in (0, 1):
        stage.access(Access("store", 0, "emulator"), cpu=cpu)

    stage.run(stage.update())

    assert stage.failed == []


def test_an_entry_of_a_page_that_nobody_wrote_is_too_much():
    stage = ringed(STAYS, Op(reap_rings, (Contents((LOG,)),)))
    mark_dirty(stage.m, stage.world, LOG, 0, stage.world.cpu[0])

    stage.run(stage.update())

    assert stage.failed == [CLEAN]


@pytest.mark.parametrize(
    ("table", "harvested", "broken"),
    [
        ((LOG,), [False, True], []),
        ((), [False, False], []),
        ((SHORT,), [False, False], []),
        ((replace(LOG, base_gfn=1),), [False, False, True], [ALIAS, CLEAN]),
    ],
)
def test_an_entry_outlives_its_slot_and_means_what_userspace_takes_the_id_for(
    table, harvested, broken
):
    gone = Change((LOG,), ())
    stage = ringed(gone, *today.delete(LOG, X86), Op(reap_rings, (Contents(table),)))
    stage.access(NEXT)

    stage.run(stage.update())

    assert list(stage.m.harvested)[: len(harvested)] == harvested
    assert stage.failed == broken


def test_a_moved_slot_has_the_same_id_and_its_entries_name_the_same_pages():
    there = replace(LOG, name="there", base_gfn=1, hva="A-1")
    change = Change((LOG,), (there,))
    stage = ringed(change, *move.move(LOG, there, X86), Op(reap_rings, (Contents((there,)),)))
    stage.access(STORE)

    stage.run(stage.update())

    assert list(stage.m.harvested)[:2] == [True, False]
    assert stage.failed == []


def test_a_reset_protects_what_was_read_and_nothing_else():
    stage = ringed(STAYS, *reaped(Contents((LOG,))))
    stage.access(STORE)
    update = stage.update()
    until(update, "read the rings")
    stage.access(NEXT)
    assert list(stage.m.spte)[:2] == [RW, RW]

    stage.run(update)

    assert list(stage.m.spte)[:2] == [RO, RW]
    assert (entries(stage), entries(stage, "reaped")) == ([(1, 1)], [])
    assert (stage.m.newer[0], stage.m.newer[1]) == (False, True)


def test_a_reset_flushes_after_it_has_protected():
    names = [op.step.__name__ for op in reaped(Contents((LOG,)))]

    assert names == [
        *("reap_rings", "take_slots_lock", "reset_rings", "request_flush", "await_kicked"),
        *("release_slots_lock", "copy_harvested"),
    ]


def reset(table, pages, choice):
    """Return the SPTEs of a slot after a reset of entries that mean the slot as it was."""
    change = Change((LOG,), (table,))
    program = Program((*today.delete(LOG, X86), *today.create(table), Op(reset_rings)))
    # Two programs that are one: what is chosen is whether neighbours are taken together.
    w = world(change, program, program, ring=True, accesses=(STORE, NEXT), gfns=3)
    stage = Sequential(w)
    m, v = stage.m, w.cpu[0]
    update = stage.update(choice)
    while str(m.sets[0, m.active[0]]) != f"{{{table}}}" or m.slots_lock:
        assert update.step()
    for gfn in table.gfns:
        m.spte[gfn] = RW
    for place, one in enumerate(stage.world.ring_entries):
        m.reaped[v, place] = one in pages
    assert update.step()
    return [m.spte[gfn] for gfn in table.gfns]


FIRST, SECOND = RingEntry(0, 1, 0, 0), RingEntry(0, 1, 1, 1)


@pytest.mark.parametrize("entry", [SECOND, RingEntry(0, 1, 0, 1)])
def test_a_reset_leaves_out_what_is_beyond_the_end_or_of_no_slot(entry):
    gone = replace(SHORT, name="gone", number=2)

    assert reset(SHORT, [SECOND], 0) == [RW]
    assert reset(gone, [FIRST], 0) == [RW]
    assert reset(SHORT, [FIRST], 0) == [RO]


def test_one_entry_beyond_the_end_keeps_its_neighbours_from_being_protected():
    """Source: kvm_dirty_ring_reset() of Linux 6.12, which collects them in one mask."""
    assert reset(SHORT, [FIRST, SECOND], 0) == [RO]
    assert reset(SHORT, [FIRST, SECOND], 1) == [RW]


def test_what_is_taken_together_is_of_one_slot():
    other = RingEntry(0, 2, 0, 3)

    assert list(batches([FIRST, other, SECOND])) == [(FIRST, SECOND), (other,)]


@pytest.mark.parametrize(("table", "broken"), [((LOG,), []), ((), [LOST]), ((SHORT,), [LOST])])
def test_the_last_round_finds_a_page_only_by_what_userspace_knows(table, broken):
    stage = ringed(STAYS, Op(settle_rings, (Contents(table),)))
    stage.access(NEXT)
    update = stage.update()
    assert not update.step()
    stage.m.finished = stage.world.vcpus

    stage.run(update)

    assert stage.failed == broken


def test_an_entry_at_another_base_is_another_page():
    stage = ringed(Change((LOG,), (TAIL,)), Op(settle_rings, (Contents((TAIL,)),)))
    stage.access(STORE)
    stage.m.finished = stage.world.vcpus

    stage.run(stage.update())

    assert stage.failed == [ALIAS, CLEAN]
