"""What a VMM does around its ioctls: pause, copy, and the rounds of a dirty log."""

from __future__ import annotations

from protocol.stage import EMULATED, FLIP, GONE, LOAD, OLD, STORE, until
from protocol.stage import stage as staged

from memslotlib.protocol.kernel import replace, swap
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.userspace import COPY, PAUSE, RESUME, SEND, SETTLE, get_dirty_log
from memslotlib.protocol.world import Access, Entry

LOG = Slot("log", 0, 2, log=True)
LOGGED = Change((LOG,), (LOG,))
LOST, CLEAN = "I5 no dirty page is lost", "I5' no clean page is called dirty"


def test_a_pause_kicks_who_is_in_the_guest_and_waits_for_every_exit_too():
    stage = staged(GONE, *PAUSE, RESUME)
    stage.access(LOAD, cpu=0)
    exit_under_way = stage.accessing(EMULATED, cpu=1)
    assert exit_under_way.step()
    update = stage.update()
    until(update, "pause")

    assert list(stage.m.mode) == ["exiting", "out"]
    assert not update.step()
    assert stage.interrupts[0].step()
    assert not update.step()
    stage.run(exit_under_way)
    assert update.step()
    assert stage.m.paused
    stage.run(update)
    assert not stage.m.paused


def test_a_copy_is_noted_when_it_begins():
    stage = staged(FLIP, COPY)
    assert not stage.m.copying

    stage.run(stage.update())

    assert stage.m.copying


def test_get_takes_the_bits_and_protects_exactly_what_they_tell_of():
    stage = staged(LOGGED, *get_dirty_log(LOG))
    stage.access(STORE)
    stage.access(Access("load", 1))
    stage.m.spte[1] = Entry("A", True)

    labels = stage.run(stage.update())

    assert stage.dirty(LOG) == frozenset()
    assert list(stage.m.harvested) == [True, False]
    assert list(stage.m.spte) == [Entry("A", False), Entry("A", True)]
    assert labels[0] == "mutex_lock(slots_lock)"
    assert "all kicked vCPUs are out" in labels
    stage.access(STORE)
    assert stage.dirty(LOG) == {0}


def test_what_was_sent_is_old_news_and_what_was_not_named_stays_new():
    stage = staged(LOGGED, *get_dirty_log(LOG), SEND)
    stage.access(STORE)
    stage.m.newer[1] = True

    stage.run(stage.update())

    assert list(stage.m.newer) == [False, True]
    assert list(stage.m.harvested) == [False, False]


def settled(stage):
    stage.m.finished = stage.world.vcpus
    stage.run(stage.update())
    return stage.failed


def test_the_last_round_comes_when_every_vcpu_is_done():
    stage = staged(LOGGED, SETTLE)
    update = stage.update()

    assert not update.step()
    stage.m.finished = 1
    assert not update.step()
    stage.m.finished = 2
    assert update.step()


def test_a_page_that_is_named_by_a_bit_or_was_harvested_is_not_lost():
    for ops in ((SETTLE,), (*get_dirty_log(LOG), SETTLE)):
        stage = staged(LOGGED, *ops)
        stage.access(STORE)
        assert LOST not in settled(stage)


def test_a_new_page_that_nothing_names_is_lost_unless_the_frame_has_none_afterwards():
    for change, broken in ((LOGGED, [LOST]), (Change((LOG,), ()), [])):
        stage = staged(change, SETTLE)
        stage.m.newer[0] = True
        assert settled(stage) == broken


def test_a_bit_of_a_page_that_nobody_wrote_is_too_much():
    stage = staged(LOGGED, SETTLE)
    stage.m.bitmap[0, 1] = True

    assert settled(stage) == [CLEAN]


def test_a_log_without_writes_is_empty_and_right():
    stage = staged(Change((LOG,), (LOG,)), SETTLE)
    stage.access(LOAD)

    assert settled(stage) == []
    assert stage.dirty(OLD) == frozenset()


def test_what_was_fetched_once_is_clean_until_it_is_touched_again():
    stage = staged(LOGGED, *get_dirty_log(LOG))
    stage.access(STORE)
    assert list(stage.m.touched) == [True, False]

    stage.run(stage.update())

    assert list(stage.m.touched) == [False, False]


def test_the_last_round_knows_a_page_by_the_place_that_it_has_now():
    there = Slot("there", 1, 2, "A-1", log=True)
    for bit, broken in ((0, {LOST, CLEAN}), (1, set())):
        stage = staged(Change((LOG,), (there,)), replace(LOG, there), *swap(0), SETTLE, gfns=3)
        stage.m.newer[1] = stage.m.touched[1] = True
        stage.m.bitmap[stage.world.bitmaps.index("there"), bit] = True
        assert set(settled(stage)) == broken
