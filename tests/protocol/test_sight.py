"""What look-ups may find while an update runs, from its program alone."""

from __future__ import annotations

import pytest

from memslotlib.litmus_model import POLICIES, api, scene
from memslotlib.protocol.sight import Sight, moments
from memslotlib.protocol.world import Access


def sight(name, key, policy="x86"):
    return Sight(scene(name).world(api(key), POLICIES[policy]))


@pytest.mark.parametrize(
    ("key", "faults", "own"),
    [
        ("today", {"usable", "invalid", "none"}, {"usable", "invalid", "none"}),
        ("pause", {"usable"}, {"usable"}),
        ("rfc-intended", {"usable", "invalid"}, {"usable", "invalid"}),
        ("wholesale-swap", {"usable"}, {"usable"}),
        ("user-exit", {"usable", "disabled"}, {"usable", "disabled"}),
        ("attributes", {"usable", "denied"}, {"usable", "invalid", "none"}),
    ],
)
def test_each_api_shows_faults_and_kvm_what_its_swaps_publish(key, faults, own):
    found = sight("split+emulator", key)

    assert found.faults == faults
    assert found.own == own


def test_a_pause_keeps_vcpus_away_and_no_device():
    found = sight("split+device", "pause")

    assert found.faults == {"usable"}
    assert found.device == {"usable", "invalid", "none"}
    assert found.is_always_paused("publish")
    assert not sight("split+device", "today").is_always_paused("publish")


def test_a_store_to_a_readonly_slot_finds_it_read_only_and_a_load_does_not():
    found = sight("readonly+store", "primitives")

    assert found.faults == {"usable", "read-only"}
    (last,) = {one.active for one in found.moments[-1:]}
    assert last[0].lookup(1).readonly
    assert found.finds(found.moments[-1], Access("load", 1)) == "usable"


def test_another_thread_publishes_half_an_update_where_the_lock_is_free_and_nowhere_else():
    assert "none" in sight("split+contender", "rfc-posted").faults
    assert "none" not in sight("split+contender", "rfc-intended").faults


def test_each_space_has_its_own_sets():
    w = scene("batch-2as+smi").world(api("rfc-intended"))
    found = [one.active for one in moments(w) if one.step == "publish"]

    assert len(found) == 4  # Two swaps that make INVALID, and one for each space.
    assert found[0][0] != found[-1][0]
    assert found[0][1] != found[-1][1]


def test_a_failing_update_shows_what_each_way_to_fail_does():
    assert sight("failed-truncate+emulator", "today").faults == {"usable", "invalid", "none"}
    assert sight("failed-truncate+emulator", "wholesale-swap").faults == {"usable"}


@pytest.mark.parametrize(
    ("fact", "true", "false"),
    [
        ("finds_no_hole", ("split+load", "rfc-intended"), ("split+load", "today")),
        ("zaps_what_is_blocked", ("truncate+emulator", "today"), ("split+load", "today")),
        ("holes_stay", ("grow-cached+emulator", "pause"), ("grow-cached+emulator", "today")),
        ("begins_mapped", ("truncate-logged+round", "today"), ("truncate-logged+store", "today")),
        ("stays_mapped", ("cut-logged+ring-reused", "primitives"), ("move-logged+round", "move")),
        ("hands_bitmaps_on", ("move-logged+round", "move"), ("move-logged+round", "today")),
        (
            "remembers_first",
            ("batch-2as-cached+emulator", "pause"),
            ("batch-2as-cached+emulator", "today"),
        ),
        ("logs_no_store", ("split+emulator", "today"), ("split-logged+store", "today")),
        ("protects_nothing", ("split+emulator", "today"), ("split-logged+store", "today")),
    ],
)
def test_a_fact_is_true_of_one_world_and_not_of_another(fact, true, false):
    assert getattr(sight(*true), fact)
    assert not getattr(sight(*false), fact)


def test_an_architecture_that_does_not_retry_shows_a_hole_where_x86_shows_none():
    assert sight("split+load", "rfc-intended").finds_no_hole
    assert not sight("split+load", "rfc-intended", "arm64").finds_no_hole


def test_with_pml_a_logged_page_does_not_fault_before_it_is_zapped():
    assert sight("truncate-logged+round", "wholesale-swap", "x86-pml").faults_after_zap
    assert not sight("truncate-logged+round", "wholesale-swap", "x86").faults_after_zap
