"""The model of a world: its actors, and that each property is held against what can break it."""

from __future__ import annotations

import pytest
from protocol.stage import COME, FLIP, GONE, LOAD, OLD, SPLIT, broken, searched, stage, world

from memslotlib.protocol.apis import today
from memslotlib.protocol.kernel import LOCK, RETURN, UNLOCK, replace, swap
from memslotlib.protocol.model import model, properties
from memslotlib.protocol.program import Program
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ABSENT, X86, Access

ACCOUNTED = "I12 every SPTE is accounted in the slot that a lookup finds"


def ids(w):
    return {one.name.split()[0] for one in properties(w) if one.name[0] == "I"}


def predicate(w, name):
    (found,) = [one.predicate for one in properties(w) if one.name == name]
    return found


def test_each_vcpu_has_an_interrupt_and_there_is_one_updater():
    assert model(world(GONE)).actor_names == ("vcpu0", "vcpu1", "ipi0", "ipi1", "updater")


def test_properties_are_there_where_they_mean_something():
    log = Change((Slot("log", 0, 1, log=True),), ())

    assert {"I3b", "I4a", "I4a'", "I4b"} <= ids(world(FLIP))
    assert not {"I3b", "I4a", "I5", "I13"} & ids(world(SPLIT))
    assert {"I5", "I5'"} <= ids(world(log))
    assert {"I13", "I13'"} <= ids(world(SPLIT, mix=True))
    assert {"I1", "I2", "I3a", "I7", "I8", "I10", "I12"} <= ids(world(GONE))
    assert ids(world(GONE, exits=True)) - ids(world(GONE)) == {"I2'"}
    assert ids(world(FLIP, exits=True)) - ids(world(FLIP)) == {"I2'", "I4b'"}
    over = Access("load", 0, "emulator", npages=2)
    assert ids(world(GONE, accesses=(over,))) - ids(world(GONE)) == {"I14", "I14'"}


def test_the_updater_runs_any_of_the_programs_and_a_never_met_event_is_vacuous():
    programs = today.update(GONE, X86), Program((LOCK, UNLOCK))
    result = searched(world(GONE, *programs, accesses_max=1))

    assert result.ok
    assert result.vacuous == ()
    nothing = searched(world(COME, Program((LOCK, UNLOCK)), accesses_max=1))
    assert nothing.vacuous[0] == "the update returns"
    assert not nothing.ok


def test_an_spte_of_no_slot_or_of_other_metadata_is_not_accounted():
    on = stage(SPLIT, replace(OLD, None), *swap(0))
    is_accounted = predicate(on.world, ACCOUNTED)
    on.access(LOAD)
    assert is_accounted(on.m)

    on.run(on.update())
    assert not is_accounted(on.m)
    on.m.owner[0] = "-"
    on.m.spte[0] = ABSENT
    assert is_accounted(on.m)


def test_the_same_frames_in_a_slot_with_metadata_of_its_own_do_not_account_for_it():
    low = Slot("low", 0, 1)
    for new, verdict in ((low, False), (OLD.part("low", range(1)), True)):
        on = stage(Change((OLD,), (new,)), replace(OLD, None), replace(None, new), *swap(0))
        on.access(LOAD)
        on.run(on.update())
        assert predicate(on.world, ACCOUNTED)(on.m) == verdict


def test_a_huge_spte_lies_in_one_slot():
    parts = OLD.part("low", range(1)), OLD.part("high", range(1, 2))
    edits = replace(OLD, None), *(replace(None, one) for one in parts)
    on = stage(Change((OLD,), parts), *edits, *swap(0), huge=(0, 1))
    on.access(LOAD)
    assert predicate(on.world, ACCOUNTED)(on.m)

    on.run(on.update())

    assert not predicate(on.world, ACCOUNTED)(on.m)


def test_an_updater_that_keeps_the_lock_makes_the_next_call_wait_for_ever():
    assert broken(world(GONE, Program((LOCK, LOCK, RETURN)), accesses_max=1)) == {"I10"}


@pytest.mark.parametrize("via", ["guest", "emulator", "walk"])
def test_delete_and_create_show_a_hole_to_every_path(via):
    w = world(SPLIT, today.update(SPLIT, X86), accesses=(Access("load", 0, via),), accesses_max=1)

    assert broken(w) == {"I3a"}
