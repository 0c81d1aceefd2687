"""Appendix A3's tables: published counts, what engines find, and the recorded speed."""

from figures import a3
from memslotlib.check import explore
from memslotlib.check.examples import increment
from memslotlib.check.explore import ENGINES
from memslotlib.evidence import Record
from memslotlib.provenance import Provenance
from memslotlib.views.prose import Said

HOST = {"kernel": "6.12.1", "module": "kvm_amd", "out_of_tree": False}

PUBLISHED = """\
Model             Published         By          Here
----------------  ----------------  ----------  -----------------  -----
two-thread        13 states         Stateright  13 states, 15      equal
increment                                       generated, depth
                                                5
the same, with    8 states          Stateright  8 states, 10       equal
symmetry                                        generated, depth
                                                5
two-phase commit  288 states,       TLC         288 states, 1,146  equal
of 3              1,146 generated,              generated, depth
                  depth 11                      11
two-phase commit  8,832 states      Stateright  8,832 states,      equal
of 5                                            58,146 generated,
                                                depth 17"""


def record(experiment, commit="c0ffee"):
    number = {"name": "ratio", "value": 8.5, "unit": "x", "at_most": None, "at_least": 6.0}
    made = Provenance(commit, False, "0.1.0", "2026-01-02T03:04:05+00:00", "3.11", "native", HOST)
    parameters = {"modules": ["memslotlib.verdict"]}
    return Record(experiment, parameters, {"numbers": [number]}, made, "c0de")


def test_published_counts_are_found_again():
    assert a3.published().text == PUBLISHED


def test_a_count_that_differs_is_told(monkeypatch):
    (first, *_) = a3.PUBLISHED
    monkeypatch.setattr(a3, "PUBLISHED", (first._replace(states=14),))

    (row,) = a3.published().rows

    assert row[-1].text == "DIFFERENT"


def test_what_python_ran_for_an_exploration_is_in_the_sentence():
    result = explore(increment(), symmetry=False)
    paths = sum(len(role.paths) for role in result.program.roles)

    assert a3.work(result).text == (
        f"For the proof above, Python ran {paths} paths; they stand for 14 micro-steps out of 13 "
        f"states of {result.bits} bits."
    )


def test_the_limits_are_those_that_refuse_more():
    assert a3.limits().text == (
        "At most 8 words of 64 bits a state, 65,536 values a variable, 32,768 values a choice, "
        "1,048,576 local states an actor, 20 properties of each sort: more is an error that says "
        "so."
    )


def test_every_engine_that_is_here_explores_with_and_without_symmetry():
    rows = a3.engines(increment()).rows

    assert [row[:5] for row in rows[:-1]] == [
        row for name in ENGINES for row in ((name, "", 13, 15, 5), (name, "symmetry", 8, 10, 5))
    ]
    assert rows[-1][1] == "symmetry, partial order"
    assert {row[-1] for row in rows} == {"2 of 3"}


def test_only_the_explorers_benchmarks_are_shown():
    records = [record("bench-abi"), record("bench-spin", "0ld"), record("bench-spin")]

    table = a3.speed(records)

    assert [row[0] for row in table.rows] == ["ratio"]
    assert "benchmarks/bench_spin.py" in table.text
    assert a3.source(records).text == (
        "Measured on Linux 6.12.1, kvm_amd, commits c0ffee, 2026-01-02."
    ), "of the numbers that are shown, and of no others"


def test_without_records_nothing_is_claimed():
    assert a3.source([]).text.startswith("NOT RUN")
    assert isinstance(a3.speed([]), Said)
