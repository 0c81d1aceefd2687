"""What is remembered of a hole: generations, step by step, and what breaks without each step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import (
    EMULATED,
    FLIP,
    LOAD,
    OLD,
    SPLIT,
    broken,
    count,
    searched,
    until,
    world,
)
from protocol.stage import stage as staged

from memslotlib.check import explore
from memslotlib.litmus_model import ModelRunner, explored
from memslotlib.protocol.apis import APIS, flags, pause, today
from memslotlib.protocol.kernel import (
    LOCK,
    RETURN,
    UNLOCK,
    invalidate,
    publish,
    swap,
    synchronize,
)
from memslotlib.protocol.kernel import replace as edit
from memslotlib.protocol.mmio import (
    generational,
    mark_in_progress,
    memslots_updated,
    remember,
    store_generation,
    tag,
)
from memslotlib.protocol.mmu import zap_all
from memslotlib.protocol.model import model
from memslotlib.protocol.program import Op, Program
from memslotlib.protocol.properties import violated
from memslotlib.protocol.scenes import SCENES
from memslotlib.protocol.sequential import Outcome
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.state import NO_GFN, NO_TAG, OUT, OUTSIDE, READING, variables
from memslotlib.protocol.vcpu import enter_guest, guest_access, kvm_access, page_fault
from memslotlib.protocol.world import (
    ABSENT,
    ARM64,
    X86,
    X86_BEFORE_5_13,
    X86_KEEPS_SPACE,
    Access,
    Entry,
    every,
)
from memslotlib.verdict import Word

SLOT, SPARE = Slot("s", 0, 1), Slot("spare", 1, 1)
COME = Change((), (SLOT,))
TWO = Change((Slot("ram", 0, 1), Slot("smm", 0, 1, as_id=1)), (Slot("smm", 0, 1, as_id=1),))
CREATED = generational(Program((*today.create(SLOT), RETURN), "create"))
TWICE = generational(Program((*today.create(SPARE), *today.create(SLOT), RETURN), "create twice"))
I6 = "I6 generations are unique and only grow"
GENERATIONS = (mark_in_progress, store_generation)
KEPT = "the vCPU keeps it as MMIO"


def on_stage(change, *ops, **more):
    return staged(change, *generational(Program(ops)), caches=True, **more)


def created(**more):
    """Return two vCPUs that may read, by page tables or the emulator, a slot that comes."""
    parts = {"accesses": (LOAD, EMULATED), "accesses_max": 3, "caches": True, **more}
    return world(COME, CREATED, **parts)


def numbers(on, as_id=0):
    """Return the generation that look-ups read, and whether it is marked."""
    active = on.m.active[as_id]
    return int(on.m.generation[as_id, active]), bool(on.m.in_progress[as_id, active])


def labels(actor):
    return list(actor.labels())


# The steps of an update


def test_a_swap_takes_the_steps_of_the_kernel_in_their_order():
    assert [op.step.__name__ for op in CREATED][2:8] == [
        "mark_in_progress",
        "publish",
        "begin_grace_period",
        "end_grace_period",
        "memslots_updated",
        "store_generation",
    ]
    assert [op.arguments for op in CREATED][2] == (0,)
    plain = Program((LOCK, UNLOCK), "nothing")
    assert generational(plain).ops == plain.ops
    assert generational(plain).name == "nothing"
    again = generational(Program((*swap(0), *synchronize())))
    assert count(again, "store_generation") == 1


def test_look_ups_read_the_mark_from_the_swap_until_the_grace_period_is_over():
    on = on_stage(COME, *today.create(SLOT))
    update, seen = on.update(), [numbers(on)]
    while update.step():
        if numbers(on) != seen[-1]:
            seen.append(numbers(on))

    assert seen == [(0, False), (0, True), (1, False)]
    assert on.failed == []


def test_spaces_have_generations_of_their_own_and_skip_those_of_the_others():
    on = on_stage(TWO, *swap(1), *swap(0), *swap(0))
    assert (numbers(on, 0), numbers(on, 1)) == ((0, False), (1, False))

    on.run(on.update())

    assert (numbers(on, 0), numbers(on, 1)) == ((4, False), (3, False))
    assert list(on.m.newest) == [4, 3]
    assert all(on.m.used[n] for n in range(5))
    assert on.failed == []


@pytest.mark.parametrize(
    ("ops", "is_broken"),
    [
        (list(generational(Program(swap(0)))), False),
        ([op for op in generational(Program(swap(0))) if op.step is not mark_in_progress], True),
        ([Op(mark_in_progress, (0,)), Op(publish, (0,)), Op(mark_in_progress, (0,))], True),
        ([LOCK, Op(mark_in_progress, (0,)), Op(publish, (0,)), UNLOCK], True),
    ],
)
def test_i6_is_broken_by_a_swap_without_a_mark_one_upon_another_and_a_mark_at_rest(ops, is_broken):
    on = staged(COME, *ops, caches=True)

    on.run(on.update())

    assert (I6 in on.failed) == is_broken


@pytest.mark.parametrize(("newest", "used"), [(0, 2), (2, 3)])
def test_i6_is_broken_by_a_number_that_was_there_or_that_is_not_above_the_last_one(newest, used):
    for is_ours in (True, False):
        on = on_stage(TWO, *swap(0))
        on.m.newest[0] = newest if is_ours else 0
        on.m.used[used if is_ours else 3] = True

        on.run(on.update())

        assert on.failed == ([I6] if is_ours else [])


# What a fault leaves behind, and who believes it


def test_a_fault_without_a_slot_leaves_an_mmio_spte_and_its_vcpu_keeps_the_frame():
    on = on_stage(COME)
    v, w = on.world.cpu
    on.access(LOAD, cpu=0)

    assert (on.m.mmio_spte[0], on.m.mmio_gfn[v], on.m.mmio_gen[v]) == (0, 0, 0)
    assert (on.m.mmio_gfn[w], on.m.srcu[v]) == (NO_GFN, OUTSIDE)
    other = on.accessing(LOAD, cpu=1)
    until(other, f"{LOAD}: MMIO SPTE of this generation")
    assert (on.m.mmio_gfn[w], on.m.srcu[w], on.m.mode[w]) == (0, READING, "out")
    assert labels(other) == [f"{LOAD}: {KEPT}"]
    assert on.m.srcu[w] == OUTSIDE


def test_a_frame_is_mmio_by_what_the_vcpu_keeps_to_the_emulator_and_not_to_a_walk():
    on = on_stage(COME)
    on.access(LOAD)

    assert labels(on.accessing(EMULATED)) == [f"{EMULATED}: {KEPT}"]
    for access in (Access("load", 0, "walk"), Access("store", 0, "smi"), Access("load", 1)):
        assert not any(KEPT in one for one in labels(on.accessing(access))[:2])
    assert "no slot to use" in labels(on.accessing(EMULATED, cpu=1))[-1]


def test_after_the_update_neither_is_believed_and_the_page_takes_the_mmio_sptes_place():
    on = on_stage(COME, *today.create(SLOT), RETURN)
    on.access(LOAD)
    on.run(on.update())

    assert on.access(EMULATED) == Outcome("memory", "A")
    assert "fault: found s" in labels(on.accessing(LOAD))
    assert (on.m.mmio_spte[0], on.m.spte[0]) == (NO_TAG, Entry("A", True))
    assert on.failed == []


def test_nothing_is_believed_or_kept_while_an_update_is_in_progress():
    on = on_stage(Change((), (SPARE,)), *today.create(SPARE))
    on.access(LOAD, cpu=0)
    on.access(Access("load", 1), cpu=1)
    update = on.update()
    until(update, "swap active set")

    found = labels(on.accessing(LOAD, cpu=1))
    assert f"{LOAD}: MMIO SPTE of this generation" not in found
    assert "fault: found no slot" in found
    assert on.m.mmio_gfn[on.world.cpu[1]] == 1
    assert "no slot to use" in labels(on.accessing(EMULATED, cpu=0))[-1]
    assert on.m.mmio_spte[0] == 0
    on.run(update)
    assert on.m.mmio_spte[0] != numbers(on)[0]


def test_who_found_no_slot_in_the_old_set_tags_with_the_old_number_and_looks_once_more():
    on = on_stage(COME, *today.create(SLOT), RETURN)
    fault, update = on.accessing(LOAD), on.update()
    until(fault, "fault: found no slot")
    until(update, "synchronize_srcu: begin")

    assert not update.step()
    assert f"{LOAD}: done" in labels(fault)
    assert (on.m.mmio_spte[0], on.m.mmio_gfn[on.world.cpu[0]]) == (0, NO_GFN)
    on.run(update)
    assert on.access(LOAD) == Outcome("memory", "A")


def test_an_mmio_spte_goes_over_what_another_vcpu_has_mapped_since():
    on = on_stage(COME, *today.create(SLOT))
    fault, update = on.accessing(LOAD, cpu=0), on.update()
    until(fault, "fault: the vCPU keeps the frame")
    until(update, "swap active set")
    on.access(LOAD, cpu=1)
    assert on.m.spte[0] == Entry("A", True)

    until(fault, "MMIO SPTE at gfn 0")

    assert (on.m.spte[0], on.m.owner[0], on.m.mmio_spte[0]) == (ABSENT, "-", 0)
    labels(fault)
    on.run(update)
    assert on.access(LOAD, cpu=1) == Outcome("memory", "A")


def test_zap_all_takes_mmio_sptes_too_and_a_fault_whose_root_is_obsolete_leaves_none():
    on = on_stage(COME, Op(zap_all))
    on.access(LOAD, cpu=1)
    on.run(on.update())
    assert on.m.mmio_spte[0] == NO_TAG

    fault = on.accessing(LOAD)
    until(fault, "fault: found no slot")
    on.m.request[on.world.cpu[0]] = "reload"
    until(fault, "fault: root obsolete, retry")
    assert on.m.mmio_spte[0] == NO_TAG
    until(fault, "MMIO SPTE at gfn 0")


def test_a_fault_on_an_invalid_slot_is_retried_and_remembers_nothing():
    on = on_stage(SPLIT, *invalidate(OLD))
    on.run(on.update())
    fault = on.accessing(LOAD)

    until(fault, "fault: INVALID, retry")

    assert (on.m.mmio_spte[0], on.m.mmio_gfn[on.world.cpu[0]]) == (NO_TAG, NO_GFN)


def test_a_pause_waits_for_who_is_on_the_way_from_a_fault_to_the_emulator():
    w = replace(created(), programs=(generational(pause.update(COME, X86)),))

    assert broken(w) == set()


def test_before_5_13_an_invalid_slot_is_remembered_as_a_hole_and_not_beyond_its_end():
    on = on_stage(SPLIT, *invalidate(OLD), edit(OLD, OLD), *swap(0), policy=X86_BEFORE_5_13)
    update = on.update()
    until(update, "generation of as_id 0: 1")
    on.access(LOAD)
    assert on.m.mmio_spte[0] == 1

    on.run(update)

    assert on.access(EMULATED) == Outcome("memory", "A")
    for policy in (X86, X86_BEFORE_5_13):
        w = SCENES["split-cached+emulator"].world(APIS["rfc-intended"], policy)
        assert not {"I15", "I15'", "I6"} & broken(w)


# What breaks without it


@pytest.mark.parametrize(
    ("without", "found"),
    [
        ((), set()),
        ((mark_in_progress,), {"I6", "I15'"}),
        ((store_generation,), {"I6"}),
        (GENERATIONS, {"I6", "I15", "I15'"}),
    ],
)
def test_the_mark_the_number_and_both_are_needed(without, found):
    w = created()
    kept = Program(tuple(op for op in CREATED if op.step not in without))

    assert broken(w.mutated(kept)) == found
    assert explore(model(w), traces=False).vacuous == ()


def test_a_number_that_is_stored_before_the_grace_period_lets_a_hole_outlive_the_update():
    ops = list(CREATED)
    (store,) = [n for n, op in enumerate(ops) if op.step is store_generation]
    ops.insert(4, ops.pop(store))
    assert ops[3].step is publish
    w = created()

    result = searched(w.mutated(Program(tuple(ops))))

    assert set(violated(result)) == {"I15", "I15'"}


#: Leaving out a step, or exchanging two neighbours, of the second of two swaps, where the tags
#: begin again: its number, and what breaks. All the others break what they did without generations.
SWAPPED = {
    "without 13: mark in progress 0": {"I6", "I15", "I15'"},
    "without 15: begin grace period": {"I15", "I15'"},
    "without 16: end grace period": {"I15", "I15'"},
    "without 17: memslots updated 0": {"I15", "I15'"},
    "without 18: store generation 0": {"I6"},
    "14 before 13: publish 0": {"I6", "I15", "I15'"},
    "15 before 14: begin grace period": {"I15", "I15'"},
    "16 before 15: end grace period": {"I15", "I15'"},
    "17 before 16: memslots updated 0": set(),
    "18 before 17: store generation 0": {"I15", "I15'"},
}


def test_each_step_of_a_swap_has_its_place_where_tags_wrap_too():
    w = replace(created(tags=2), change=Change((), (SPARE, SLOT)), programs=(TWICE,))
    assert broken(w) == set()

    mutants = {one.name: one for one in TWICE.mutants}
    found = {name: broken(w.mutated(mutants[name])) for name in SWAPPED}

    assert found == SWAPPED


def access_in_two_steps(m, w, v, access):
    """An access of the guest that sleeps between reading an MMIO SPTE and the generation."""
    frame = w.at(access.as_id, access.gfn)
    is_over = False
    while not is_over:
        if m.mode[v] == OUT:
            yield from enter_guest(m, w, v)
        elif m.spte[frame].permits(access):
            is_over = True
            yield "memory"
        elif m.mmio_spte[frame] == NO_TAG:
            is_over = yield from page_fault(m, w, v, access)
        else:
            found = int(m.mmio_spte[frame])
            m.mode[v] = OUT
            m.srcu[v] = READING
            yield "MMIO SPTE is read"
            if found == tag(m, w, 0) and not m.in_progress[0, m.active[0]]:
                remember(m, w, v, access)
                yield "generation is read"
                yield from kvm_access(m, w, v, access)
                is_over = True
            else:
                is_over = yield from page_fault(m, w, v, access)


def test_tags_that_begin_again_while_an_mmio_spte_is_checked_let_a_hole_outlive_the_update():
    for tags, found in ((2, {"I15", "I15'"}), (4, set())):
        w = replace(created(tags=tags), change=Change((), (SPARE, SLOT)), programs=(TWICE,))
        apart = model(w).with_step(guest_access, access_in_two_steps)
        assert set(violated(explore(apart, traces=False))) == found


def test_with_more_tags_than_updates_nothing_is_zapped():
    for tags, zaps in ((2, 1), (4, 0), (1 << 19, 0)):
        on = on_stage(COME, *swap(0), *swap(0), tags=tags)
        wrapped = [one for one in on.run(on.update()) if one.startswith("generation wraps")]
        assert len(wrapped) == zaps
    on = on_stage(COME, *swap(0), *swap(0), tags=2)
    on.m.mode[on.world.cpu[0]] = "in"
    update = on.update()
    until(update, "generation wraps")
    assert not update.step()
    assert on.interrupts[0].step()
    assert update.step()
    two = on_stage(TWO, *swap(1), *swap(1), tags=4)
    assert sum(one.startswith("generation wraps") for one in two.run(two.update())) == 1


# Every API, and what needs another number


@pytest.mark.parametrize("key", [key for key in APIS if not SCENES["move+load"].refusal(APIS[key])])
def test_whatever_brings_memory_needs_another_generation(key):
    w = SCENES["move-cached+emulator"].world(APIS[key])
    (program,) = w.programs
    stays = Program(tuple(op for op in program if op.step not in GENERATIONS))

    assert not {"I6", "I15", "I15'"} & broken(w)
    assert broken(w.mutated(stays)) >= {"I6", "I15", "I15'"}


def test_flags_bring_no_memory_so_only_i6_notices_a_generation_that_stays():
    log = Change((OLD,), (replace(OLD, name="log", log=True),))
    program = generational(flags.update(log, X86))
    accesses = every(("load",), (0, 2), ("guest", "emulator"))
    w = world(log, program, gfns=3, accesses=accesses, caches=True)
    stays = Program(tuple(op for op in program if op.step not in GENERATIONS))

    assert broken(w) == set()
    assert broken(w.mutated(stays)) == {"I6"}


def test_a_hole_between_delete_and_create_is_met_and_does_not_outlive_it():
    scene = SCENES["split-cached+emulator"]
    events = (*scene.events, "a remembered hole is believed")
    w = replace(scene.world(APIS["today"]), events=events)
    (program,) = w.programs
    stays = Program(tuple(op for op in program if op.step not in GENERATIONS))

    result = searched(w)
    assert set(violated(result)) == {"I3a"}
    assert result.vacuous == ()
    assert broken(w.mutated(stays)) >= {"I3a", "I15", "I15'"}


# Policies, and address spaces


def test_arm64_remembers_nothing_and_the_claims_do_not_apply():
    scene = SCENES["grow-cached+emulator"]
    w = scene.world(APIS["today"], ARM64)

    assert not w.caches
    assert not {"generation", "mmio_spte", "mmio_gfn"} & set(variables(w))
    assert "store_generation" not in {op.step.__name__ for op in w.ops}
    for identity in ("I6", "I15", "I15'"):
        verdict = explored("grow-cached+emulator", "today", "arm64").verdict(identity)
        assert verdict.word is Word.DOES_NOT_APPLY


@pytest.mark.parametrize(
    ("name", "found"),
    [("grow-isolated+emulator", "I11"), ("create-smm-cached+emulator", "I15")],
)
def test_what_a_vcpu_keeps_confuses_spaces_unless_it_goes_by_its_own(name, found):
    for policy, is_broken in ((X86, True), (X86_KEEPS_SPACE, False)):
        run = ModelRunner(policy).run(SCENES[name], APIS["primitives"])
        assert (found in run.violated) == is_broken
        assert ("I15'" in run.violated) == is_broken
        assert run.result.vacuous == ()


def test_an_mmio_spte_in_smm_is_believed_by_what_the_vcpu_keeps_though_its_tag_is_old():
    on = on_stage(
        Change((SLOT, Slot("low", 1, 1, as_id=1)), (SLOT, Slot("low", 1, 1, as_id=1))), *swap(1)
    )
    smm = Access("load", 0, "guest", 1)
    on.access(smm)
    on.run(on.update())
    assert (on.m.mmio_spte[on.world.at(1, 0)], numbers(on, 1)) == (1, (3, False))

    assert f"{smm}: MMIO SPTE of this generation" in labels(on.accessing(smm))


def test_page_tables_without_role_smm_show_one_space_in_the_other():
    w = SCENES["grow-isolated+smi"].world(APIS["primitives"])

    assert "I11" not in broken(w)
    assert "I11" in broken(replace(w, has_role_smm=False))


def test_worlds_that_do_not_ask_have_neither_the_steps_nor_the_variables():
    plain, asked = world(FLIP, today.update(FLIP, X86)), created()

    new = {"generation", "in_progress", "mmio_spte", "mmio_gfn", "mmio_gen", "newest", "used"}
    assert not new & set(variables(plain))
    assert new < set(variables(asked))
    assert memslots_updated.__name__ not in {op.step.__name__ for op in plain.ops}
