"""A look-up in two steps: what it finds, and that no set is edited in the middle of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import GONE, OLD, stage, until

from memslotlib.check import explore
from memslotlib.litmus_model import api, broken_by, mutant, scene
from memslotlib.protocol.kernel import free
from memslotlib.protocol.kernel import replace as edit
from memslotlib.protocol.model import model
from memslotlib.protocol.pointer import access_by_pointer, device_by_pointer, set_number
from memslotlib.protocol.program import Op
from memslotlib.protocol.properties import stated, violated
from memslotlib.protocol.world import X86, Access

EMULATED, LATER = Access("load", 0, "emulator"), Access("load", 1, "emulator")

SPLIT = scene("split+pointer")
I16 = stated("I16").name


def world(key, scene=SPLIT, **more):
    return replace(scene.world(api(key)), **more)


def found(w):
    return violated(explore(model(w), traces=False))


@pytest.mark.parametrize("key", ["today", "pause", "wholesale-swap", "primitives", "user-exit"])
def test_no_set_is_edited_while_somebody_looks_in_it(key):
    assert "I16" not in found(world(key, accesses_max=2))


@pytest.mark.parametrize("step", ["begin", "end"])
def test_without_the_grace_period_of_a_create_one_is(step):
    broken = broken_by(SPLIT, api("today"), X86, f"without the last {step} grace period", "I16")

    assert "I16" in broken


def test_a_pause_leaves_the_device_to_wait_for():
    w = mutant(world("pause", accesses_max=1), "without the last begin grace period")

    assert "I16" in found(w)
    assert "I16" not in found(replace(w, outside=()))


def test_a_vcpu_alone_is_waited_for_as_well():
    w = mutant(world("today", outside=(), accesses_max=1), "without the last begin grace period")

    assert "I16" in found(w)


def test_the_trace_shows_the_pointer_the_edit_and_who_looks():
    w = mutant(world("today", accesses_max=1), "without the last begin grace period")
    trace = explore(model(w)).trace(I16)

    assert trace.steps[-1].label == "inactive set: - by high"
    assert any(one.label.endswith("reads which set is active") for one in trace.steps)


def test_a_look_up_finds_what_is_in_the_set_that_was_active_when_it_began():
    w = world("wholesale-swap", scene("hva-flip+pointer"), outside=(), accesses_max=1, vcpus=1)
    w = replace(w, accesses=(Access("load", 1, "emulator"),))
    broken = explore(model(w))
    late = [one for one in broken.program.roles[0].paths if str(one.label).endswith("found old")]

    # It reads the pointer before the swap, walks after it, and the grace period waits for it.
    assert late
    assert violated(broken) == {}
    without = mutant(w, "without begin grace period")
    assert {"I1", "I2", "I16"} <= set(found(without))


def test_each_set_of_each_space_has_a_number_of_its_own():
    numbers = {set_number(as_id, which) for as_id in (0, 1) for which in (0, 1)}

    assert len(numbers) == 4
    assert 0 not in numbers


def test_where_look_ups_are_one_step_nobody_asks():
    w = scene("split+emulator").world(api("today"))

    assert I16 not in {one.name for one in model(w).properties}
    assert I16 in {one.name for one in model(world("today")).properties}


@pytest.mark.parametrize("by_device", [True, False])
def test_a_slot_that_is_freed_between_the_pointer_and_its_use_is_used_all_the_same(by_device):
    by = "device" if by_device else "emulator"
    store, loaded = Access("store", 1, "device"), Access("load", 1, by)
    parts = {"outside": (store, loaded) if by_device else (store,), "accesses": (EMULATED, LATER)}
    on = stage(GONE, edit(OLD, None), Op(free, (OLD,)), pointers=True, **parts)
    who = (device_by_pointer,) if by_device else (access_by_pointer,)
    more = () if by_device else (on.world.cpu[0],)
    actor = on.start(*who, on.world, *more, loaded)
    until(actor, "load gfn 1 via")
    on.run(on.update())
    on.run(actor)

    assert "I1 no use of a slot that was freed" in on.failed
