"""Pausing around today's ioctls: nobody sees anything between, and what each step is for."""

from __future__ import annotations

import pytest
from protocol.stage import EMULATED, FLIP, SPLIT, broken, count, survivors, until, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import pause, today
from memslotlib.protocol.world import ARM64, X86, every

BOTH_WAYS = every(("load", "store"), (0,), ("guest", "emulator"))


def test_todays_steps_stand_between_pause_and_resume_and_the_return_before_resume():
    names = [op.step.__name__ for op in pause.update(SPLIT, X86)]

    assert names[:2] == ["pause", "await_paused"]
    assert names[-2:] == ["ioctl_returns", "resume"]
    assert names[2:-1] == [op.step.__name__ for op in today.update(SPLIT, X86)]
    assert count(pause.update(SPLIT, X86), "ioctl_returns") == 1


def test_nobody_is_inside_while_slots_change():
    stage = staged(SPLIT, *pause.update(SPLIT, X86))
    update = stage.update()
    until(update, "all vCPUs are out of KVM_RUN")

    assert not stage.accessing(EMULATED).step()
    stage.run(update)
    stage.access(EMULATED)
    assert stage.failed == []


@pytest.mark.parametrize("policy", [X86, ARM64])
@pytest.mark.parametrize("change", [SPLIT, FLIP])
def test_a_pause_breaks_nothing_whatever_a_vcpu_does(policy, change):
    program = pause.update(change, policy)

    assert broken(world(change, program, accesses=BOTH_WAYS, policy=policy)) == set()


@pytest.mark.parametrize(
    ("policy", "kicks"),
    [(X86, {"await kicked"}), (ARM64, {"request flush", "await kicked"})],
)
def test_every_step_of_a_pause_is_needed_but_for_these(policy, kicks):
    """Who is paused reads no slot and is not in the guest, so nobody waits for readers or kicks.

    A paused vCPU obeys what the pause asked of it before it enters, so the flush is there twice.
    The copy is looked at by a property only; there is one updater; memory may be kept.
    """
    program = pause.update(FLIP, policy)
    found = survivors(world(FLIP, program, accesses=BOTH_WAYS, policy=policy))

    assert {name.partition(" ")[2] for name in found} == kicks | {
        "take slots lock",
        "begin grace period",
        "end grace period",
        "free old!",
        "free old",
        "begin copy",
        "release slots lock",
    }
    last = max(int(name.split()[0]) for name in found if "release" in name)
    assert [name for name in found if "release" in name] == [f"{last} release slots lock"]
