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
    method, hit = parameters["method"], parameters["api"] == "today"
    trials = parameters["updates"]
    # DELETE alone, held, shows a page fault nothing.
    hit = hit and method != "held"
    exits = {}
    if hit:
        exits = {"internal_error" if "fetch" in experiment.name else "mmio": trials}
    result = {
        "word": "SEEN" if hit else "NOT SEEN",
        "hits": trials if hit else 0,
        "trials": trials,
        "opportunities": 5_000_000 if method == "overlap" else trials,
        "exits": exits,
    }
    samples = held(parameters) if method == "held" else {}
    return Record(experiment.name, parameters, result, MADE, "c0de", samples)


def held(parameters):
    n, flags = parameters["updates"], parameters["api"] == "flags"
    return {
        "mapped_accesses": [7] * n,
        "mapped_exits": [0] * n,
        "unmapped_accesses": [7 if flags else 0] * n,
        "unmapped_exits": [0] * n,
        "unmapped_stalled": [int(not flags)] * n,
        "exits_afterwards": [int(parameters["api"] == "today")] * n,
    }


@pytest.fixture
def race_record():
    return race


@pytest.fixture
def shown_races():
    chosen = [one for one in experiments() if one.file == "q0.jsonl"]
    return [Shown(one, race(one), stale=False) for one in chosen]
