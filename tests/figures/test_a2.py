from figures import a2
from memslotlib.evidence import Record
from memslotlib.provenance import Provenance, code_digest

HOST = {"kernel": "6.12.1", "module": "kvm_amd", "out_of_tree": False}


MODULES = ["memslotlib.verdict"]


def record(experiment, date, code=None, **result):
    code = code or code_digest(*MODULES)
    made = Provenance("c0ffee", False, "0.1.0", f"{date}T00:00:00+00:00", "3.11", "native", HOST)
    return Record(experiment, {"modules": MODULES}, result, made, code)


def number(name, value, at_most=None, at_least=None):
    return {"name": name, "value": value, "unit": "us", "at_most": at_most, "at_least": at_least}


OLD = record("bench-abi", "2026-01-01", numbers=[number("look-up", 9.0, at_most=3.0)])
NEW = record(
    "bench-abi",
    "2026-01-02",
    numbers=[
        number("look-up", 1.5, at_most=3.0),
        number("hits", 299, at_least=300),
        number("rate", 33_349.5),
    ],
)

TEXT = """\
What     Measured   Bound                 Again with
-------  ---------  ------------  ------  -----------------------
look-up  1.5 us     at most 3     kept    benchmarks/bench_abi.py
hits     299 us     at least 300  MISSED  benchmarks/bench_abi.py
rate     33,350 us                        benchmarks/bench_abi.py"""


def test_the_newest_numbers_are_shown_with_their_bounds_and_their_command():
    assert a2.table([OLD, NEW]).text == TEXT


def test_the_source_names_host_commit_and_day():
    assert a2.source([OLD, NEW]).text == (
        "Measured on Linux 6.12.1, kvm_amd, commits c0ffee, 2026-01-02."
    )
    assert a2.source([]).text.startswith("NOT RUN")


def test_the_mutation_score_is_the_last_recorded_one():
    runs = [
        record("mutation", "2026-01-01", killed=1, total=2, score=0.5, survived=1),
        record("mutation", "2026-01-02", killed=970, total=1000, score=0.97, survived=30),
    ]
    assert a2.mutation(runs).text == "970 of 1,000 mutants killed, 97.0%; 30 survive."
    assert a2.mutation([]).text == "NOT RUN: no mutation run is recorded."


def test_what_older_code_measured_is_marked():
    old = record("bench-abi", "2026-01-02", code="c0de", numbers=[number("look-up", 1.5)])

    assert a2.table([old]).rows[0][1] == "1.5 us (stale)"
