"""What is behind an hva: who needs a page while it changes waits, and maps no older one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import (
    EMULATED,
    FLIP,
    LOAD,
    OLD,
    SPLIT,
    STORE,
    broken,
    stage,
    until,
    world,
)

from memslotlib.check import step
from memslotlib.protocol.agents import vhost
from memslotlib.protocol.kernel import RETURN
from memslotlib.protocol.notifier import MAP, UNMAP, moved, zapped
from memslotlib.protocol.program import Op, Program
from memslotlib.protocol.sequential import Outcome
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ABSENT, Access, Entry, every

REMAP = (*zapped(moved(FLIP), UNMAP), MAP)
SAME = Change((OLD,), (OLD,))


def staged(*ops, **more):
    return stage(FLIP, *ops, **more)


def test_the_frames_that_move_are_those_with_another_page_in_each_space():
    two = Change(
        (OLD, Slot("smm", 1, 1, "S", 1)), (Slot("new", 0, 2, "B"), Slot("smm", 1, 1, "T", 1))
    )

    assert moved(FLIP) == ((0, (0, 1)),)
    assert moved(two) == ((0, (0, 1)), (1, (1,)))
    assert moved(SPLIT) == ()


def test_translations_go_before_the_page_does_and_the_slot_stays():
    on = staged(*REMAP)
    on.access(LOAD)
    update = on.update()
    until(update, "zap the SPTEs")

    assert on.m.spte[0] == ABSENT
    assert on.m.behind == "A"
    on.run(update)
    assert on.m.behind == "B"
    assert str(on.m.sets[0, on.m.active[0]]) == "{old}"
    assert on.access(LOAD) == Outcome("memory", "B")
    assert on.access(EMULATED) == Outcome("memory", "B")


@pytest.mark.parametrize("access", [LOAD, EMULATED])
def test_who_needs_a_page_while_there_is_none_waits_for_the_other_one(access):
    on = staged(*REMAP)
    update = on.update()
    until(update, "unmap the hva")
    waiting = on.accessing(access)
    while waiting.step():
        pass

    assert not waiting.is_over
    on.run(update)
    on.run(waiting)
    assert on.failed == []


def test_vhost_waits_for_the_page_at_its_own_hva_too():
    on = staged(*REMAP, outside=(Access("store", 0, "vhost"),), outside_max=1)
    update, worker = on.update(), on.start(vhost, on.world)
    until(update, "unmap the hva")
    assert worker.step()

    assert not worker.step()
    on.run(update)
    assert "store gfn 0 via vhost: B accessed" in on.run(worker)


@pytest.mark.parametrize(
    "when", ["invalidate: begin", "zap the SPTEs", "invalidate: end", "map other"]
)
def test_a_fault_that_found_the_old_page_does_not_map_it_once_an_invalidation_began(when):
    on = staged(*REMAP)
    fault, update = on.accessing(STORE), on.update()
    until(fault, "GUP: A is behind old")
    until(update, when)

    assert fault.step()
    assert fault.label == "fault: invalidated meanwhile, retry"
    on.run(update)
    on.run(fault)
    assert on.m.spte[0] == Entry("B", True)


@step
def end_without_a_trace(m, w):
    m.is_invalidating = False
    yield "end"


def test_the_sequence_number_is_needed_as_well_as_the_mark():
    accesses = every(("load", "store"), (0,), ("guest",))
    forgetful = [Op(end_without_a_trace) if op == REMAP[-2] else op for op in REMAP]
    for ops, found in ((REMAP, set()), (forgetful, {"I2", "I4a'"})):
        w = world(FLIP, Program((*ops, RETURN)), accesses=accesses)
        assert broken(replace(w, origin=(Program(REMAP),))) == found


def test_a_fault_begins_again_where_its_root_is_obsolete():
    on = staged(*REMAP)
    fault = on.accessing(STORE)
    until(fault, "GUP: A is behind old")
    on.m.request[on.world.cpu[0]] = "reload"

    assert fault.step()
    assert fault.label == "fault: root obsolete, retry"


def test_a_page_that_nothing_changes_is_that_of_the_slot():
    on = stage(SAME, *zapped(((0, (0,)),)))
    on.run(on.update())

    assert on.access(LOAD) == Outcome("memory", "A")
    assert on.m.invalidate_seq == 1
