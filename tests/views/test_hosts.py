"""What `memslots evidence` prints, word for word, and what a page says of a claim on a host."""

from pathlib import Path

import made_hosts
import pytest
from made_hosts import ASKED, PVM, capabilities, made, word

from memslotlib import about, claims
from memslotlib.experiments import experiments
from memslotlib.hosts import by_host
from memslotlib.views import hosts as views

REGISTRY = claims.load(about.CLAIMS)
HELD = [one for one in ASKED if one.parameters.get("api") == "move"]


def golden(name):
    """A published text: what changes here changes what a reader of a mail is used to."""
    return Path(__file__).with_name(name).read_text("utf-8")


def test_showing_a_host_is_its_golden_text():
    host = made_hosts.stock()
    assert f"{views.heading(host)}\n{views.records(host)}\n" == golden("evidence_show.txt")


def test_comparing_two_hosts_is_its_golden_text():
    told = views.differences(made_hosts.pvm(), made_hosts.stock())
    assert f"{told}\n" == golden("evidence_compare.txt")


@pytest.mark.parametrize("name", ["evidence_show.txt", "evidence_compare.txt"])
def test_they_fit_into_a_mail(name):
    assert max(map(len, golden(name).splitlines())) <= 72


def test_two_hosts_that_are_the_same_have_no_tables():
    told = views.differences(made_hosts.pvm(), made_hosts.pvm())
    same = "The hosts are the same, as far as was recorded.\n\n13 checks, 13 the same."
    assert told.endswith(f"\n\n{same}")


@pytest.mark.parametrize("kernel", ["6.12.1" + "x" * n for n in range(12)])
def test_a_comparison_fits_into_a_mail_whatever_its_hosts_are_called(kernel):
    (host,) = by_host([capabilities({**PVM, "kernel": kernel})])
    told = views.differences(host, made_hosts.stock())
    assert max(map(len, told.splitlines())) <= 72


def test_what_only_one_host_has_a_record_of_is_counted_and_not_listed():
    (bare,) = by_host([capabilities(PVM), *made_hosts.records(PVM)[:2]])
    told = views.differences(made_hosts.pvm(), bare)
    assert told.endswith("\n\n7 checks, 1 the same, 6 recorded by one of them only.")
    assert "no record" not in told


def claimed(*records):
    (host,) = by_host([capabilities(PVM), *records])
    rows = views.claimed([host], REGISTRY).rows
    return next(row[3] for row in rows if (row[0].text, row[1]) == ("Q0.6", "move"))


def found(one, hits):
    return made(one.name, one.parameters, {**word(hits, 20), "exits": {}}, PVM, code=one.digest)


def test_a_claims_word_counts_experiments():
    assert claimed(found(HELD[0], 20), found(HELD[1], 20)).text == "SEEN (2 of 2)"
    assert claimed(found(HELD[0], 0), found(HELD[1], 20)).text == "SEEN (1 of 2)"


def test_an_experiment_of_which_a_claim_asks_two_things_counts_once():
    (one,) = (
        one
        for one in experiments()
        if one.name == "stand-in"
        and (one.parameters["api"], one.parameters["context"], one.parameters["access"])
        == ("mprotect-none", "long64-cpl3", "load")
    )
    checks = {"untold": word(40, 40), "held up": word(0, 40), "hole": word(0, 40)}
    (host,) = by_host([made(one.name, one.parameters, {"checks": checks}, code=one.digest)])
    rows = {(row[0].text, row[1]): row[3].text for row in views.claimed([host], REGISTRY).rows}
    assert rows["Q2.5", "mprotect-none"] == "SEEN (1 of 1)"
    assert rows["Q2.1", "mprotect-none"] == "NOT SEEN (1 of 1)"


def test_a_host_that_contradicts_a_claim_is_marked():
    cell = claimed(found(HELD[0], 0), found(HELD[1], 0))
    assert cell.text == "NOT SEEN (2 of 2): CONTRADICTS THE CLAIM"
    assert cell.kind == "verdict not-seen contradiction"


def test_what_could_not_run_gives_its_reason():
    cell = claimed(made_hosts.not_run(HELD[0], PVM, "no vCPU"))
    assert cell.text in ("NOT RUN: no vCPU", "NOT RUN: no record")
    assert cell.kind == "verdict not-run"


def test_a_record_without_what_the_claim_asks_reads_not_run_and_not_that_no_guest_goes_there():
    (one,) = (one for one in experiments() if one.name == "cost-refaults")
    (host,) = by_host([made(one.name, one.parameters, {"delete: faults in again": word(9, 9)})])
    rows = {(row[0].text, row[1]): row[3].text for row in views.claimed([host], REGISTRY).rows}
    assert rows["Q2.8", "delete"] == "SEEN (1 of 1) (stale)"
    assert rows["Q2.8", "delete-own"] == "NOT RUN: this host lacks what it needs"
    (bare,) = by_host([capabilities(PVM)])
    rows = {(row[0].text, row[1]): row[3].text for row in views.claimed([bare], REGISTRY).rows}
    assert rows["Q2.8", "delete-own"] == "NOT RUN: no record"


def test_a_host_of_no_known_module_says_nothing_of_its_guests():
    (row,) = views.listed(by_host([capabilities({**PVM, "module": ""})])).rows
    assert row[2] == "not known"


def test_strings_of_a_record_are_escaped_in_a_page():
    (host,) = by_host([made("<script>", {"n": "\x1b"}, {"x": "<b>"}, {**PVM, "cpu": "<i>"})])
    text = views.records(host).html + views.listed([host]).html
    assert not {"<script>", "<b>", "<i>", "\x1b"} & set(text.replace("><", "> <").split())
    assert "&lt;script&gt; (?)" in text
