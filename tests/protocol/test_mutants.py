"""Mutants of the sound protocols: their keys, what kills them, and that survivors have reasons."""

from __future__ import annotations

from zlib import crc32

import pytest

from memslotlib.evidence import DATA, read
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.kernel import free, replace
from memslotlib.protocol.mutants import (
    EXERCISED,
    RULES,
    SOUND,
    breaks,
    is_elsewhere,
    mutants,
    reason,
    sweep,
    told,
    worlds,
)
from memslotlib.protocol.program import Op
from memslotlib.protocol.scenes import SCENES, TRUNCATE
from memslotlib.protocol.world import X86, X86_SLOT_ZAP, Access
from memslotlib.recheck import FILE

PLAIN = SCENES["split+load"].world(APIS["user-exit"])


def of(w):
    return {one.key: one for one in mutants(w)}


@pytest.mark.parametrize("key", SOUND)
def test_everything_holds_in_the_worlds_of_a_sound_protocol(key):
    found = worlds(key)

    assert {w.policy for w in found} == {X86, X86_SLOT_ZAP}
    names = {w.name.partition(",")[0] for w in found}
    assert names <= set(EXERCISED)
    assert any(w.pointers for w in found)
    if not APIS[key].keeps_slots:
        assert {"split+load", "truncate+emulator", "readonly+store", "split+pointer"} <= names
    assert all(w.accesses_max == 2 for w in found)


def test_who_breaks_for_kvms_own_accesses_is_asked_about_fewer_of_them():
    names = {w.name: w for w in worlds("wholesale-block") if w.policy is X86}

    assert "split+load" in names
    # Frame 3 goes, so a hole there breaks nothing; frame 0 is in another slot.
    own = names["truncate+emulator, KVM's own elsewhere"].accesses
    assert {one.gfn for one in own if one.via == "emulator"} == {0, 3}
    assert {one.gfn for one in own if one.via == "guest"} == {1, 2, 3}
    loads = names["hva-flip+emulator, loads only, KVM's own elsewhere"].accesses
    assert {one.kind for one in loads} == {"load"}
    device = names["split+pointer, KVM's own elsewhere"].outside
    assert [one.gfn for one in device] == [0]


def test_who_withstands_kvms_loads_and_not_its_stores_is_asked_about_those():
    (found,) = [
        w
        for w in worlds("kvm-userfault")
        if w.policy is X86 and w.name.startswith("hva-flip+emulator")
    ]

    assert found.name == "hva-flip+emulator, KVM's own are loads"
    kinds = {(one.via, one.kind) for one in found.accesses}
    assert kinds == {("guest", "load"), ("guest", "store"), ("emulator", "load")}


def test_a_frame_that_keeps_its_page_in_a_slot_that_goes_is_not_elsewhere():
    assert [is_elsewhere(Access("load", gfn), TRUNCATE) for gfn in range(4)] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("key", SOUND)
def test_a_sample_of_mutants_is_killed_or_has_a_reason(key):
    found = list(sweep(key, every=12))

    assert found
    for one in found:
        assert bool(one.killed_by) != bool(one.reason), one
        assert one.scene.partition(",")[0] in EXERCISED


def test_survivors_that_are_recorded_have_a_reason_that_there_is():
    made = [one for one in read(DATA / FILE) if one.experiment == "mutants"]
    for row in made[-1].result["rows"] if made else ():
        assert row["api"] in SOUND
        assert {why for _, why in row["survivors"]} <= set(RULES)


def test_a_key_says_what_to_which_slot_after_how_many_swaps():
    keys = of(PLAIN)

    assert "without edit inactive old by old~ (0)" in keys
    assert "without edit inactive - by new (1)" in keys
    assert "without edit inactive - by new (1.2)" in keys
    assert "zap all (1) before end grace period (1)" in keys
    assert len(keys) == len(list(PLAIN.programs[0].mutants))


def test_the_same_mutant_has_the_same_key_in_another_scene():
    other = SCENES["truncate+emulator"].world(APIS["user-exit"])

    assert {"without zap all (1)", "without publish (1)"} <= set(of(PLAIN)) & set(of(other))


def test_what_is_lost_of_a_slot_has_a_name_of_its_own():
    w = SCENES["truncate+emulator"].world(APIS["primitives"])

    assert "without free lost! (2)" in of(w)
    assert "without free old (2)" in of(w)
    (old,), (short,) = TRUNCATE.gone, TRUNCATE.come
    assert told(Op(free, (old.disabled,)), TRUNCATE) == "free old~"
    assert told(replace(old.invalid, short), TRUNCATE) == "edit inactive old! by new"


def test_a_mutant_knows_its_steps():
    one = of(PLAIN)["zap all (1) before end grace period (1)"]

    assert one.is_swap
    assert one.steps == {"zap_all", "end_grace_period"}
    assert one.program is PLAIN.programs[0]
    assert of(PLAIN)["without zap all (1)"].steps == {"zap_all"}


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("without take slots lock (0)", "nobody else updates"),
        ("without free old (2)", "a leak"),
        ("edit inactive - by new (1.2) before edit inactive - by new (1)", "edits of a set"),
        ("edit inactive old by old~ (1) before await kicked (1)", "an edit may come at any moment"),
        ("edit inactive old~ by - (2) before end grace period (2)", ""),
        ("free old (2) before free old~ (2)", "two frees commute"),
        ("zap all (1) before end grace period (1)", "who found the old slot"),
        ("without zap all (1)", ""),
        ("without edit inactive - by new (1)", ""),
        ("without publish (0)", ""),
        ("without end grace period (2)", ""),
        ("publish (0) before edit inactive old by old~ (0)", ""),
    ],
)
def test_rules_explain_what_is_harmless_and_nothing_else(key, why):
    found = reason(of(PLAIN)[key])

    assert found.startswith(why)
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("api", "scene", "key", "why"),
    [
        ("pause", "split+load", "without end grace period (1)", "no vCPU runs"),
        ("pause", "split+load", "without pause (0)", ""),
        ("pause", "split+load", "without await paused (0)", ""),
        ("primitives", "split+load", "without request flush (0)", "what a TLB keeps"),
        ("primitives", "truncate+emulator", "without request flush (1)", ""),
        ("primitives", "truncate+emulator", "without edit inactive lost! by - (1)", "the set that"),
        ("primitives", "truncate+emulator", "without edit inactive lost! by - (2)", ""),
        ("user-exit", "split-logged+store", "without await kicked (1.2)", "a disabled slot has no"),
        ("user-exit", "split-logged+store", "without await kicked (1)", ""),
        ("user-exit", "hva-flip+emulator", "without begin copy (1)", "it only says"),
        ("attributes", "split+load", "without request flush (0)", "the slot is deleted"),
        ("attributes", "split+load", "without deny (0)", ""),
        ("attributes", "split+load", "without zap all (1)", "faults on these frames leave"),
        ("attributes", "split+load", "without publish (1)", ""),
        ("attributes", "split+load", "without end grace period (4)", ""),
        ("attributes", "split+load", "without begin invalidation (4)", "nothing is mapped that"),
        ("attributes", "split+load", "without allow (4)", ""),
        ("remap", "hva-flip+emulator", "without end invalidation (0)", "faults are retried"),
        ("remap", "hva-flip+emulator", "without begin invalidation (0)", ""),
        ("remap", "hva-flip+emulator", "without await kicked (0)", ""),
        (
            "remap",
            "hva-flip+emulator",
            "unmap (0) before await kicked (0)",
            "the old page outlives",
        ),
        (
            "remap",
            "hva-flip+emulator",
            "map other (0) before end invalidation (0)",
            "who is retried",
        ),
        (
            "userfaultfd",
            "hva-flip+emulator",
            "map other (0) before begin copy (0)",
            "no store lands",
        ),
        ("userfaultfd", "hva-flip+emulator", "without unmap (0)", ""),
        ("kvm-userfault", "hva-flip+emulator", "without unmap (1)", "page faults leave to"),
        ("kvm-userfault", "hva-flip+emulator", "without await kicked (1)", ""),
        ("kvm-userfault", "hva-flip+emulator", "without clear userfault (1)", ""),
        (
            "kvm-userfault",
            "hva-flip+emulator",
            "clear userfault (1) before map other (1)",
            "who needs",
        ),
        (
            "kvm-userfault",
            "hva-flip+emulator",
            "free old (1) before await kicked (1)",
            "nobody holds",
        ),
    ],
)
def test_rules_know_where_a_step_stands(api, scene, key, why):
    found = reason(of(SCENES[scene].world(APIS[api]))[key])

    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_the_grace_period_of_a_create_is_for_whoever_is_in_the_middle_of_a_look_up():
    found = {w.name: w for w in worlds("attributes") if w.policy is X86}
    key = "without end grace period (4)"

    assert breaks(of(found["split+load"])[key].world) == ""
    pointers = of(found["split+pointer, KVM's own elsewhere"])
    assert breaks(pointers[key].world) == "I16"


def test_what_a_rule_excuses_breaks_nothing_and_what_none_does_breaks_something():
    w = worlds("user-exit")[0]
    found = of(w)

    assert breaks(found["without free old (2)"].world) == ""
    assert breaks(found["without zap all (1)"].world) == "I12"
    assert breaks(w) == ""


def test_a_survivor_without_a_reason_is_told_before_one_with(monkeypatch):
    monkeypatch.setitem(RULES, "a leak, which is no property here", lambda one: False)

    key = "without free old (2)"

    # Of so many keys this one alone is tried.
    assert [(one.key, one.reason) for one in sweep("rfc-intended", crc32(key.encode()))] == [
        (key, "")
    ]
