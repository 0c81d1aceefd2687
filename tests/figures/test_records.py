from figures.records import shown
from memslotlib.evidence import Record, append
from memslotlib.experiments import experiments
from memslotlib.provenance import code_digest


def test_the_newest_record_of_each_experiment_is_shown_in_their_order(tmp_path, race_record):
    first, second = [one for one in experiments() if one.file == "q0.jsonl"][:2]
    for experiment in (second, first, second):
        append(tmp_path / "q0.jsonl", race_record(experiment))

    found = shown("q0.jsonl", tmp_path)

    assert [one.experiment.label for one in found] == [first.label, second.label]
    assert all(one.stale for one in found)


def test_a_record_made_by_the_present_code_is_not_stale(tmp_path, race_record):
    experiment = experiments()[0]
    old = race_record(experiment)
    digest = code_digest(*experiment.code)
    fresh = Record(old.experiment, old.parameters, old.result, old.provenance, digest, old.samples)
    append(tmp_path / "q0.jsonl", fresh)

    (found,) = shown("q0.jsonl", tmp_path)

    assert not found.stale
    assert found.record == fresh
