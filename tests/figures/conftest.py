"""Records that never were: a host on which every rendezvous hit and MOVE never did."""

import pytest

from figures.records import Shown
from memslotlib.evidence import Record
from memslotlib.experiments import experiments
from memslotlib.provenance import Provenance

HOST = {"kernel": "6.12.1", "module": "kvm_amd", "out_of_tree": False}
MADE = Provenance("c0ffee", False, "0.1.0", "2026-01-02T03:04:05+00:00", "3.11", "native", HOST)


def race(experiment):
    parameters = experiment.parameters
    hit = parameters["api"] == "today"
    trials = 5_000_000 if parameters["method"] == "overlap" else parameters["updates"]
    exits = {}
    if hit:
        exits = {"internal_error" if "fetch" in experiment.name else "mmio": trials}
    result = {
        "word": "SEEN" if hit else "NOT SEEN",
        "hits": trials if hit else 0,
        "trials": trials,
        "opportunities": trials,
        "exits": exits,
    }
    samples = {"updates_overlapped": [parameters["updates"]]}
    return Record(experiment.name, parameters, result, MADE, "c0de", samples)


@pytest.fixture
def race_record():
    return race


@pytest.fixture
def shown_races():
    chosen = [one for one in experiments() if one.file == "q0.jsonl"]
    return [Shown(one, race(one), stale=False) for one in chosen]
