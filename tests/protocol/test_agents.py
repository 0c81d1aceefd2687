"""Who is at work outside of KVM_RUN: vhost, a device of the kernel, another updater."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import FLIP, GONE, LOAD, OLD, SPLIT, broken, stage, until, world

from memslotlib.check import explore
from memslotlib.protocol.agents import SET_TABLE, START, STOP, contender, device, vhost
from memslotlib.protocol.apis import APIS, pause, today, user_exit, wholesale
from memslotlib.protocol.kernel import LOCK, UNLOCK, invalidate, swap, synchronize
from memslotlib.protocol.kernel import replace as edit
from memslotlib.protocol.model import model
from memslotlib.protocol.program import Program
from memslotlib.protocol.scenes import SCENES
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.state import OUTSIDE, READING, variables
from memslotlib.protocol.userspace import COPY
from memslotlib.protocol.world import X86, Access

BY_VHOST, BY_DEVICE = Access("store", 0, "vhost"), Access("store", 0, "device")
OTHER = Slot("other", 2, 1)


def staged(change, *ops, **more):
    return stage(change, *ops, events=(), outside_max=1, **more)


def test_a_world_that_asks_for_nobody_has_the_same_actors_and_variables_as_ever():
    plain = world(FLIP)
    asked = world(FLIP, outside=(BY_VHOST, BY_DEVICE), contender=Program((LOCK, UNLOCK)))

    assert model(plain).actor_names == ("vcpu0", "vcpu1", "ipi0", "ipi1", "updater")
    assert model(asked).actor_names[5:] == ("vhost", "device", "contender")
    new = set(variables(asked)) - set(variables(plain))
    assert new == {"vq_mutex", "table", "vhost_saw_new", "device_srcu"}


def test_vhost_goes_by_its_own_table_whatever_the_slots_are():
    on = staged(FLIP, *today.update(FLIP, X86), SET_TABLE, outside=(BY_VHOST,))
    update = on.update()
    until(update, "the update has returned")

    assert "store gfn 0 via vhost: A accessed" in on.run(on.start(vhost, on.world))
    on.run(update)
    assert "store gfn 0 via vhost: B accessed" in on.run(on.start(vhost, on.world))


def test_a_new_table_and_a_stop_wait_for_a_worker_on_its_way():
    on = staged(FLIP, *STOP, SET_TABLE, START, outside=(BY_VHOST,))
    worker, update = on.start(vhost, on.world), on.update()
    until(worker, "store gfn 0 via vhost: translated to A")
    until(update, "stop vhost")

    assert not update.step()
    until(worker, "store gfn 0 via vhost: A accessed")
    until(update, "VHOST_SET_MEM_TABLE")
    late = on.start(vhost, on.world)
    assert not late.step()
    until(update, "start vhost")
    assert "store gfn 0 via vhost: B accessed" in on.run(late)


def test_a_store_of_vhost_to_a_page_that_is_copied_is_lost_and_its_load_is_not():
    lost = ["I4b no write to the old page once it is being copied"]
    for access, failed in ((BY_VHOST, lost), (Access("load", 0, "vhost"), [])):
        on = staged(FLIP, COPY, outside=(access,))
        on.run(on.update())
        on.run(on.start(vhost, on.world))
        assert on.failed == failed


def test_a_vcpu_that_sees_the_old_page_after_vhost_saw_the_new_one_is_told_apart():
    on = staged(FLIP, SET_TABLE, outside=(BY_VHOST,))
    on.run(on.update())
    on.run(on.start(vhost, on.world))
    on.access(LOAD)

    assert on.failed == ["I4a' no vCPU sees the old page after another saw the new one"]


@pytest.mark.parametrize("edits", [invalidate(OLD), (edit(OLD, None), *swap(0))])
def test_a_device_finds_invalid_and_no_slot_to_be_holes(edits):
    on = staged(Change((OLD,), (OLD,)), *edits, outside=(BY_DEVICE,))
    on.run(on.update())

    assert "store gfn 0 via device: dropped" in on.run(on.start(device, on.world))
    assert on.failed == ["I3a no hole where the page stays"]
    assert on.m.device_srcu == OUTSIDE


def test_a_grace_period_waits_for_a_device_that_is_inside():
    on = staged(SPLIT, *synchronize(), outside=(BY_DEVICE,))
    inside, update = on.start(device, on.world), on.update()
    assert inside.step()
    assert on.m.device_srcu == READING
    until(update, "synchronize_srcu: begin")

    assert not update.step()
    on.run(inside)
    on.run(update)


def test_a_device_drops_its_store_at_a_disabled_slot_unless_it_can_wait():
    for waits, failed in ((False, ["I3a no hole where the page stays"]), (True, [])):
        on = staged(SPLIT, *user_exit.update(SPLIT, X86), outside=(BY_DEVICE,), waits=waits)
        update = on.update()
        until(update, "swap active set")
        access = on.start(device, on.world)
        while access.step():
            pass
        on.run(update)
        on.run(access)
        assert on.failed == failed


def test_a_device_marks_what_it_writes_dirty():
    log = Slot("log", 0, 1, log=True)
    on = staged(Change((log,), ()), outside=(BY_DEVICE,))

    on.run(on.start(device, on.world))

    assert on.dirty(log) == {0}


def test_a_pause_keeps_neither_vhost_nor_a_device_away():
    parts = {"accesses_max": 1, "outside_max": 1}
    ops = (*pause.update(FLIP, X86).ops, SET_TABLE)
    by_vhost = world(FLIP, Program(ops), outside=(BY_VHOST,), **parts)
    by_device = world(SPLIT, pause.update(SPLIT, X86), outside=(BY_DEVICE,), **parts)

    assert broken(by_vhost) == {"I4b"}
    assert broken(by_device) == {"I3a"}
    assert broken(replace(by_device, outside=())) == set()


def test_what_fails_names_its_observer():
    w = world(SPLIT, pause.update(SPLIT, X86), outside=(BY_DEVICE,), accesses_max=1)
    trace = explore(model(w)).trace("I3a no hole where the page stays")

    assert "store gfn 0 via device" in str(trace)


def test_a_step_that_uses_a_freed_slot_of_a_device_is_found():
    program = today.update(GONE, X86)
    w = world(GONE, program, outside=(BY_DEVICE,), accesses_max=1, outside_max=1)
    waits = [n for n, op in enumerate(program) if op.step.__name__ == "end_grace_period"]

    assert "I1" not in broken(w)
    assert "I1" in broken(w.mutated(program.without(waits[-1])))


@pytest.mark.parametrize("number", [0, -1])
def test_with_another_updater_slots_lock_is_needed_and_has_to_be_given_back(number):
    plug = Program(today.create(OTHER), "plug")
    program = Program(wholesale.block_first(SPLIT, X86).ops[:-1])
    alone = world(SPLIT, program, accesses_max=1)
    w = replace(alone, gfns=3, contender=plug)
    mutant = program.without(number % len(program))

    assert broken(alone.mutated(mutant)) == set()
    assert broken(w) == set()
    assert broken(w.mutated(mutant)) != set()


def test_the_other_updater_takes_the_steps_of_its_own_program():
    on = staged(SPLIT, gfns=3, contender=Program(today.create(OTHER)))

    labels = on.run(on.start(contender, on.world))

    assert labels[0] == "mutex_lock(slots_lock)"
    assert str(on.m.sets[0, on.m.active[0]]) == "{old other}"


def test_userspace_does_about_vhost_what_the_scene_says():
    found = {
        when: [op.step.__name__ for op in SCENES[name].world(APIS["today"]).programs[0]]
        for when, name in (
            ("after", "hva-flip+vhost"),
            ("before", "hva-flip+vhost-first"),
            ("stopped", "hva-flip+vhost-stopped"),
        )
    }

    assert found["after"][-1] == found["before"][0] == "set_mem_table"
    assert found["stopped"][:2] == ["stop_vhost", "await_stopped"]
    assert found["stopped"][-2:] == ["set_mem_table", "start_vhost"]
