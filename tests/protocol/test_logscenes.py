"""Scenes in the middle of a migration: where logs are read, by which ids, and what is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import broken

from memslotlib.litmus_model import api
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.kernel import LOCK, synchronize
from memslotlib.protocol.logscenes import CUT, LOGGING, STEPPED, RingScene, come, numbered
from memslotlib.protocol.program import Program
from memslotlib.protocol.scenes import SPLIT, TRUNCATE, logged
from memslotlib.protocol.userspace import SEND, fetch_bitmap
from memslotlib.protocol.world import X86, X86_PML, Entry

RINGS = [name for name, scene in LOGGING.items() if isinstance(scene, RingScene)]


def small(name, key, policy=X86):
    return replace(LOGGING[name].world(APIS[key], policy), accesses_max=2)


def names(w):
    return [op.step.__name__ for op in w.programs[0]]


@pytest.mark.parametrize("scene", LOGGING.values(), ids=list(LOGGING))
def test_what_logs_is_mapped_and_protected_as_the_policy_has_it(scene):
    for policy, entry in ((X86, Entry("A", False)), (X86_PML, Entry("A", True, True))):
        w = scene.world(APIS["today"], policy)
        for gfn, slot in enumerate(w.first_slots):
            assert (slot is not None) == any(
                one.log and gfn in one.gfns for one in scene.change.before
            )
            assert slot is None or w.protected(Entry(slot.hva, True)) == entry
        assert ("the processor logs a store" in w.events) == bool(policy.pml)


def test_a_scene_without_rings_has_the_programs_that_it_would_have_anyhow():
    assert names(LOGGING["truncate-logged+round"].world(APIS["today"]))[-1] == "settle"
    assert "fetch_bitmap" in names(LOGGING["truncate-logged+round"].world(APIS["today"]))


@pytest.mark.parametrize("name", RINGS)
def test_with_rings_no_bitmap_is_read_and_the_last_round_is_one_of_rings(name):
    scene = LOGGING[name]
    for key, one in APIS.items():
        if scene.refusal(one):
            continue
        w = scene.world(one)
        assert w.ring
        assert fetch_bitmap not in {op.step for op in w.programs[0]}
        assert names(w)[-1] == "settle_rings"
        assert names(w).count("settle") == 0
        assert names(w).count("reap_rings") == 1
        assert names(w).count("take_slots_lock") == names(w).count("release_slots_lock"), key
        assert list(w.programs[0]).count(SEND) == 1


@pytest.mark.parametrize(
    "key", ["today", "pause", "user-exit", "attributes", "rfc-posted", "primitives"]
)
def test_rings_are_read_where_the_api_would_read_a_log_or_in_the_last_moment(key):
    swaps = {}
    for reads in ("before", "late"):
        found = names(LOGGING[f"truncate-logged+ring-{reads}"].world(APIS[key]))
        assert found[found.index("copy_harvested") + 1] == "take_slots_lock"
        swaps[reads] = found[: found.index("reap_rings")].count("publish")
    whole = found.count("publish")
    assert swaps["late"] == (whole - 1 if key in STEPPED else 0)
    assert swaps["before"] == (1 if key == "user-exit" else 0)


def test_after_the_update_userspace_still_knows_the_slots_that_went():
    tables = {}
    for reads in ("before", "late", "after"):
        w = LOGGING[f"truncate-logged+ring-{reads}"].world(APIS["today"])
        tables[reads] = [
            str(op.arguments[0])
            for op in w.programs[0]
            if op.step.__name__ in ("reap_rings", "settle_rings")
        ]

    assert tables["before"] == tables["late"] == ["{other old}", "{other short}"]
    assert tables["after"] == ["{other short other old}"] * 2
    program = names(LOGGING["truncate-logged+ring-after"].world(APIS["today"]))
    assert program.index("ioctl_returns") < program.index("reap_rings")


def test_a_pause_is_over_after_its_rings_are_read_late():
    found = names(LOGGING["truncate-logged+ring-late"].world(APIS["pause"]))

    assert found.index("await_paused") < found.index("reap_rings") < found.index("resume")


def test_the_ioctl_of_the_new_slots_begins_at_its_lock():
    program = APIS["today"].build(TRUNCATE, X86, None)
    place = come(list(program.ops), TRUNCATE)

    assert program[place] == LOCK
    assert program[place + 1].step.__name__ == "edit_inactive"
    assert str(program[place + 1]).endswith("- by short")


@pytest.mark.parametrize(
    ("change", "is_reused", "ids"),
    [
        (SPLIT, False, {"other": 0, "old": 1, "low": 2, "high": 3}),
        (SPLIT, True, {"other": 0, "old": 1, "low": 1, "high": 2}),
        (CUT, True, {"other": 0, "old": 1, "tail": 1}),
    ],
)
def test_ids_are_new_or_those_of_what_goes(change, is_reused, ids):
    found = numbered(logged(change), reused=is_reused)

    assert {slot.name: slot.number for slot in (*found.before, *found.after)} == ids
    assert [slot.name for slot in found.gone] == [slot.name for slot in change.gone]
    assert len([slot for slot in found.before if slot in found.after]) == 1


@pytest.mark.parametrize(
    ("name", "key", "policy", "lost"),
    [
        # Read before the update as QEMU does: what is pushed afterwards has an id nobody knows.
        ("truncate-logged+ring-before", "today", X86, True),
        ("truncate-logged+ring-before", "pause", X86, False),
        # Read in between, or after it with the old ids in mind: entries outlive the slot.
        ("truncate-logged+ring-late", "today", X86, False),
        ("truncate-logged+ring-late", "wholesale-block", X86, True),
        ("truncate-logged+ring-after", "today", X86, False),
        ("truncate-logged+ring-after", "wholesale-block", X86, False),
        # With PML a buffer that is emptied in the hole finds no slot, and one that is emptied late
        # names an id that is forgotten by then.
        ("truncate-logged+ring-after", "today", X86_PML, True),
        ("truncate-logged+ring-late", "user-exit", X86, False),
        ("truncate-logged+ring-late", "user-exit", X86_PML, True),
        ("truncate-logged+ring-after", "user-exit", X86_PML, False),
        ("split-logged+ring-after", "today", X86, False),
        ("split-logged+ring-before", "today", X86, True),
        ("split-logged+round", "pause", X86_PML, False),
        ("split-logged+round", "user-exit", X86_PML, True),
        # One entry beyond the end of a slot with the old id: its neighbours are not protected.
        ("truncate-logged+ring-reused", "pause", X86, True),
        ("move-logged+round", "move", X86, False),
        ("move-logged+round", "move", X86_PML, True),
        ("move-logged+round", "fetch-remove-add", X86, True),
    ],
)
def test_pages_are_lost_exactly_here(name, key, policy, lost):
    assert ("I5" in broken(small(name, key, policy))) == lost


@pytest.mark.parametrize(
    ("key", "policy", "is_alias"),
    [
        ("today", X86, False),
        ("user-exit", X86, False),
        ("user-exit", X86_PML, True),
        ("wholesale-block", X86, True),
        ("primitives", X86, True),
    ],
)
def test_an_id_that_is_used_again_is_taken_for_the_new_slot(key, policy, is_alias):
    w = small("cut-logged+ring-reused", key, policy)

    assert ("I5''" in broken(w)) == is_alias


@pytest.mark.parametrize("key", ["pause", "user-exit", "primitives"])
def test_a_buffer_that_is_never_full_says_the_same_as_one_of_one_frame(key):
    roomy = replace(X86_PML, name="x86, PML of two", pml=2)
    words = [broken(small("truncate-logged+round", key, one)) for one in (X86_PML, roomy)]

    assert words[0] == words[1]
    assert ("I5" in words[0]) == (key == "user-exit")


def test_one_more_grace_period_before_the_log_is_read_would_do_for_fetch_remove_add():
    w = small("move-logged+round", "fetch-remove-add")
    (program,) = w.programs
    place = next(n for n, op in enumerate(program) if op.step is fetch_bitmap)
    ops = (*program.ops[:place], *synchronize(), *program.ops[place:])

    assert "I5" in broken(w)
    assert "I5" not in broken(replace(w, programs=(Program(ops),)))


def test_a_reset_that_is_left_out_loses_pages():
    w = small("truncate-logged+ring-after", "pause")
    (program,) = w.programs
    place = names(w).index("reset_rings")

    assert "I5" not in broken(w)
    assert "I5" in broken(w.mutated(program.without(place)))
    assert "I5" in broken(w.mutated(program.without(place + 1)))


@pytest.mark.parametrize(
    ("key", "reads", "lost"),
    [
        ("pause", "late", False),
        ("today", "late", False),
        ("user-exit", "late", False),
        ("user-exit", "after", True),
    ],
)
def test_rings_that_are_reset_before_the_new_slot_comes_hold_no_stale_entry(key, reads, lost):
    scene = replace(LOGGING["truncate-logged+ring-reused"], reads=reads)

    assert ("I5" in broken(scene.world(APIS[key]))) == lost


def test_two_accesses_instead_of_three_are_told_with_their_reason():
    for scene in LOGGING.values():
        assert scene.smaller.startswith("two accesses of each vCPU") == (scene.accesses_max < 3)
        assert not scene.refusal(api("today"))
