import pytest

from memslotlib.claims import load
from memslotlib.costs import claimed
from memslotlib.costs.plan import MEASUREMENTS, PLAN
from memslotlib.errors import NotRunError
from memslotlib.provenance import ROOT

#: The parameters of each measurement, made small.
SMALL = {
    "cost-harness": {"calls": 4, "rounds": 2},
    "cost-waits": {"rounds": 2},
    "cost-refaults": {"pages": 64, "rounds": 2},
    "cost-slots-newest": {"counts": [1, 10], "rounds": 2, "slot": "newest"},
    "cost-slots-oldest": {"counts": [1, 10], "rounds": 2, "slot": "oldest"},
    "cost-size": {"sizes": [1 << 12, 1 << 20], "rounds": 2},
    "cost-wholesale": {"counts": [4], "rounds": 2},
    "cost-vcpus": {"vcpus": [0, 1], "pages": 4, "rounds": 2},
    "cost-pause": {"vcpus": [1], "pages": 4, "rounds": 2},
    "cost-neighbour": {"pages": [16], "intervals_us": [0], "window_us": 1000, "rounds": 2},
}


def test_every_measurement_is_named_once_and_asks_known_properties():
    assert len(MEASUREMENTS) == len(PLAN) == len(SMALL)
    for one in PLAN:
        assert set(one.asks) <= set(claimed._ASKED)
        assert set(one.parameters) == set(SMALL[one.name])


def test_claims_ask_for_the_rows_that_measurements_answer():
    claims = [one for one in load(ROOT / "book" / "claims").values() if one.is_measured]
    asked = {(one.litmus, one.keeps): {row.api for row in one.expect} for one in claims}
    answered = {(one.name, name): set(rows) for one in PLAN for name, rows in one.asks.items()}

    assert answered.items() <= asked.items()
    # What only another host, or a trace, can answer.
    assert {keeps for litmus, keeps in asked.keys() - answered.keys()} == {
        "absolute time on VMX or SVM",
        "more than 50 updates that leave a hole",
    }


@pytest.mark.needs_kvm
@pytest.mark.parametrize("name", SMALL)
def test_every_measurement_runs_and_answers_what_it_can(name):
    one = MEASUREMENTS[name]
    try:
        samples = one.measure(SMALL[name])
        found = one.found(SMALL[name], samples, "demo")
    except NotRunError as error:
        pytest.skip(str(error))

    assert samples
    assert {len(values) for taken in samples.values() for values in taken.values()} == {2}
    assert all(verdict.trials for verdict in found.values())
    # Small parameters leave out what a row is about: the biggest slot, the most slots.
    if name in ("cost-waits", "cost-refaults", "cost-pause", "cost-vcpus"):
        assert {asked for asked, _ in found} == set(one.asks)
