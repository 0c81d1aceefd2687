"""The runner that puts scenes to the model: words, refusals, policies, mutants."""

import pytest

from memslotlib.check import CheckError
from memslotlib.litmus_model import (
    ModelRunner,
    UnknownSceneError,
    api,
    asked,
    broken_by,
    explored,
    mutant,
    scene,
    shortest,
    undisturbed,
)
from memslotlib.protocol.properties import stated
from memslotlib.protocol.world import ARM64, X86, X86_SLOT_ZAP
from memslotlib.verdict import Word


def test_a_hole_is_violated_and_its_trace_ends_where_the_fault_finds_no_slot():
    run = explored("split+load", "today", traces=True)

    assert run.verdict("I3a").word is Word.VIOLATED
    assert run.result.trace("I3a no hole where the page stays").steps[-1].label.endswith("no slot")
    assert run.violated == ("I3a",)


def test_what_an_api_cannot_do_does_not_apply_and_says_why():
    run = explored("split+load", "move")

    assert run.result is None
    assert run.verdict("I3a").text == "DOES NOT APPLY"
    assert "neither adds a slot" in run.verdict("I3a").reason


def test_a_property_that_a_scene_does_not_ask_does_not_apply():
    verdict = explored("split+load", "today").verdict("I4b")

    assert (verdict.word, verdict.reason) == (Word.DOES_NOT_APPLY, "split+load does not ask I4b")


def test_the_policy_decides_whether_invalid_protects():
    assert explored("split+load", "rfc-intended").verdict("I3a").word is Word.HOLDS
    for policy in ("arm64", "x86-before-5.13"):
        assert explored("split+load", "rfc-intended", policy).verdict("I3a").word is Word.VIOLATED


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("without publish", ["publish 0"]),
        ("without the last publish", ["publish 0"]),
        ("without every publish", ["publish 0"] * 4),
    ],
)
def test_a_mutant_is_named_by_the_step_that_it_leaves_out(text, gone):
    world = scene("split+load").world(api("today"))
    (before,) = world.programs
    (after,) = mutant(world, text).programs

    left_out = [str(op) for op in before]
    for op in after:
        left_out.remove(str(op))
    assert left_out == gone


def test_the_first_and_the_last_are_different_mutants():
    world = scene("split+load").world(api("today"))
    first = [str(op) for op in mutant(world, "without publish").programs[0]]
    last = [str(op) for op in mutant(world, "without the last publish").programs[0]]

    assert first.index("publish 0") > last.index("publish 0")


def test_a_step_earlier_changes_place_with_the_one_before():
    world = scene("split+load").world(api("today"))
    (program,) = mutant(world, "zap all earlier").programs
    names = [str(op) for op in program]

    assert names[names.index("zap all") + 1] == "end grace period"


def test_every_step_of_one_kind_or_another_may_be_left_out():
    world = scene("grow-cached+emulator").world(api("today"))
    text = "without every mark in progress or store generation"
    kept = [str(op) for op in mutant(world, text).programs[0]]

    left_out = [str(op) for op in world.programs[0] if str(op) not in kept]
    assert sorted(left_out) == ["mark in progress 0"] * 3 + ["store generation 0"] * 3


def test_a_step_may_be_put_right_after_another_wherever_it_is():
    world = scene("grow-cached+emulator").world(api("today"))
    (before,) = world.programs
    (after,) = mutant(world, "store generation right after publish").programs

    names = [str(op) for op in after]
    places = [n for n, name in enumerate(names) if name == "store generation 0"]
    assert [names[n - 1] for n in places] == ["publish 0"] * 3
    assert sorted(names) == sorted(map(str, before))


def test_the_page_tables_of_address_spaces_may_be_one():
    world = scene("grow-isolated+smi").world(api("today"))
    found = mutant(world, "without role.smm")

    assert (world.has_role_smm, found.has_role_smm) == (True, False)
    assert found.programs == world.programs
    assert found.name == f"{world.name}, without role.smm"


def test_the_steps_of_another_api_are_asked_as_much_as_its_own():
    world = scene("split-logged+store").world(api("primitives"))
    (program,) = mutant(world, "with the steps of wholesale-swap").programs

    assert str(program[-1]) == "settle"
    assert "I5" in broken_by(scene("split-logged+store"), api("primitives"), X86, (
        "with the steps of wholesale-swap"
    ), "I5")  # fmt: skip


def test_a_mutant_of_a_step_that_is_not_there_shows_the_program():
    with pytest.raises(UnknownSceneError, match=r"no step 'kick'(?s:.*)take slots lock"):
        mutant(scene("split+load").world(api("today")), "without kick")


def test_what_a_mutant_breaks_is_told_by_ids():
    broken = broken_by(
        scene("hva-flip+store"), api("today"), X86_SLOT_ZAP, "without every zap slot"
    )

    assert {"I2", "I4b", "I12"} <= set(broken)


def test_a_mutant_that_is_asked_about_one_property_is_searched_until_that_breaks():
    w = scene("split+load"), api("primitives"), X86, "without edit inactive - by low"

    assert "I3a" in broken_by(*w, "I3a")
    assert set(broken_by(*w, "I3a")) < set(broken_by(*w))
    assert broken_by(scene("split+load"), api("today"), X86, "without free", "I2") == ("I3a",)


def test_the_shortest_trace_of_a_property_needs_no_search_of_everything():
    whole = explored("hva-flip+vhost-stopped", "wholesale-swap", traces=True).result
    found = shortest("hva-flip+vhost-stopped", "wholesale-swap", "I4a'")

    assert found.lines == whole.trace(stated("I4a'").name).lines
    with pytest.raises(CheckError, match="HOLDS"):
        shortest("hva-flip+vhost-stopped", "wholesale-swap", "I3a")


def test_a_run_that_is_not_disturbed_ends_with_an_access_that_began_after_the_first_swap():
    trace = undisturbed("split+emulator", "user-exit")
    labels = [step.label for step in trace.steps]
    first = next(n for n, step in enumerate(trace.steps) if step.actor.startswith("vcpu"))

    assert any(label.startswith("swap active set") for label in labels[:first])
    assert labels[-1] == "back in userspace"
    assert not any(step.failed for step in trace.steps)
    assert any(label.endswith("old~ is disabled") for label in labels)


def test_where_nothing_is_swapped_it_begins_when_the_update_has_returned():
    labels = [step.label for step in undisturbed("hva-flip+store", "remap").steps]

    assert "the update has returned" in labels
    assert labels.index("the update has returned") < labels.index("IN_GUEST_MODE")


def test_one_access_more_or_another_number_of_vcpus_is_another_bound():
    base = ModelRunner().run(scene("split+load"), api("pause")).result
    more = ModelRunner(more=1).run(scene("split+load"), api("pause")).result
    single = ModelRunner(vcpus=1).run(scene("split+load"), api("pause")).result

    assert single.states < base.states < more.states
    assert base.ok
    assert more.ok
    assert single.ok


def test_a_scene_tells_which_properties_it_asks():
    assert set(asked(scene("split+load"))) == {"I1", "I2", "I3a", "I7", "I8", "I10", "I12"}
    assert {"I4a", "I4a'", "I4b", "I3b"} <= set(asked(scene("hva-flip+store")))
    assert {"I13", "I13'"} <= set(asked(scene("batch-2as+smi")))
    assert {"I5", "I5'"} <= set(asked(scene("split-logged+store")))
    assert {"I6", "I15", "I15'"} <= set(asked(scene("grow-cached+emulator")))
    assert "I11" in set(asked(scene("grow-isolated+smi")))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: scene("hva-flop"), "no scene 'hva-flop'; there are split"),
        (lambda: api("batch"), "no API 'batch'; there are today, move"),
        (lambda: explored("split+load", "today", "mips"), "no policy 'mips'; there are x86"),
    ],
)
def test_an_unknown_name_lists_what_there_is(call, said):
    with pytest.raises(UnknownSceneError, match=said):
        call()


def test_policies_differ_in_what_a_fault_on_invalid_and_a_zap_do():
    assert (X86.retries, X86.zaps_all) == (True, True)
    assert (ARM64.retries, ARM64.zaps_all) == (False, False)
