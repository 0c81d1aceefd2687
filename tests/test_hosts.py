"""Records by host: what each found, what it could not run, and where two differ."""

import made_hosts
import pytest
from made_hosts import ASKED, LACKING, PVM, STOCK, capabilities, found, made, not_run, word

from memslotlib import evidence, hosts
from memslotlib.evidence import DATA, append
from memslotlib.experiment import NOT_RUN
from memslotlib.experiments import experiments
from memslotlib.hosts import by_host, compare, differing_facts, outcomes, plain
from memslotlib.verdict import Word

RACE, LAST = ASKED[0], ASKED[-1]


def compared():
    rows = compare(made_hosts.pvm(), made_hosts.stock())
    return {(one.experiment, one.check): one for one in rows}


def test_records_are_grouped_by_host_oldest_first():
    old, new = found(RACE, PVM), made(RACE.name, RACE.parameters, word(1, 300))
    later = evidence.Record(**{**vars(new), "provenance": made_hosts.found(RACE, STOCK).provenance})
    first, second = by_host([later, old, found(LAST, STOCK), capabilities(PVM)])
    assert [one.provenance.date for one in first.records] == sorted(
        one.provenance.date for one in first.records
    )
    assert (len(first.records), len(second.records)) == (2, 2)


def test_the_newest_record_of_an_experiment_counts():
    old = made(RACE.name, RACE.parameters, word(0, 300))
    (host,) = by_host([old, found(RACE, PVM)])
    assert hosts.told(host.found(RACE.name, RACE.parameters)) == "SEEN 300 of 300"


def test_what_could_not_run_reads_not_run_with_the_capability():
    (answer,) = made_hosts.stock().found(LAST.name, LAST.parameters).values()
    assert answer.word is Word.NOT_RUN
    assert answer.reason == LACKING


def test_what_was_never_tried_reads_not_run_as_well():
    (host,) = by_host([capabilities(STOCK)])
    assert hosts.told(host.found(RACE.name, RACE.parameters)) == "NOT RUN: no record"


def test_what_ran_once_counts_though_it_did_not_run_again():
    (host,) = by_host([found(LAST, STOCK), not_run(LAST, STOCK)])
    assert hosts.told(host.found(LAST.name, LAST.parameters)).startswith("cases 448")


def test_a_record_is_stale_only_where_this_checkout_has_other_code():
    (host,) = by_host(
        [found(RACE, PVM), made("older", {}, {}), made(LAST.name, {}, {}, code=LAST.digest)]
    )
    assert host.is_stale(RACE.name, RACE.parameters)
    assert not host.is_stale(LAST.name, LAST.parameters)
    assert not host.is_stale("older", {})


def test_a_result_is_told_by_its_checks():
    assert outcomes(made("x", {}, {"I2": word(0, 9), "n": 1500, "x": 0.5, "l": [1], "s": "a"})) == {
        "I2": outcomes(made("x", {}, word(0, 9)))[""],
        "n": "1,500",
        "x": "0.5",
        "l": "1 entry",
        "s": "a",
    }


def test_names_are_told_where_they_are_few_and_a_number_is_no_name():
    told = {"none": [], "some": ["b", "a"], "met": {"mmio": 7}, "left": {"0": 7}, "n": ["x"] * 9}
    assert outcomes(made("x", {}, told)) == {
        "none": "none",
        "some": "b, a",
        "met": "mmio",
        "left": "1 entry",
        "n": "9 entries",
    }


def test_each_check_of_a_stand_in_is_told():
    result = {"checks": {"hole": word(9, 9)}, "exits": {"mmio": 9}, "failures": {}}
    told = outcomes(made("stand-in", {}, result))
    assert hosts.told(told) == "exits mmio; failures none; hole SEEN 9 of 9"


def test_no_other_word_hides_among_the_checks_of_a_stand_in():
    for one in ({"word": "HOLDS"}, 9, {"hits": 9}):
        with pytest.raises((ValueError, TypeError, KeyError)):
            outcomes(made("stand-in", {}, {"checks": {"hole": one}, "exits": {}}))


def test_stand_ins_of_two_hosts_differ_by_check():
    (one,), (other,) = (
        by_host([made("stand-in", {}, {"checks": {"hole": word(n, 9), "leak": word(0, 9)}}, host)])
        for n, host in ((9, PVM), (0, STOCK))
    )
    assert [(row.check, row.differs) for row in compare(one, other)] == [
        ("hole", "word"),
        ("leak", ""),
    ]


def rows(**changed):
    row = {"test": "log-bitmap", "sequence": "split", "context": "long64", "refused": ""}
    told = {"kept": [0], "lost": [5], "gone": [], "extra": []}
    return [{**row, "runs": 3, **told, **changed}]


def test_what_the_sequences_of_calls_came_to_is_told_by_update():
    record = made("log-sequences", {}, {"differ": [], "runs": 3}, rows=rows(), written=[])
    found = outcomes(record)
    assert found["log-bitmap split: kept"].text == "SEEN 3 of 3"
    assert found["log-bitmap split: exact"].text == "NOT SEEN in 3"
    assert "log-bitmap merge: kept" not in found
    other = made(
        "log-sequences", {}, {"differ": [], "runs": 3}, STOCK, rows=rows(lost=[]), written=[]
    )
    (first,), (second,) = by_host([record]), by_host([other])
    differing = [one.check for one in compare(first, second) if one.differs]
    assert differing == ["log-bitmap split: kept"]


def test_of_many_verdicts_their_words_are_counted():
    many = {str(n): word(int(n < 4), 9) for n in range(20)}
    told = hosts.told(outcomes(made("x", {}, {"differ": [], **many})))
    assert told == "differ none; 20 checks: SEEN 4, NOT SEEN 16"


def test_a_host_that_was_sent_is_marked():
    assert made_hosts.stock().name.endswith(" (imported)")
    assert "imported" not in made_hosts.pvm().name
    assert made_hosts.stock().label == "Linux 6.12.1, kvm_intel, Intel Xeon, 8 CPUs"


def test_hosts_of_a_folder_are_its_own_then_the_imported_with_their_origin(tmp_path):
    append(tmp_path / "q0.jsonl", *made_hosts.records(PVM))
    stock = made_hosts.stock()
    append(tmp_path / hosts.IMPORTED / "a.jsonl", *stock.records)
    append(tmp_path / hosts.IMPORTED / "b.jsonl", capabilities({**STOCK, "kernel": "6.12.1"}))
    mark = made(hosts.IMPORT, {"from": "a\x1bmail"}, {"hosts": {stock.id: 8}})
    append(tmp_path / hosts.IMPORTS_FILE, mark)

    own, sent = hosts.hosts(tmp_path)

    assert (own.origin, sent.origin) == ("", "a?mail, 2026-11-27")
    assert [one.id for one in (own, sent)] == [made_hosts.pvm().id, stock.id]
    assert all(one.experiment != hosts.IMPORT for one in own.records)


def test_imported_records_that_nobody_vouches_for_say_so(tmp_path):
    append(tmp_path / hosts.IMPORTED / "a.jsonl", *made_hosts.records(STOCK))
    (sent,) = hosts.hosts(tmp_path)
    assert sent.origin == "nobody says from where"


def test_two_hosts_differ_by_word_by_counts_or_because_one_did_not_run():
    rows = compared()
    assert rows[RACE.label, ""].differs == "word"
    assert rows[LAST.label, ""].differs == "not run"
    assert rows[ASKED[4].label, "I2"].differs == ""


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        (word(3, 9), word(4, 9), "counts"),
        (word(0, 8), word(0, 9), "counts"),
        (word(0, 9), word(1, 9), "word"),
        ({"n": 1}, {"n": 2}, "result"),
        ({"n": 1}, {"m": 1}, "no record"),
    ],
)
def test_each_difference_has_its_name(one, other, differs):
    (first,), (second,) = by_host([made("x", {}, one)]), by_host([made("x", {}, other, STOCK)])
    assert {row.differs for row in compare(first, second)} == {differs}


def test_a_host_does_not_differ_from_itself():
    assert {one.differs for one in compare(made_hosts.pvm(), made_hosts.pvm())} == {""}
    assert differing_facts(made_hosts.pvm(), made_hosts.pvm()) == []


def test_facts_parameters_and_capabilities_are_compared():
    names = [row[0] for row in differing_facts(made_hosts.pvm(), made_hosts.stock())]
    assert {"kernel", "kvm.tdp_mmu", "KVM_CAP_DIRTY_LOG_RING"} <= set(names)
    assert "KVM_CAP_READONLY_MEM" not in names


def test_records_of_the_model_are_not_asked_of_a_kernel():
    (host,) = by_host([made("claim-Q4.1", {}, {"cells": []}), found(RACE, PVM)])
    assert [name for name, _ in hosts.asked([host])] == [RACE.name]


def test_what_only_failed_is_among_what_was_asked():
    other = made(NOT_RUN, {"experiment": "new", "parameters": {"n": 1}}, {"reason": "x"})
    (host,) = by_host([other, not_run(RACE, PVM)])
    assert hosts.asked([host]) == [(RACE.name, RACE.parameters), ("new", {"n": 1})]


def test_what_moves_a_cursor_is_not_shown():
    assert plain("a\x1b[2Jb\r\u202e") == "a?[2Jb??"


def test_every_record_of_the_project_can_be_told():
    for record in hosts.records_in(DATA):
        assert hosts.told(outcomes(record))


def test_the_projects_own_host_is_among_the_hosts():
    own = hosts.hosts()[0]
    answers = [own.found(one.name, one.parameters) for one in experiments()]
    assert any(hosts.told(one) != "NOT RUN: no record" for one in answers)
