"""The tables of the stand-ins: what they guarantee, every check, what they cost."""

from dataclasses import replace

import pytest

from figures import standins
from figures.records import Shown
from memslotlib import experiments, litmus_standins
from memslotlib.evidence import DATA, Record, read
from memslotlib.experiments import SWITCHES, TIMED
from memslotlib.interface import Access
from memslotlib.litmus_standins import FATES, Check
from memslotlib.provenance import Provenance
from memslotlib.verdict import Word

#: A host that never was: it does all that is expected, and runs both guests on the processor.
HOST = {"kernel": "6.12.1", "module": "kvm_amd", "out_of_tree": False}
MADE = Provenance("c0ffee", False, "0.1.0", "2026-01-02T03:04:05+00:00", "3.11", "native", HOST)
COST = {"off": 0.2, "on": 0.1, "both": 0.3, "low": 0.25, "high": 0.35, "steady": True}


def expected(experiment):
    given = experiment.parameters
    row = litmus_standins.expected(given["api"], Access(given["access"]), "page tables")
    n = given["rounds"]
    return {
        check.value: {
            "word": one.word.value,
            "hits": n if one.word is Word.SEEN else 0,
            "trials": n,
            "opportunities": n,
            "expected": one.word.value,
        }
        for check, one in row.items()
    }


def record(experiment):
    is_cost = "pages" in experiment.parameters
    result = COST if is_cost else {"checks": expected(experiment), "exits": {}, "failures": {}}
    return Record(experiment.name, experiment.parameters, result, MADE, "c0de")


@pytest.fixture
def records():
    ours = [one for one in experiments.experiments() if one.name.startswith("stand-in")]
    return [Shown(one, record(one), stale=False) for one in ours]


def test_a_row_tells_what_accesses_come_to_and_what_is_kept(records):
    table = standins.guarantees(records)

    assert len(table.rows) == 2 * len(FATES)
    said = {str(getattr(one[0], "text", one[0])): one for one in table.rows}
    n, few = SWITCHES[Access.STORE], SWITCHES[Access.LOAD]
    assert said["uffd-minor"][2:6] == (
        f"waits {few} of {few}",
        f"waits {n} of {n}",
        f"{n} of {n}",
        f"held up {n} of {n}; a signal frees them",
    )
    assert said["mprotect-read"][2:5] == (
        f"served {few} of {few}",
        f"EFAULT {n} of {n}",
        f"0 of {n}",
    )
    assert said["today"][7] == f"lost {n} of {n}; not to be fetched"
    assert said["move-away"][7] == f"kept in {n}; can be fetched"
    assert said["mmap"][7] == f"kept in {n}; can be fetched; exchange unnamed {n} of {n}"
    assert said["nothing"][6].word is Word.SEEN
    assert said["mmap"][6].text == f"NOT SEEN in {n}"


def changed(one, check, word):
    checks = one.record.result["checks"]
    told = {**checks[check.value], "word": word.value, "hits": one.parameters["rounds"]}
    result = {**one.record.result, "checks": {**checks, check.value: told}}
    return Shown(one.experiment, replace(one.record, result=result), one.stale)


def test_a_signal_that_does_not_help_is_told_of(records):
    records = [
        changed(one, Check.HELD_ON, Word.SEEN)
        if one.parameters.get("access") == "store" and one.parameters["api"] == "uffd-wp"
        else one
        for one in records
    ]

    rows = {one[0].text: one for one in standins.guarantees(records).rows}
    assert rows["uffd-wp"][5].endswith("a signal does not help")
    # Of both guests, and nobody expected it.
    assert standins.surprises(records).text.startswith(f"2 of {_verdicts(records):,} verdicts and")


def test_too_few_to_tell_is_no_signal_that_does_not_help(records):
    lacking = []
    for one in records:
        checks = one.record.result.get("checks", {})
        told = {name: check for name, check in checks.items() if name not in ("held on", "untold")}
        result = {**one.record.result, "checks": told} if checks else one.record.result
        lacking.append(Shown(one.experiment, replace(one.record, result=result), one.stale))

    rows = {one[0].text: one for one in standins.guarantees(lacking).rows}
    n = SWITCHES[Access.STORE]
    assert rows["uffd-wp"][5] == f"held up {n} of {n}; too few to tell whether a signal helps"
    assert (rows["uffd-wp"][4], rows["mprotect-none"][4]) == ("too few stops", "too few stops")
    assert rows["mmap"][4] == "no stop"


def _verdicts(records):
    return sum(len(one.record.result.get("checks", {})) for one in records)


def test_loads_and_fetches_are_told_apart_where_they_differ(records):
    records = [
        changed(one, Check.HOLE, Word.SEEN)
        if one.parameters.get("access") == "fetch" and one.parameters["api"] == "mmap"
        else one
        for one in records
    ]

    rows = {one[0].text: one for one in standins.guarantees(records).rows}
    few = SWITCHES[Access.LOAD]
    assert rows["mmap"][2] == f"served {few} of {few}; a hole {few} of {few}"


def test_every_check_has_a_row_with_the_bound_of_what_was_not_seen(records):
    table = standins.checks(records)

    assert len(table.rows) == _verdicts(records)
    for *_, verdict, bound, other in table.rows:
        assert bool(bound) is verdict.text.startswith("NOT SEEN")
        assert other == ""


def test_a_cost_is_on_a_side_and_a_surprise_is_named(records):
    table = standins.costs(records)

    assert len(table.rows) == 2 * len(FATES) * len(TIMED)
    sides = {(one[0], one[2]): one[7] for one in table.rows}
    assert sides["mprotect-none", 4] == "cheaper"
    assert sides["move-away", 4] == "cheaper, not as expected"
    # The pair beside itself: nothing was expected.
    assert sides["today", 4] == "cheaper"
    assert "move-away with 4 pages in long64" in standins.surprises(records).text
    assert "With 4 pages cheaper than DELETE and CREATE: `quirk-off`" in (
        standins.sides(records).text
    )
    assert "nothing" not in standins.sides(records).text


def test_an_unsteady_run_says_nothing_of_a_stand_in(records):
    records = [
        Shown(one.experiment, replace(one.record, result={**COST, "steady": False}), False)
        for one in records
        if "pages" in one.parameters
    ]

    assert {one[7] for one in standins.costs(records).rows} == {"unsteady"}
    assert "With 4 pages cheaper than DELETE and CREATE: none; dearer: none" in (
        standins.sides(records).text
    )
    assert standins.surprises(records).text.startswith(
        "0 of 0 verdicts and 0 of the 0 costs that fell one way, of 36, came out other"
    )


def test_surprises_are_counted_among_the_costs_that_fell_one_way(records):
    timed = [one for one in records if "pages" in one.parameters]
    undecided = {**COST, "low": 0.9, "high": 1.1}
    half = [
        Shown(one.experiment, replace(one.record, result=undecided), stale=False)
        if one.parameters["pages"] == 4
        else one
        for one in timed
    ]
    assert "of the 18 costs that fell one way, of 36, came out" in standins.surprises(half).text


def test_a_stale_record_is_marked(records):
    records = [Shown(one.experiment, one.record, stale=True) for one in records]

    assert {one[0].kind for one in standins.guarantees(records).rows} == {"stale"}
    assert all("(stale)" in one[5].text for one in standins.checks(records).rows)
    assert all(one[0].endswith("(stale)") for one in standins.costs(records).rows)
    assert "STALE" in standins.source(records).text


def test_without_records_it_says_not_run():
    for table in (standins.guarantees([]), standins.checks([]), standins.costs([])):
        assert "NOT RUN" in table.text
    assert "NOT RUN" in standins.source([]).text
    assert "Nothing is recorded" in standins.surprises([]).text
    assert "Nothing is recorded" in standins.sides([]).text


def test_a_stand_in_that_was_not_recorded_under_stores_says_so(records):
    loads = [one for one in records if one.parameters.get("access") == "load"]

    for one in standins.guarantees(loads).rows:
        assert one[3] == one[5] == one[7] == "NOT RUN"


def test_what_the_chapter_says_in_words_is_what_is_recorded():
    ours = [one for one in read(DATA / standins.FILE) if one.experiment == litmus_standins.NAME]
    newest = {repr(sorted(one.parameters.items())): one for one in ours}

    assert newest
    for one in newest.values():
        words = {name: check["word"] for name, check in one.result["checks"].items()}
        assert words == {name: check["expected"] for name, check in one.result["checks"].items()}
