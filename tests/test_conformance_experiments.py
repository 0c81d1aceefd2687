import pytest

from memslotlib import conformance_experiments


@pytest.mark.needs_kvm
def test_the_conformance_experiment_counts_what_it_asked():
    measured = conformance_experiments.measure_conformance({"calls": 2000, "seed": 1})

    assert measured.result["mismatches"] == 0
    assert measured.result["calls"] >= 2000
    assert measured.samples["coverage"]["set_user_memory_region: OK"] > 50


@pytest.mark.needs_kvm
def test_the_cases_experiment_finds_no_difference():
    measured = conformance_experiments.measure_cases({})

    assert measured.result["differ"] == []
    assert measured.result["run"] == len(measured.samples["answers"]) > 300
