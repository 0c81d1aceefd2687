"""Where KVM notes that a page was written: a bitmap that goes with its slot, or a vCPU's ring."""

from __future__ import annotations

from dataclasses import replace

from protocol.stage import OLD, STORE
from protocol.stage import stage as staged

from memslotlib.protocol.kernel import invalidate
from memslotlib.protocol.marking import lookup, mark_dirty
from memslotlib.protocol.slots import Change

LOG = replace(OLD, log=True, number=1)
LOGGED = Change((LOG,), ())


def test_a_look_up_sees_the_active_set_alone():
    stage = staged(LOGGED, *invalidate(LOG))
    update = stage.update()

    assert update.step()
    assert str(lookup(stage.m, 0, 1)) == "old"
    assert update.step()
    assert str(lookup(stage.m, 0, 1)) == "old!"
    assert lookup(stage.m, 0, 0).gfns == LOG.gfns


def test_a_page_is_marked_in_the_bitmap_of_its_slot_and_that_of_a_copy_is_the_same():
    stage = staged(LOGGED, *invalidate(LOG))

    mark_dirty(stage.m, stage.world, LOG.invalid, 1, stage.world.cpu[0])

    assert stage.dirty(LOG) == stage.dirty(LOG.invalid) == {1}


def test_with_rings_a_page_is_marked_in_that_of_the_vcpu_and_nowhere_else():
    stage = staged(LOGGED, ring=True, accesses=(STORE,))
    m, w = stage.m, stage.world

    mark_dirty(m, w, LOG, 0, w.cpu[1])

    assert [(one.number, one.offset, one.page) for one in w.ring_entries] == [(1, 0, 0)]
    assert [m.ring[v, 0] for v in w.cpu] == [False, True]
    mark_dirty(m, w, LOG, 0)
    assert [m.ring[v, 0] for v in w.cpu] == [False, True]
