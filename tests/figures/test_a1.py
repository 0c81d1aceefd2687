import dataclasses

import pytest

from figures import a1
from figures.a1 import Answers
from figures.records import Shown
from memslotlib.abi.rules import RULES
from memslotlib.errors import NotRunError
from memslotlib.evidence import Record
from memslotlib.experiments import experiments

SIMULATOR = a1.simulator()
NOBODY = Answers({}, "NOT RUN: /dev/kvm: absent")


def cells(table, name):
    (row,) = [row for row in table.rows if name in row[:2]]
    return [getattr(cell, "text", cell) for cell in row]


def otherwise(**answers):
    """A kernel that answers as the simulator does, but for these cases."""
    return Answers({**SIMULATOR.by_case, **answers}, "a kernel")


def test_every_rule_has_a_row_in_the_kernel_s_order():
    table = a1.rules(SIMULATOR)

    assert [row[1] for row in table.rows] == [rule.id for rule in RULES]
    assert cells(table, "overlap")[3:6] == ["EEXIST", "EEXIST", "EEXIST"]
    assert "(source only: " in cells(table, "slot-memory")[2]
    assert cells(table, "slot-memory")[4:6] == ["source only", "source only"]


def test_without_a_kernel_its_column_says_not_run():
    assert cells(a1.rules(NOBODY), "overlap")[4:6] == ["EEXIST", "NOT RUN"]


def test_a_kernel_that_answers_otherwise_is_marked_and_listed():
    kernel = otherwise(overlap="EINVAL")

    assert cells(a1.rules(kernel), "overlap")[5] == "EINVAL (differs)"
    (row,) = a1.differences(kernel).rows
    assert row[:3] == ("overlap", "EEXIST", "EINVAL")
    assert a1.differences(SIMULATOR).rows == []


def test_pairs_count_those_whose_errnos_tell_them_apart():
    later = cells(a1.winners(SIMULATOR), "overlap")
    same = cells(a1.winners(SIMULATOR), "hva-fixed")

    # EEXIST against EINVAL and EBADF: every answer tells.
    assert later[1] == later[2] > 3
    # Against the EINVALs the errno tells nothing, against EEXIST it does.
    assert same[1] > same[2] == 1
    assert all(row[3] == 0 for row in a1.winners(SIMULATOR).rows)


def test_a_pair_that_a_kernel_decides_otherwise_is_counted():
    kernel = otherwise(**{"hva-fixed and overlap": "EEXIST"})

    assert cells(a1.winners(kernel), "hva-fixed")[3] == 1


def test_the_summary_counts_same_other_and_absent():
    told = a1.summary(otherwise(overlap="EINVAL")).text
    assert f"The table has {len(SIMULATOR.by_case):,} cases. Kernel: a kernel." in told
    assert "1 differ (overlap); 0 were not run" in told

    told = a1.summary(NOBODY).text
    assert "It answers 0 as" in told
    assert f"{len(SIMULATOR.by_case):,} were not run" in told


@pytest.fixture
def no_kernel(monkeypatch):
    def lacking(_):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(a1, "measure_cases", lacking)


@pytest.fixture
def recorded(race_record):
    (experiment,) = [one for one in experiments() if one.name == "cases"]
    race = race_record(experiments()[0])
    answers = {"answers": {"overlap": "EEXIST"}}
    made = Record("cases", {}, {"cases": 1}, race.provenance, "c0de", answers)
    return Shown(experiment, made, stale=True)


def test_without_a_kernel_the_record_of_another_one_is_shown_and_named(no_kernel, recorded):
    kernel = a1.kernel([recorded])

    assert kernel.by_case == {"overlap": "EEXIST"}
    assert kernel.who == ("Linux 6.12.1, kvm_amd (recorded, stale; NOT RUN here: /dev/kvm: absent)")


def test_without_a_kernel_and_without_a_record_the_reason_is_given(no_kernel):
    assert a1.kernel([]) == NOBODY


def test_the_random_run_is_told_from_its_record(recorded):
    (experiment,) = [one for one in experiments() if one.name == "conformance"]
    counts = {"coverage": {"rule overlap": 7, "rule flags": 3, "read: done": 9}}
    record = dataclasses.replace(
        recorded.record,
        experiment="conformance",
        parameters={"calls": 10, "seed": 5},
        result={"calls": 19, "mismatches": 0},
        samples=counts,
    )
    shown = [Shown(experiment, record, stale=False)]

    assert a1.conformance(shown).text == (
        "19 random calls (seed 5) on Linux 6.12.1, kvm_amd: 0 mismatches. "
        "The rule met least often is flags, 3 times."
    )
    assert a1.coverage(shown).rows == [("rule overlap", 7), ("rule flags", 3), ("read: done", 9)]
    assert a1.conformance([]).text.startswith("NOT RUN")
