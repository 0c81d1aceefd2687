"""MOVE: both places at one instant, two swaps, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import GONE, OLD, SPLIT, STORE, broken, count, moments, survivors, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import move
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ARM64, X86, every

HERE, THERE = Slot("here", 0, 1), Slot("there", 1, 1, "A-1")
CHANGE = Change((HERE,), (THERE,))
WIDE, NEXT = Slot("wide", 0, 2), Slot("next", 1, 2, "A-1")


def test_the_old_place_is_invalid_and_goes_when_the_new_one_comes():
    assert moments(staged(CHANGE, *move.update(CHANGE, X86)), 0) == ["here", "here!", "-"]
    assert moments(staged(CHANGE, *move.update(CHANGE, X86)), 1) == ["-", "there"]
    assert count(move.update(CHANGE, X86), "publish") == 2


def test_a_frame_of_both_places_is_never_a_hole_to_a_lookup():
    change = Change((WIDE,), (NEXT,))

    assert moments(staged(change, *move.update(change, X86)), 1) == ["wide", "wide!", "next"]


def test_several_slots_move_one_after_the_other():
    change = Change((HERE, THERE), (replace(HERE, base_gfn=2), replace(THERE, base_gfn=3)))

    assert count(move.update(change, X86), "publish") == 4


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (CHANGE, ""),
        (GONE, "neither adds"),
        (SPLIT, "neither adds"),
        (Change((HERE,), (replace(THERE, npages=2),)), "EINVAL: .*size"),
        (Change((HERE,), (replace(THERE, readonly=True),)), "EINVAL: .*READONLY"),
        (Change((OLD,), (replace(OLD, hva="B"),)), "EINVAL: .*hva"),
    ],
)
def test_what_is_no_move_is_refused(change, why):
    found = move.refusal(change)

    assert bool(found) == bool(why)
    assert why.split(".*")[0] in found
    assert why.split(".*")[-1] in found


@pytest.mark.parametrize(
    ("policy", "more"),
    [(X86, {"4 begin grace period", "5 end grace period"}), (ARM64, set())],
)
def test_every_step_of_a_move_is_needed_but_for_these(policy, more):
    """As for a DELETE: one updater, obsolete roots, and nothing is lost by keeping memory."""
    accesses = every(("load",), (0, 1), ("guest", "emulator"))
    w = world(CHANGE, move.update(CHANGE, policy), accesses=accesses, policy=policy)
    size = len(w.programs[0]) - 1

    assert broken(w) == set()
    assert survivors(w) == more | {
        "1 take slots lock",
        f"{size - 2} free here!",
        f"{size - 1} free here",
        f"{size} release slots lock",
    }


@pytest.mark.parametrize(
    ("was", "is_log", "bits"), [(True, True, {1}), (True, False, set()), (False, True, set())]
)
def test_bits_go_along_if_the_slot_logs_before_and_after(was, is_log, bits):
    here, there = replace(HERE, log=was), replace(THERE, log=is_log)
    stage = staged(Change((here,), (there,)), *move.move(here, there, X86))
    stage.access(STORE)

    stage.run(stage.update())

    (found,) = stage.m.sets[0, stage.m.active[0]]
    assert stage.dirty(found) == bits
    assert found.metadata(1) == "there"
