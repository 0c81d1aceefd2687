"""KVM's own access to two frames: its parts, the mix that they may see, and what is made twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import FLIP, GONE, LOAD, NEW, OLD, SPLIT, broken, until, world
from protocol.stage import stage as staged

from memslotlib.check import explore
from memslotlib.litmus_model import explored
from memslotlib.protocol.apis import APIS, pause, primitives, remap, today, user_exit, wholesale
from memslotlib.protocol.kernel import RETURN, invalidate, swap
from memslotlib.protocol.kernel import replace as edit
from memslotlib.protocol.model import model
from memslotlib.protocol.notifier import MAP, UNMAP
from memslotlib.protocol.program import Program
from memslotlib.protocol.properties import violated
from memslotlib.protocol.scenes import SCENES
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.state import OUTSIDE, READING
from memslotlib.protocol.straddle import (
    access_in_parts,
    attempt,
    attempt_after_looking,
    in_holes,
    sees_one_layout,
    stored,
)
from memslotlib.protocol.userspace import PAUSE
from memslotlib.protocol.vcpu import kvm_access
from memslotlib.protocol.world import X86, Access

WIDE_LOAD = Access("load", 0, "emulator", npages=2)
WIDE_STORE = Access("store", 0, "emulator", npages=2)
WIDE = (WIDE_LOAD, WIDE_STORE)
MIX = "I14 one access never sees a mix"
TWICE = "I14' no part of an access is made twice"
I3A = "I3a no hole where the page stays"
SWAPPED = edit(OLD, None), edit(None, NEW), *swap(0)


def straddling(change, *ops, **more):
    """Return actors of a world in which accesses straddle two frames."""
    return staged(change, *ops, accesses=WIDE, **more)


def wide(change, update, **more):
    """Return a world in which vCPUs make such accesses while an update runs."""
    return world(change, update(change, X86), accesses=WIDE, **more)


def looking(w):
    """Return the ids of what breaks where KVM looks up both parts before it makes one."""
    changed = model(w).with_step(attempt, attempt_after_looking)
    return set(violated(explore(changed, traces=False)))


def test_only_a_world_with_such_an_access_has_another_step_for_kvms_own():
    assert model(wide(FLIP, today.update)).steps == {kvm_access: access_in_parts}
    assert model(world(FLIP, today.update(FLIP, X86))).steps == {}


def test_the_parts_are_found_and_made_one_after_the_other_in_one_srcu_section():
    on = straddling(FLIP)
    v = on.world.cpu[0]
    store = on.accessing(WIDE_STORE)

    labels = []
    while store.step():
        labels.append((store.label, on.m.srcu[v]))
    assert labels[:-1] == [
        ("store gfn 0 via emulator: found old", READING),
        ("store gfn 0 via emulator: A", READING),
        ("store gfn 1 via emulator: found old", READING),
        ("store gfn 1 via emulator: A", READING),
        ("store gfn 0 and 1 via emulator: done", OUTSIDE),
    ]
    assert on.m.mode[v] == "out"
    assert on.failed == []


def test_a_swap_between_the_parts_shows_a_mix():
    on = straddling(FLIP, *SWAPPED)
    load, update = on.accessing(WIDE_LOAD), on.update()
    until(load, "load gfn 0 via emulator: A")
    until(update, "swap active set")
    until(load, "load gfn 1 via emulator: B")
    assert on.failed == []
    on.run(load)

    assert on.failed == [MIX]


def test_a_grace_period_waits_for_both_parts():
    on = straddling(FLIP, *SWAPPED)
    load, update = on.accessing(WIDE_LOAD), on.update()
    until(load, "load gfn 0 via emulator: A")
    until(update, "synchronize_srcu: begin")

    assert not update.step()
    on.run(load)
    assert update.step()


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        (("A", "A"), []),
        (("B", "B"), []),
        (("", ""), []),
        (("A", "B"), [MIX]),
        (("B", "A"), [MIX]),
        (("A", ""), [MIX]),
        (("", "B"), [MIX]),
    ],
)
def test_a_mix_is_what_no_layout_has(reached, told):
    on = straddling(FLIP)

    sees_one_layout(on.m, on.world, WIDE_LOAD, reached)

    assert on.failed == told


def test_a_hole_of_a_layout_is_none_of_a_mix():
    on = straddling(Change((OLD,), (Slot("short", 0, 1),)))

    sees_one_layout(on.m, on.world, WIDE_LOAD, ("A", ""))
    assert on.failed == []
    sees_one_layout(on.m, on.world, WIDE_LOAD, ("", "A"))
    assert on.failed == [MIX]


def test_a_part_that_meets_a_hole_does_not_keep_the_other_from_memory():
    on = straddling(Change((OLD,), (OLD,)), *invalidate(OLD))
    store, update = on.accessing(WIDE_STORE), on.update()
    until(store, "store gfn 0 via emulator: A")
    until(update, "swap active set")
    on.run(store)

    assert on.failed == [I3A, MIX]


def test_after_a_swap_only_the_second_part_is_left_for_userspace_to_complete():
    on = straddling(FLIP, edit(OLD, None), *swap(0), edit(None, NEW), *swap(0), RETURN, exits=True)
    store, update = on.accessing(WIDE_STORE), on.update()
    until(store, "store gfn 0 via emulator: A")
    until(update, "swap active set")
    until(store, "store gfn 1 via emulator: userspace finds A")
    on.run(update)
    labels = on.run(store)

    assert labels[0] == "store gfn 1 via emulator: made by userspace in A"
    assert not [label for label in labels if "gfn 0" in label]
    assert "I2 nothing reaches the old page after the update" in on.failed
    assert TWICE not in on.failed


def test_a_disabled_slot_begins_the_access_again_and_makes_its_first_part_twice():
    on = straddling(SPLIT, *user_exit.update(SPLIT, X86))
    store, update = on.accessing(WIDE_STORE), on.update()
    until(store, "store gfn 0 via emulator: A")
    until(update, "swap active set")
    until(store, "store gfn 1 via emulator: exit, old~ is disabled")
    assert not store.step()
    assert on.m.srcu[on.world.cpu[0]] == OUTSIDE
    on.run(update)
    assert on.failed == []

    assert "store gfn 0 via emulator: found low" in on.run(store)
    assert on.failed == [TWICE]


def test_what_was_made_is_remembered_over_several_exits():
    low, high = Slot("low", 0, 1), Slot("high", 1, 1)
    off = edit(high, high.disabled), *swap(0)
    other_off = edit(high.disabled, high), edit(low, low.disabled), *swap(0)
    again = edit(high, high.disabled), edit(high.disabled, high), edit(low.disabled, low)
    on = straddling(Change((low, high), (low, high)), *off, *other_off, *again, *swap(0))
    store, update = on.accessing(WIDE_STORE), on.update()
    until(store, "store gfn 0 via emulator: A")
    until(update, "swap active set")
    until(store, "store gfn 1 via emulator: exit, high~ is disabled")
    assert update.step()
    until(update, "swap active set")
    until(store, "store gfn 0 via emulator: exit, low~ is disabled")
    assert on.failed == []

    on.run(update)
    on.run(store)

    assert on.failed == [TWICE]


def test_who_is_in_the_guest_leaves_it_for_the_access():
    on = straddling(FLIP)
    v = on.world.cpu[0]
    on.access(LOAD)
    assert on.m.mode[v] == "in"

    assert on.accessing(WIDE_LOAD).step()
    assert on.m.mode[v] == "out"


def test_a_part_waits_for_what_is_behind_its_hva():
    on = straddling(FLIP, UNMAP, MAP)
    load, update = on.accessing(WIDE_LOAD), on.update()
    until(load, "load gfn 1 via emulator: found old")
    until(update, "unmap the hva")

    assert not load.step()
    on.run(update)
    until(load, "load gfn 1 via emulator: B")
    on.run(load)
    assert on.failed == [MIX]


@pytest.mark.parametrize("access", [WIDE_LOAD, WIDE_STORE])
def test_an_access_that_is_cut_off_before_its_first_part_makes_nothing_twice(access):
    on = straddling(SPLIT, *user_exit.update(SPLIT, X86))
    actor, update = on.accessing(access), on.update()
    until(update, "mutex_unlock")
    until(actor, f"{access.kind} gfn 0 via emulator: exit, old~ is disabled")
    on.run(update)
    on.run(actor)

    assert on.failed == []


def test_a_load_is_made_twice_without_harm():
    assert broken(replace(wide(SPLIT, user_exit.update), accesses=(WIDE_LOAD,))) == set()
    assert broken(wide(SPLIT, user_exit.update)) == {"I14'"}


def test_looking_up_both_parts_first_makes_none_twice_and_sees_no_mix():
    assert looking(wide(SPLIT, user_exit.update)) == set()
    assert looking(wide(FLIP, user_exit.update)) == set()
    assert looking(wide(FLIP, wholesale.swap_first)) == {"I4a'", "I4b"}
    assert looking(wide(FLIP, remap.update)) == {"I4b", "I14"}


def test_looking_first_leaves_at_the_first_disabled_slot_and_holds_all_of_them():
    change = Change((Slot("low", 0, 1), Slot("high~", 1, 1, is_disabled=True)), (OLD,))
    on = straddling(change)
    v = on.world.cpu[0]
    found = on.start(attempt_after_looking, on.world, v, WIDE_STORE, ())

    until(found, "store gfn 0 and 1 via emulator: found low and high~")
    until(found, "store gfn 1 via emulator: exit, high~ is disabled")
    assert on.failed == []
    assert not found.step()


def test_a_pause_keeps_both_parts_together():
    on = straddling(GONE, *PAUSE)
    load, update = on.accessing(WIDE_LOAD), on.update()
    until(load, "load gfn 0 via emulator: A")
    until(update, "pause")

    assert not update.step()
    on.run(load)
    on.run(update)
    assert not on.accessing(WIDE_LOAD).step()
    assert broken(wide(FLIP, pause.update)) == set()


def test_parts_that_were_stored_and_parts_in_holes():
    low, high = WIDE_STORE.parts

    assert stored(WIDE_STORE, ("A",)) == (low,)
    assert stored(WIDE_STORE, ("", "A")) == (high,)
    assert stored(WIDE_LOAD, ("A", "A")) == ()
    assert in_holes(WIDE_STORE, ("A", "")) == (high,)
    assert in_holes(WIDE_STORE, ("A", "A")) == ()


def test_a_readonly_slot_takes_no_part_of_a_store():
    rom = Slot("rom", 0, 2, readonly=True)
    on = straddling(Change((rom,), (rom,)))

    assert "store gfn 1 via emulator: no slot to use" in on.run(on.accessing(WIDE_STORE))
    assert "load gfn 1 via emulator: A" in on.run(on.accessing(WIDE_LOAD))
    assert on.failed == []


def test_a_store_marks_both_frames_dirty():
    log = Slot("log", 0, 2, log=True)
    on = straddling(Change((log,), ()))

    on.run(on.accessing(WIDE_LOAD))
    assert on.dirty(log) == frozenset()
    on.run(on.accessing(WIDE_STORE))
    assert on.dirty(log) == {0, 1}


def test_an_access_to_one_frame_has_one_part():
    on = straddling(FLIP)

    assert list(on.accessing(Access("load", 1, "emulator")).labels()) == [
        "load gfn 1 via emulator: found old",
        "load gfn 1 via emulator: A",
        "load gfn 1 via emulator: done",
    ]


def test_a_part_uses_a_freed_slot_where_no_grace_period_waits_for_it():
    program = today.update(GONE, X86)
    waits = [n for n, op in enumerate(program) if op.step.__name__ == "end_grace_period"]
    w = wide(GONE, today.update, accesses_max=1)

    assert "I1" not in broken(w)
    assert "I1" in broken(w.mutated(program.without(waits[-1])))


def test_one_swap_of_slots_that_keep_their_pages_shows_no_mix():
    whole = wide(SPLIT, wholesale.swap_first)
    sliced = world(SPLIT, primitives.update(SPLIT, X86), accesses=WIDE)

    assert broken(whole) == broken(sliced) == set()


@pytest.mark.parametrize(
    ("api", "is_broken"),
    [("today", True), ("userfaultfd", True), ("pause", False), ("user-exit", False)],
)
def test_the_scene_of_two_slots_asks_for_a_mix(api, is_broken):
    assert ("I14" in explored("two-slots+straddle", api).violated) == is_broken


def test_the_grace_periods_of_the_proposed_exit_keep_its_parts_in_one_layout():
    w = SCENES["two-slots+straddle"].world(APIS["user-exit"])
    small = replace(w, accesses_max=1, accesses=tuple(a for a in w.accesses if a.npages > 1))
    (program,) = small.programs
    ends = [n for n, op in enumerate(program) if op.step.__name__ == "end_grace_period"]
    kept = tuple(op for n, op in enumerate(program) if n not in ends)

    assert broken(small) == set()
    assert "I14" in broken(small.mutated(Program(kept)))


def test_both_parts_of_a_store_are_pushed_to_the_ring_of_the_vcpu_that_makes_it():
    logs = Slot("old", 0, 2, log=True, number=1)
    on = straddling(Change((logs,), (logs,)), ring=True)

    on.run(on.accessing(WIDE_STORE, cpu=1))

    known, cpu = on.world.ring_entries, on.world.cpu
    pushed = [[one.offset for n, one in enumerate(known) if on.m.ring[v, n]] for v in cpu]
    assert pushed == [[], [0, 1]]
