"""Attributes of frames: a page fault does not notice that the slot is gone, KVM itself does."""

from __future__ import annotations

import pytest
from protocol.stage import EMULATED, FLIP, LOAD, SPLIT, broken, moments, stage, until, world

from memslotlib.protocol.apis import attributes, today
from memslotlib.protocol.sequential import Outcome
from memslotlib.protocol.world import ABSENT, ARM64, X86, every


def test_the_slots_change_as_today_between_deny_and_allow():
    names = [op.step.__name__ for op in attributes.update(SPLIT, X86)]
    inside = names[names.index("deny") : names.index("allow")]

    plain = [op.step.__name__ for op in today.update(SPLIT, X86)][:-1]
    assert " ".join(plain) in " ".join(inside)
    assert moments(stage(SPLIT, *attributes.update(SPLIT, X86))) == ["old", "old!", "-", "low"]


def test_a_page_fault_leaves_while_there_is_no_slot_and_is_over_when_access_is_allowed():
    on = stage(SPLIT, *attributes.update(SPLIT, X86))
    on.access(LOAD)
    update = on.update()
    until(update, "zap the SPTEs")
    assert on.m.spte[0] == ABSENT
    while on.m.sets[0, on.m.active[0]]:
        if not update.step():
            assert on.interrupts[0].step()
    fault = on.accessing(LOAD, cpu=1)
    until(fault, "load gfn 0 via guest: exit, denied")

    assert not fault.step()
    on.run(update)
    on.run(fault)
    assert on.failed == []


def test_an_access_of_kvms_own_meets_the_hole():
    on = stage(SPLIT, *attributes.update(SPLIT, X86))
    update = on.update()
    until(update, "swap active set")

    assert on.access(EMULATED) == Outcome("hole")


@pytest.mark.parametrize("policy", [X86, ARM64])
def test_page_faults_meet_no_hole_on_any_architecture_and_kvm_does(policy):
    program = attributes.update(FLIP, policy)
    faults = world(
        FLIP, program, accesses=every(("load", "store"), (0,), ("guest",)), policy=policy
    )
    own = world(FLIP, program, accesses=(EMULATED,), policy=policy)

    assert broken(faults) == set()
    assert broken(own) == {"I3b"}
