"""Shadow pages: where they are accounted, what takes them away, and what forgets to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import FLIP, GONE, NEW, OLD, STORE, broken, searched, until, world

from memslotlib.check import explore
from memslotlib.protocol.apis import APIS, primitives, today
from memslotlib.protocol.kernel import begin_grace_period, synchronize
from memslotlib.protocol.mmu import zap_all, zap_gfns, zap_slot
from memslotlib.protocol.model import model
from memslotlib.protocol.program import Op, Program
from memslotlib.protocol.properties import violated
from memslotlib.protocol.scenes import SCENES
from memslotlib.protocol.sequential import Sequential
from memslotlib.protocol.shadow import account, zap_gfns_and_tables
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import X86, X86_SHADOW, X86_SHADOW_SLOT_ZAP, Access

WALK, NEXT = Access("load", 0, "walk"), Access("load", 1, "walk")
STAYS = Change((OLD,), (OLD,))
SCENE = SCENES["truncate+shadowing"]


def staged(change, *ops, policy=X86_SHADOW):
    events = "an access gets to memory", "an access meets a hole"
    made = world(change, Program(ops), accesses=(WALK, NEXT), policy=policy, events=events)
    return Sequential(made)


def walking(stage, access=WALK, cpu=0):
    """Return a vCPU that is about to make an access, by the step that the model puts there."""
    return stage.accessing(access, cpu)


def test_a_table_that_is_walked_is_accounted_in_its_slot_and_once():
    stage = staged(FLIP, *today.update(FLIP, X86_SHADOW))

    stage.run(walking(stage, NEXT))
    stage.m.shadowed[0] = "new"
    stage.run(walking(stage, WALK))

    assert list(stage.m.shadowed) == ["new", "old"]


def test_worlds_without_shadow_pages_have_no_such_variable():
    for policy, accesses in ((X86, (WALK,)), (X86_SHADOW, (Access("load", 0, "emulator"),))):
        w = world(STAYS, Program(()), accesses=accesses, policy=policy)
        assert not w.shadows
        assert "shadowed" not in model(w).variables
    assert world(STAYS, Program(()), accesses=(WALK, STORE), policy=X86_SHADOW).shadows


@pytest.mark.parametrize(
    ("op", "left"),
    [
        (Op(zap_all), ["-", "-"]),
        (Op(zap_slot, (Slot("high", 1, 1),)), ["old", "-"]),
        (Op(zap_gfns, (0, (0, 1))), ["old", "old"]),
        (Op(zap_gfns_and_tables, (0, (0,))), ["-", "old"]),
    ],
)
def test_what_takes_shadow_pages_away(op, left):
    stage = staged(STAYS, op)
    for access in (WALK, NEXT):
        stage.run(walking(stage, access))

    stage.run(stage.update())

    assert list(stage.m.shadowed) == left


def test_a_table_in_an_invalid_slot_or_in_none_is_no_table():
    stage = staged(GONE, *today.delete(OLD, X86_SHADOW))
    update = stage.update()
    until(update, "swap active set")

    assert stage.run(walking(stage)) == [f"{WALK}: no slot to use"]
    stage.run(update)
    assert stage.run(walking(stage)) == [f"{WALK}: no slot to use"]
    assert list(stage.m.shadowed) == ["-", "-"]


def test_an_obsolete_root_makes_a_walk_begin_again():
    stage = staged(STAYS, Op(zap_all))
    vcpu = walking(stage)
    assert vcpu.step()
    stage.run(stage.update())

    labels = stage.run(vcpu)

    assert labels == [
        f"{WALK}: root obsolete, retry",
        f"{WALK}: found old",
        f"{WALK}: read, and shadowed",
    ]


def test_a_walk_of_a_disabled_slot_leaves_and_finds_what_is_there_then():
    change = Change((replace(OLD, is_disabled=True),), (NEW,))
    stage = staged(change)
    vcpu = walking(stage)

    assert vcpu.step()
    assert vcpu.step()
    assert vcpu.label.endswith("old is disabled")
    assert not vcpu.step()


def test_nothing_to_account_in_is_a_use_of_what_is_gone():
    stage = staged(GONE, *today.delete(OLD, X86_SHADOW))
    stage.run(stage.update())

    account(stage.m, stage.world, WALK)

    assert stage.failed == ["I1 no use of a slot that was freed"]


@pytest.mark.parametrize("policy", [X86_SHADOW, X86_SHADOW_SLOT_ZAP])
def test_a_deletion_without_its_zap_leaves_shadow_pages_behind(policy):
    program = today.update(FLIP, policy)
    w = world(FLIP, program, accesses=(WALK,), policy=policy)
    zaps = [n for n, op in enumerate(program) if op.step.__name__.startswith("zap")]

    assert "I12" not in broken(w)
    assert "I12" in broken(w.mutated(program.without(zaps[0])))


def test_without_the_wait_for_readers_a_walk_accounts_in_what_goes():
    program = today.update(FLIP, X86_SHADOW_SLOT_ZAP)
    w = world(FLIP, program, accesses=(WALK,), policy=X86_SHADOW_SLOT_ZAP)
    first = next(n for n, op in enumerate(program) if op.step is begin_grace_period)
    wait = len(synchronize())

    without = Program(program.ops[:first] + program.ops[first + wait :])
    assert broken(w.mutated(without)) & {"I1", "I12"}


def test_the_primitives_have_to_zap_shadow_pages_of_tables_in_frames_that_go():
    w = replace(SCENE.world(APIS["primitives"], X86_SHADOW), accesses_max=2)
    mended = model(w).with_step(zap_gfns, zap_gfns_and_tables)

    assert any(op.step is zap_gfns for op in primitives.update(SCENE.change, X86_SHADOW))
    assert set(violated(searched(w))) == {"I12"}
    assert violated(explore(mended, traces=False)) == {}
