"""The shared variables: how a run begins, and that a world has those that it needs, no others."""

from __future__ import annotations

import pytest
from protocol.stage import FLIP, GONE, SPLIT, STORE, stage, world

from memslotlib.protocol.apis import pause, primitives, today
from memslotlib.protocol.exits import CHANGE_MAP, HOLD
from memslotlib.protocol.program import Program
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.state import variables
from memslotlib.protocol.world import ABSENT, X86, X86_PML, Entry


def test_at_first_both_sets_are_the_layout_before_and_nothing_is_mapped():
    m = stage(GONE, *today.update(GONE, X86)).m

    assert str(m.sets[0, 0]) == str(m.sets[0, 1]) == "{old}"
    assert m.active[0] == 0
    assert set(m.spte) == {ABSENT}
    assert set(m.owner) == {"-"}
    assert set(m.mode) == {"out"}
    assert set(m.request) == {"-"}
    assert not m.slots_lock
    assert not m.returned


def test_there_is_an_entry_for_each_frame_of_each_space():
    two = Change((Slot("ram", 0, 2), Slot("smm", 0, 2, as_id=1)), ())
    found = variables(world(two))

    assert found["spte"].shape == (4,)
    assert found["tlb"].shape == (2, 4)
    assert found["sets"].shape == (2, 2)


LOGGED = Change((Slot("log", 0, 1, log=True),), ())
TWO = Change((Slot("ram", 0, 1), Slot("smm", 0, 1, as_id=1)), ())


@pytest.mark.parametrize(
    ("name", "there", "not_there"),
    [
        ("paused", world(GONE, pause.update(GONE, X86)), world(GONE, today.update(GONE, X86))),
        ("huge", world(GONE, huge=(0, 1)), world(GONE)),
        ("copying", world(FLIP), world(SPLIT)),
        ("saw_new", world(FLIP), world(SPLIT)),
        ("saw_after", world(SPLIT, mix=True), world(SPLIT)),
        ("smm", world(TWO), world(GONE)),
        ("map", world(GONE, exits=True), world(GONE)),
        ("has_begun", world(GONE, exits=True), world(GONE)),
        (
            "is_held",
            world(GONE, Program(HOLD), exits=True),
            world(GONE, Program((CHANGE_MAP,)), exits=True),
        ),
        ("bitmap", world(LOGGED), world(GONE)),
        ("newer", world(LOGGED), world(GONE)),
        ("generation", world(GONE, today.update(GONE, X86), caches=True), world(GONE)),
        ("mmio_gfn", world(GONE, caches=True), world(GONE)),
        ("mmio_spte", world(GONE, caches=True), world(GONE)),
        ("bitmap", world(LOGGED), world(LOGGED, ring=True, accesses=(STORE,))),
        ("ring", world(LOGGED, ring=True, accesses=(STORE,)), world(LOGGED)),
        ("reaped", world(LOGGED, ring=True, accesses=(STORE,)), world(LOGGED)),
        ("pml", world(LOGGED, policy=X86_PML), world(LOGGED)),
        ("pml", world(LOGGED, policy=X86_PML), world(GONE, policy=X86_PML)),
        (
            "no_huge",
            world(SPLIT, primitives.update(SPLIT, X86, (0, 1)), huge=(0, 1)),
            world(GONE, huge=(0, 1)),
        ),
    ],
)
def test_a_variable_is_there_exactly_where_something_needs_it(name, there, not_there):
    assert name in variables(there)
    assert name not in variables(not_there)


def test_a_world_that_frees_nothing_has_its_variables_all_the_same():
    assert variables(world(GONE))["freed"].shape == (1,)


@pytest.mark.parametrize(
    ("policy", "entry"), [(X86, Entry("A", False)), (X86_PML, Entry("A", True, True))]
)
def test_after_a_round_of_the_log_what_logs_is_mapped_protected_and_accounted(policy, entry):
    mute = Slot("mute", 1, 1)
    on = stage(Change((*LOGGED.before, mute), ()), policy=policy, mapped=True)
    m = on.m

    assert list(m.spte) == [entry, ABSENT]
    assert list(m.owner) == ["log", "-"]
    assert {m.tlb[v, 0] for v in on.world.cpu} == {ABSENT}
