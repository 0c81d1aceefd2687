"""Claims run again: cells, mutants, records; and that a wrong expectation is told."""

from dataclasses import replace

import pytest

from memslotlib import recheck
from memslotlib.claims import load
from memslotlib.litmus_model import explored, scene
from memslotlib.protocol import unran
from memslotlib.protocol.grammar import orders
from memslotlib.protocol.properties import violated
from memslotlib.protocol.scenes import FLIP, SCENES
from memslotlib.provenance import ROOT
from memslotlib.verdict import Word

CLAIMS = load(ROOT / "book" / "claims")
SMALL = CLAIMS["Q4.6"]


@pytest.fixture(scope="module")
def made():
    return recheck.record(SMALL)


def test_each_cell_says_what_its_search_rests_on(made):
    cells = {cell.api: cell for cell in recheck.cells(made)}

    assert set(cells) == {one.api for one in SMALL.expect}
    swap = cells["wholesale-swap"]
    assert (swap.word, swap.is_as_expected) == ("VIOLATED", True)
    assert swap.steps > 0
    assert swap.states > 100_000
    assert 0 < swap.lines_ran <= swap.lines
    assert swap.events["an access gets to memory"] > 0
    assert cells["move"].word == "DOES NOT APPLY"
    assert cells["move"].states == 0


def test_a_cell_that_holds_names_the_mutant_that_breaks_it(made):
    for cell in recheck.cells(made):
        if cell.word == Word.HOLDS.value:
            assert cell.mutant
            assert SMALL.keeps in cell.broken
            assert cell.line.startswith("ok   Q4.6")


def test_a_record_names_claim_test_and_property_and_the_code(made):
    assert made.experiment == "claim-Q4.6"
    assert made.parameters == {"litmus": "two-slots+load", "property": "I13'"}
    assert len(made.code) == 16


def test_a_wrong_expectation_fails_and_says_both_words():
    (holding,) = [one for one in SMALL.expect if one.api == "wholesale-block"]
    wrong = replace(SMALL, expect=(replace(holding, model=Word.VIOLATED),))

    (cell,) = recheck.check(wrong)

    assert not cell.is_as_expected
    assert cell.line.startswith("FAIL Q4.6 wholesale-block on x86: HOLDS, expected VIOLATED")


def test_a_mutant_that_breaks_nothing_fails_the_cell():
    (holding,) = [one for one in SMALL.expect if one.api == "wholesale-block"]
    wrong = replace(SMALL, expect=(replace(holding, mutant="without free"),))

    (cell,) = recheck.check(wrong)

    assert not cell.is_as_expected
    assert cell.line.endswith("the mutant 'without free' does not break it")


def test_a_line_that_nothing_explains_fails_the_cell(monkeypatch):
    (holding,) = [one for one in SMALL.expect if one.api == "wholesale-block"]
    claim = replace(SMALL, expect=(holding,))
    (good,) = recheck.check(claim)
    kept = tuple(rule for rule in unran.RULES if rule.reason != "nobody pauses vCPUs")
    monkeypatch.setattr(unran, "RULES", kept)
    (bad,) = recheck.check(claim)

    assert good.unran["nobody pauses vCPUs"] == len(bad.unexplained) == 3
    assert good.unexplained == ()
    assert not bad.is_as_expected
    assert "nothing explains vcpu.py:" in bad.line
    assert good.lines_ran + sum(good.unran.values()) == good.lines


def test_which_lines_never_run_is_recorded_with_the_reasons():
    claims = [CLAIMS["Q5.12"], CLAIMS["Q0.1"]]
    result = recheck.record_coverage(claims).result

    assert result["searches"] == 12
    places = {(place, text): why for place, text, why in result["never"]}
    assert places["kernel.py: end_grace_period", "m.wait(m.device_srcu != AWAITED)"] == [
        "there is no device"
    ]
    assert not any(place.endswith("device_access") for place, _ in places)
    assert len(places) < result["lines"]
    assert result["reasons"]["there is no device"] == 10  # Two have no grace period.
    # Some API has each of these.
    assert "no slot is disabled" in result["reasons"]
    assert not any("is disabled" in text for _, text in places)


def test_what_a_smaller_bound_leaves_out_is_counted_as_far_as_the_bound():
    small = scene("readonly+store")
    counted = recheck.left_out(replace(small, accesses=small.accesses[:1]), 1000)
    whole = recheck.left_out(scene("split+load"))

    assert counted["states"] == explored("readonly+store", "today").result.states
    assert not counted["is_complete"]
    assert counted["whole"] >= 1000
    assert whole["is_complete"]
    assert whole["whole"] == whole["states"]


def test_only_scenes_that_leave_something_out_are_counted(monkeypatch):
    monkeypatch.setattr(recheck, "left_out", lambda asked: asked.name)
    made = recheck.record_left_out([CLAIMS["Q5.10"], CLAIMS["Q5.29"], CLAIMS["Q0.1"]])

    assert made.result == {"scenes": {"hva-flip+vhost": "hva-flip+vhost"}}


def test_claims_of_whole_ioctls_run_on_the_simulator():
    cells = list(recheck.check(CLAIMS["Q0.1"]))

    assert {cell.where for cell in cells} == set(CLAIMS["Q0.1"].contexts)
    assert all(cell.is_as_expected for cell in cells)


@pytest.mark.parametrize("identity", [f"Q6.{n}" for n in range(3, 11)])
def test_claims_of_logs_copies_and_increments_run_on_what_they_name(identity):
    claim = CLAIMS[identity]
    cells = list(recheck.check(claim))

    assert len(cells) == len(claim.expect) * len(claim.contexts)
    assert [cell.line for cell in cells if not cell.is_as_expected] == []


def test_a_mutant_of_the_increments_that_breaks_nothing_fails_its_cell():
    claim = CLAIMS["Q6.10"]
    wrong = replace(claim, expect=(replace(claim.expected("pause"), mutant="no change"),))

    (cell,) = recheck.check(wrong)

    assert cell.word == "HOLDS"
    assert not cell.is_as_expected


def test_an_order_without_a_quiescent_period_is_no_sound_one():
    programs = list(orders(FLIP))

    for program in programs[:: len(programs) // 12]:
        assert set(violated(recheck.ordered(program))) - {"I12"}, program.name


def test_a_bound_counts_both_frames_of_an_access_that_straddles_them():
    (over,) = {one for one in SCENES["split+straddle"].accesses if one.npages > 1 and one.is_write}
    small = replace(SCENES["split+straddle"], accesses=(over,))

    assert "any of 1, to 2 frames" in recheck.bound(small)
    assert "any of 1, to 1 frame;" in recheck.bound(replace(small, accesses=over.parts[:1]))


def test_a_claim_that_only_a_host_is_asked_is_not_run_by_any_model():
    cells = list(recheck.check(CLAIMS["Q2.3"]))

    assert {cell.word for cell in cells} == {Word.NOT_RUN.value}
    assert all(cell.is_as_expected for cell in cells)
    one, *rest = CLAIMS["Q2.3"].expect
    proven = replace(CLAIMS["Q2.3"], expect=(replace(one, model=Word.HOLDS, mutant="x"), *rest))
    assert [cell.api for cell in recheck.check(proven) if not cell.is_as_expected] == [
        one.api,
        one.api,
    ]


def test_no_model_is_asked_about_a_measurement():
    registry = load(ROOT / "book" / "claims")
    measured = [claim for claim in registry.values() if claim.is_measured]

    assert measured
    assert [cell for claim in measured for cell in recheck.check(claim)] == []
