import pytest

from memslotlib import (
    evidence,
    experiments,
    litmus_copying,
    litmus_increments,
    litmus_standins,
    litmus_stores,
)
from memslotlib.copying import How
from memslotlib.errors import NotRunError
from memslotlib.evidence import Record
from memslotlib.experiment import Experiment
from memslotlib.experiments import (
    host_label,
    recall,
    recall_checks,
    recalled,
)
from memslotlib.host.describe import describe
from memslotlib.interface import Context
from memslotlib.litmus_logs import SEQUENCES
from memslotlib.litmus_stores import Check
from memslotlib.provenance import Provenance
from memslotlib.verdict import VacuousError, Verdict, Word

ALL = experiments.experiments()


def test_every_experiment_is_named_once():
    assert len({one.label for one in ALL}) == len(ALL) > 50


@pytest.mark.needs_kvm
def test_a_race_is_recorded_and_recalled_with_its_verdict(tmp_path):
    parameters = {
        "api": "today",
        "context": "long64",
        "method": "rendezvous",
        "property": "served",
        "updates": 20,
    }
    experiment = Experiment(
        "delete-create+fetch",
        parameters,
        "q0.jsonl",
        ("memslotlib.litmus_host",),
        lambda given: experiments.measure_race("delete-create+fetch", given),
    )

    made = experiment.record(tmp_path)
    run = recall(evidence.read(tmp_path / "q0.jsonl")[0])

    assert run.verdict.word is Word.SEEN
    assert run.verdict.text == "SEEN 20 of 20"
    assert run.verdict.host == host_label(made)
    assert run.context is Context.LONG64
    assert set(run.exits) == {"internal_error"}
    assert len(run.samples["duration_ns"]) == 20


def test_a_recalled_not_seen_tells_its_bound_and_a_seen_has_none():
    silent = {"word": "NOT SEEN", "hits": 0, "trials": 10_000, "opportunities": 7, "exits": {}}
    parameters = {"api": "move", "context": "long64", "property": "served"}
    host = {"kernel": "6.12.1", "module": "kvm_amd", "out_of_tree": False}
    made = Provenance("c0ffee", False, "0.1.0", "2026-01-02", "3.11", "native", host)

    def recalled(**result):
        return recall(Record("x", parameters, silent | result, made, "c0de")).verdict

    assert recalled().text == "NOT SEEN in 10,000"
    assert recalled().bound.startswith("a hit in at most 0.03 % of such trials")
    assert (recalled(word="SEEN", hits=1).text, recalled(word="SEEN", hits=1).bound) == (
        "SEEN 1 of 10,000",
        "",
    )


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        ({"word": "HOLDS"}, ValueError),
        ({"word": "PERHAPS"}, ValueError),
        ({"word": "SEEN", "hits": 3, "trials": 2, "opportunities": 9}, VacuousError),
        ({"word": "NOT SEEN", "hits": 1, "trials": 2, "opportunities": 9}, VacuousError),
        ({"word": "NOT SEEN", "hits": 0, "trials": 2, "opportunities": 0}, VacuousError),
        ({"word": "SEEN", "hits": 1, "trials": 2}, KeyError),
    ],
)
def test_counts_that_no_host_can_have_are_no_verdict(counts, error):
    with pytest.raises(error):
        experiments.sampled(counts, "a host")


def test_a_check_that_did_not_run_keeps_its_reason():
    said = {"word": "NOT RUN", "reason": "no dirty ring"}
    assert experiments.sampled(said, "a host") == Verdict.not_run("no dirty ring")


def test_every_check_is_recorded_beside_what_was_expected_and_recalled(tmp_path):
    verdict = Verdict.not_seen(120, opportunities=9, host="h")
    seen = Verdict.seen(3, 120, host="h", opportunities=8)
    answer = litmus_stores.Answer({Check.I2: verdict, Check.I3B: seen}, {"after": [9]})
    wanted = litmus_stores.expected(litmus_stores.FLIP, "mmap")

    measured = experiments._checked(answer, wanted)
    made = Experiment("x", {}, "x.jsonl", ("memslotlib.verdict",), lambda _: measured)
    made.record(tmp_path)
    (record,) = evidence.read(tmp_path / "x.jsonl")

    assert record.result["I3b"]["expected"] == "NOT SEEN"
    assert record.result["I3b"]["word"] == "SEEN"
    again = recall_checks(record)
    assert {check: one.text for check, one in again.items()} == {
        Check.I2: "NOT SEEN in 120",
        Check.I3B: "SEEN 3 of 120",
    }
    assert again[Check.I2].bound == verdict.bound


def test_a_check_without_enough_trials_leaves_no_record():
    answer = litmus_stores.Answer({Check.I2: Verdict.not_run("only 3 trials")}, {})

    with pytest.raises(NotRunError, match="only 3 trials"):
        experiments._checked(answer, litmus_stores.expected(litmus_stores.FLIP, "today"))


@pytest.mark.needs_kvm
@pytest.mark.parametrize(("api", "held"), [("today", True), ("move", True), ("none", False)])
@pytest.mark.parametrize("context", ["long64", "long64-cpl3"])
def test_this_host_shows_of_the_dirty_log_what_is_expected(api, held, context):
    given = {"api": api, "context": context, "held": held, "updates": 4}
    try:
        result = dict(experiments.measure_log(given).result)
    except NotRunError as error:
        pytest.skip(str(error))

    assert len(result) == (4 if held else 1)
    if not describe().out_of_tree:
        # Expected of shadow paging alone: two-dimensional paging need not fault.
        result.pop("lands, protected", None)
    assert {name: one["word"] for name, one in result.items()} == {
        name: one["expected"] for name, one in result.items()
    }


@pytest.mark.needs_kvm
@pytest.mark.parametrize("context", ["long64", "long64-cpl3"])
def test_a_stand_in_is_recorded_beside_what_was_expected_and_recalled(tmp_path, context):
    parameters = {"api": "mprotect-read", "context": context, "access": "store", "rounds": 20}
    experiment = Experiment(
        "stand-in", parameters, "q2.jsonl", ("memslotlib.verdict",), experiments.measure_standin
    )

    made = experiment.record(tmp_path)
    (record,) = evidence.read(tmp_path / "q2.jsonl")

    checks = made.result["checks"]
    assert {name: one["word"] for name, one in checks.items()} == {
        name: one["expected"] for name, one in checks.items()
    }
    recalled = experiments.recall_standin(record)
    assert recalled[litmus_standins.Check.LEAK].text == "NOT SEEN in 20"
    assert sum(record.result["exits"].values()) + sum(record.result["failures"].values()) >= 20


@pytest.mark.needs_kvm
def test_a_cost_is_recorded_as_ratios_with_every_time_behind_them():
    given = {"api": "nothing", "context": "long64-cpl3", "pages": 4, "rounds": 8}
    measured = experiments.measure_cost(given)

    assert 0 < measured.result["both"] < 1
    counts = {name: len(times) for name, times in measured.samples.items()}
    times = dict.fromkeys(("off_ns", "on_ns", "delete_ns", "create_ns"), 8)
    assert counts == {**times, "attempts": 1}


def test_what_q6_records_is_expected_by_its_claims():
    asked = [one for one in ALL if one.name in (litmus_copying.NAME, litmus_increments.NAME)]

    assert len(asked) == len(How) + len(litmus_increments.APIS)
    assert {one.file for one in asked} == {"q6.jsonl"}
    assert experiments._expected("Q6.9", "pause") == "NOT SEEN"
    assert experiments._expected("Q6.10", "today") == "SEEN"


@pytest.mark.needs_kvm
def test_the_sequences_experiment_finds_no_difference_and_joins_what_is_the_same():
    measured = experiments.measure_logs({"repeats": 2})

    rows = measured.samples["rows"]
    assert measured.result == {"runs": 2 * len(rows), "differ": []}
    assert {row["runs"] for row in rows} == {2}
    written = measured.samples["written"]
    # No number is there before and after; KVM refuses the call.
    assert {name for name, *_ in written} == SEQUENCES.keys() - {"delete", "grow-in-place"}
    assert all(bytes_ == -(-after // 64) * 8 for _, _, after, bytes_, _ in written)


@pytest.mark.needs_kvm
def test_a_copy_and_increments_are_recorded_with_one_verdict_each(tmp_path):
    copied = {"api": "get-delete", "context": "long64-cpl3", "trials": 4, "pages": 512}
    counted = {"api": "unlocked", "context": "long64-cpl3", "increments": 20_000_000, "runs": 3}
    runs = ((experiments.measure_copies, copied), (experiments.measure_increments, counted))
    for measure, given in runs:
        Experiment("x", given, "x.jsonl", ("memslotlib.verdict",), measure).record(tmp_path)

    for record in evidence.read(tmp_path / "x.jsonl"):
        assert record.result["expected"] == "SEEN"
        verdict = recalled(record)
        assert (verdict.word, verdict.host) == (Word.SEEN, host_label(record))
        assert len(record.samples["lost"]) == verdict.trials


@pytest.mark.needs_kvm
def test_what_an_update_costs_is_recorded_with_what_it_says_of_claims(tmp_path):
    try:
        measured = experiments.measure_costs("cost-waits", {"rounds": 2})
    except NotRunError as error:
        pytest.skip(str(error))

    assert measured.result["delete: waits twice"]["word"] == "SEEN"
    assert measured.result["no-op: waits"] == {
        "word": "NOT SEEN",
        "hits": 0,
        "trials": 2,
        "opportunities": 2,
    }
    made = Experiment("x", {}, "x.jsonl", ("memslotlib.verdict",), lambda _: measured)
    made.record(tmp_path)
    (record,) = evidence.read(tmp_path / "x.jsonl")
    assert record.samples["delete"]["waits"] == [2, 2]


@pytest.mark.needs_kvm
def test_a_measurement_that_no_claim_asks_is_recorded_by_its_medians():
    measured = experiments.measure_costs("cost-harness", {"calls": 4, "rounds": 3})

    assert measured.result["no-op fcntl: ns"] in measured.samples["no-op fcntl"]["ns"]
