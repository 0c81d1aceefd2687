"""What a record is about is derived from the claims, and no record is about nothing."""

import pytest

from memslotlib import about, evidence, experiments, hosts
from memslotlib.about import Bearing, bearings, ids
from memslotlib.provenance import ROOT

RACE = {"api": "today", "context": "long64", "method": "rendezvous", "property": "served"}
ANCHORS = (ROOT / "book" / "anchors.txt").read_text("utf-8").split()
QUESTIONS = [f"q{number}" for number in range(8)]


def test_an_experiment_bears_on_the_claim_whose_test_guest_and_api_it_is():
    assert Bearing("Q0.1", "today", "any") in bearings("delete-create+fetch", RACE)
    assert ids("delete-create+load", {**RACE, "api": "move", "method": "overlap"})[0] == "Q0.6"
    assert ids("delete-create+load", {**RACE, "context": "a mode that is none"}) == ()
    assert ids("delete-create+load", {**RACE, "property": "reported"})[0] != "Q0.2"


@pytest.mark.parametrize("method", ["held", "held-last"])
def test_one_ioctl_that_is_held_says_nothing_of_an_update_of_two(method):
    assert bearings("delete-create+fetch", {**RACE, "method": method}) == []
    moved = {**RACE, "api": "move", "method": method}
    assert [one.claim for one in bearings("delete-create+load", moved)] == ["Q0.6"]


def test_it_bears_on_claims_of_the_model_that_it_is_held_against():
    flip = {"api": "today", "context": "long64-cpl3", "updates": 1500}
    assert Bearing("Q5.1", "today", "page tables", "I2") in bearings("hva-flip+store", flip)
    emulated = {**flip, "context": "long64"}
    assert Bearing("Q5.5", "today", "emulator", "I3b") in bearings("hva-flip+store", emulated)


def test_a_measurement_bears_on_each_row_of_the_claims_that_it_answers():
    found = bearings("cost-waits", {"rounds": 20})

    assert Bearing("Q2.7", "delete", "any", "delete: waits twice") in found
    assert {one.claim for one in found} == {"Q2.6", "Q2.7"}
    # What only another host settles.
    assert {one.claim for one in bearings("cost-vcpus", {})} == {"Q2.12"}


def test_a_stand_in_has_a_check_for_each_property_of_its_claims():
    stored = {"api": "mprotect-none", "context": "long64-cpl3", "access": "store", "rounds": 100}
    found = bearings("stand-in", stored)

    assert Bearing("Q2.4", "mprotect-none", "any", "log lost") in found
    assert [one.check for one in found if one.claim == "Q2.5"] == ["untold", "held up"]
    assert {one.claim for one in found} == {"Q2.1", "Q2.3", "Q2.4", "Q2.5"}
    assert bearings("stand-in", {**stored, "context": "real16"}) == []
    # No load leaks, and no log names one.
    loaded = bearings("stand-in", {**stored, "access": "load"})
    assert {one.claim for one in loaded} == {"Q2.1", "Q2.5"}
    assert bearings("stand-in", {**stored, "api": ["new"]}) == []


def test_the_sequences_of_calls_have_one_for_each_property_and_update():
    found = bearings("log-sequences", {"repeats": 3})

    assert Bearing("Q6.6", "punch-high", "any", "log-ring-late punch-high: kept") in found
    assert {one.claim for one in found} == {f"Q6.{number}" for number in range(3, 9)}
    # What KVM refuses.
    assert "grow-in-place" not in {one.api for one in found}


def test_the_projects_own_host_answers_every_check_that_bears_on_a_claim():
    own = hosts.hosts()[0]
    asked = 0
    for one in experiments.experiments():
        answers = own.found(one.name, one.parameters)
        if hosts.told(answers).startswith("NOT RUN"):
            continue
        for bears in bearings(one.name, one.parameters):
            assert bears.check in answers
            asked += 1
    assert asked


def test_nothing_bears_on_what_no_host_has():
    claim = about._registry()["Q4.2"]
    assert claim.expected("today").host.value == "DOES NOT APPLY"
    native = {**RACE, "context": "long64-cpl3"}
    assert "Q4.2" not in ids("delete-create+load", native)
    assert "Q4.1" in ids("delete-create+load", native)


def test_without_a_registry_nothing_bears_on_a_claim():
    assert bearings("delete-create+fetch", RACE, {}) == []


@pytest.mark.parametrize("one", experiments.experiments(), ids=lambda one: one.label)
def test_every_experiment_is_about_something_that_the_book_has(one):
    found = [identity.lower() for identity in ids(one.name, one.parameters)]
    assert found
    assert set(found) <= {*ANCHORS, *QUESTIONS}


@pytest.mark.parametrize("path", sorted(evidence.DATA.glob("*.jsonl")), ids=lambda path: path.name)
def test_every_record_of_the_project_is_about_something(path):
    for record in evidence.read(path):
        # What an experiment was run with may have changed since; another name is a mistake.
        if about.asks_a_kernel(record.experiment):
            assert record.experiment in {one.name for one in experiments.experiments()}
        else:
            assert ids(record.experiment, record.parameters)
