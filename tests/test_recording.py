"""A run: in order, told as it goes, kept as it goes, resumed where it was left."""

import dataclasses

import pytest

from memslotlib import evidence, experiments, hosts, recording
from memslotlib.errors import KvmError, MemslotError, NotRunError
from memslotlib.evidence import read
from memslotlib.experiment import NOT_RUN, Experiment, Measured
from memslotlib.recording import Forecast, Tally, Target, begin, chosen, last_begun, run, waiting

CODE = ("memslotlib.verdict",)


def named(name, measure=lambda given: Measured(given, {}), n=1, **fields):
    return Experiment(name, {"n": n}, f"{name[0]}.jsonl", CODE, measure, **fields)


def raising(error):
    def measure(_):
        raise error

    return measure


@pytest.fixture
def target(tmp_path):
    return Target(tmp_path / "data")


def recorded(target):
    return [one.label for one in target.records() if one.experiment != "host"]


def test_each_record_goes_to_its_experiments_file_or_all_to_one(tmp_path, target):
    run([named("a"), named("b")], target, Forecast({}), str)
    assert [one.experiment for one in read(target.path / "b.jsonl")] == ["b"]

    one_file = Target(tmp_path / "mine.jsonl", is_one_file=True)
    begin(one_file)
    run([named("a"), named("b")], one_file, Forecast({}), str)
    assert [one.experiment for one in read(tmp_path / "mine.jsonl")] == ["host", "a", "b"]


def test_it_tells_what_it_runs_then_what_came_out_and_how_long_is_left(target):
    told = []
    forecast = Forecast({named("a").key: 8.0, named("b").key: 90.0})

    tally = run([named("a"), named("b")], target, forecast, told.append)

    assert told[0] == "1/2  a (1): "
    assert told[1].startswith("n 1  [")
    assert told[1].endswith(" s left]\n")
    assert told[-1] == "n 1  [0 s left]\n"
    assert tally == Tally(recorded=2)


def test_what_cannot_run_is_recorded_with_the_reason_and_the_rest_still_runs(target):
    told = []
    lacking = named("a", raising(NotRunError("/dev/kvm: lacks KVM_CAP_GUEST_MEMFD")))

    tally = run([lacking, named("b")], target, Forecast({}), told.append)

    assert tally == Tally(recorded=1, not_run=1)
    assert told[1].startswith("NOT RUN: /dev/kvm: lacks KVM_CAP_GUEST_MEMFD  [")
    (host,) = hosts.hosts(target.path)
    answer = host.found("a", {"n": 1})
    assert hosts.told(answer) == "NOT RUN: /dev/kvm: lacks KVM_CAP_GUEST_MEMFD"


@pytest.mark.parametrize(
    "error", [MemslotError("no\nexit like it"), KvmError("KVM_RUN", 14), OSError(12, "no memory")]
)
def test_what_fails_is_recorded_as_failed_and_the_rest_still_runs(target, error):
    told = []
    tally = run([named("a", raising(error)), named("b")], target, Forecast({}), told.append)

    assert tally == Tally(recorded=1, failed=1)
    assert told[1].startswith(f"FAILED: {type(error).__name__}: ")
    (reason,) = [one.result["reason"] for one in target.records() if one.experiment == NOT_RUN]
    assert reason.startswith(f"it failed: {type(error).__name__}: ")
    assert "\n" not in reason


def test_a_bug_in_an_experiment_stops_the_run(target):
    with pytest.raises(ZeroDivisionError):
        run([named("a", raising(ZeroDivisionError()))], target, Forecast({}), str)


def test_what_would_take_too_long_is_left_out_and_told(target):
    told = []
    forecast = Forecast({named("a").key: 400.0, named("b").key: 200.0, named("c").key: 1.0})

    tally = run([named("a"), named("b"), named("c")], target, forecast, told.append, limit_s=300)

    assert tally == Tally(recorded=2, left_out=1)
    assert told[1] == "left out, there is no time for it\n"
    assert tally.text == "2 recorded, 0 NOT RUN, 1 left out"


def test_a_run_that_is_resumed_runs_what_is_missing(target):
    both = [named("a"), named("b")]
    begun = begin(target)
    assert waiting(both, target, begun) == both
    run(both[:1], target, Forecast({}), str)

    assert last_begun(target) == begun
    assert waiting(both, target, last_begun(target)) == both[1:]


def test_what_did_not_run_is_tried_again(target):
    begun = begin(target)
    lacking = named("a", raising(NotRunError("too few trials")))
    run([lacking], target, Forecast({}), str)
    assert waiting([lacking], target, begun) == [lacking]


def changed(record, **made):
    return dataclasses.replace(record, provenance=dataclasses.replace(record.provenance, **made))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: changed(one, commit="0" * 12),
        lambda one: changed(one, host={**one.provenance.host, "kernel": "6.0"}),
        lambda one: changed(one, date="2020-01-01T00:00:00+00:00"),
        lambda one: dataclasses.replace(one, code="0" * 16),
        lambda one: dataclasses.replace(one, parameters={"n": 2}),
    ],
)
def test_another_commit_host_run_code_or_parameter_does_not_count(target, change):
    begun, one = begin(target), named("a")
    evidence.append(target.path / one.file, change(one.run()))
    assert waiting([one], target, begun) == [one]
    evidence.append(target.path / one.file, one.run())
    assert waiting([one], target, begun) == []


def test_a_new_run_runs_everything_again(target, monkeypatch):
    begin(target)
    run([named("a")], target, Forecast({}), str)
    later = changed(begin(target), date="2999-01-01T00:00:00+00:00")
    assert waiting([named("a")], target, later) == [named("a")]


def test_there_is_nothing_to_resume_of_another_commit(target):
    with pytest.raises(MemslotError, match="nothing to resume: no run of commit .*leave out"):
        last_begun(target)
    evidence.append(target.path / "hosts.jsonl", changed(begin(target), commit="0" * 12))
    assert last_begun(target).provenance.commit != "0" * 12


def test_the_forecast_is_what_it_took_before_scaled_by_how_this_run_goes():
    a, b, new = named("a"), named("b"), named("c")
    forecast = Forecast({a.key: 100.0, b.key: 200.0})
    assert forecast.of(a, b) == 300
    assert forecast.of(new) == 150
    forecast.took(a, 1000.0)
    assert 1500 < forecast.of(b) < 2000
    forecast.took(b, 200.0)
    assert 200 < forecast.of(b) < 1000


def test_the_forecast_knows_what_records_tell_but_for_the_hosts_own(target):
    timed = changed(named("a").run(), seconds=7.0)
    assert Forecast.after([begin(target), named("b").run(), timed]).of(named("a")) == 7
    assert Forecast.after([begin(target)]).of(named("a")) == recording.GUESS_S


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], ["alpha (1)", "beta (2)", "delete-create+load (overlap)"]),
        (["alpha"], ["alpha (1)"]),
        (["(2)", "alp"], ["alpha (1)", "beta (2)"]),
        (["t0.3"], ["delete-create+load (overlap)"]),
        (["T0"], ["delete-create+load (overlap)"]),
    ],
)
def test_experiments_are_chosen_by_name_or_by_what_they_are_about(names, found, monkeypatch):
    race = Experiment("delete-create+load", {"m": "overlap"}, "q0.jsonl", CODE, str)
    known = [named("alpha"), named("beta", n=2), race]
    shown = {race.key: ("T0.3",)}
    monkeypatch.setattr(recording.about, "_shown_in", lambda: shown)
    assert [one.label for one in chosen(known, names)] == found


def test_a_name_that_means_nothing_is_refused():
    with pytest.raises(MemslotError, match="no experiment's name or claim is 'Q9'"):
        chosen(experiments.experiments(), ["Q0.1", "Q9"])


def test_a_claim_chooses_what_bears_on_it():
    found = chosen(experiments.experiments(), ["Q0.5"])
    assert {one.parameters["api"] for one in found} == {"move"}
    assert {one.parameters["context"] for one in found} == {"long64-cpl3"}


def test_the_quick_ones_are_a_choice_of_each_question():
    quick = chosen(experiments.experiments(), quick=True)
    assert {one.file for one in quick} == {one.file for one in experiments.experiments()}
    assert len(quick) < len(experiments.experiments())


def test_the_quick_ones_take_less_than_their_time_as_far_as_is_known():
    known = Forecast.after(hosts.records_in(evidence.DATA))
    assert known.of(*chosen(experiments.experiments(), quick=True)) <= recording.QUICK_S
