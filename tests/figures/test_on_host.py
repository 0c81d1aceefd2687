"""The tables of what a real kernel showed of Q4 and Q5."""

import pytest

from figures import on_host
from memslotlib.agreement import PAIRS, Compared, UnsoundModelError
from memslotlib.verdict import Verdict

SEEN = Verdict.seen(3, 5, host="demo", opportunities=9)
HOLDS = Verdict.holds(bound="all", states=7)
VIOLATED = Verdict.violated(("a step",), bound="all", states=7)


def test_a_window_tells_how_many_accesses_it_had_and_the_bound():
    rows = on_host.windows().rows

    moved = [row for row in rows if row[1] == "move"]
    assert {row[0] for row in moved} == {"load", "store", "fetch"}
    for row in moved:
        assert row[5] >= 10_000
        assert row[6].text.startswith("NOT SEEN in ")
        assert row[7].endswith("%")
    assert {row[3] for row in rows} <= set(on_host.METHODS.values())


def test_stores_are_looked_for_in_the_properties_words():
    rows = on_host.stores().rows

    assert {row[0] for row in rows} == {"today", "mmap", "mremap"}
    holes = {row[0]: row[5].text for row in rows if row[2].startswith("I3b")}
    assert holes["today"].startswith("SEEN")
    assert holes["mmap"].startswith("NOT SEEN")


def test_without_records_it_says_not_run():
    assert "NOT RUN" in on_host.windows([]).text
    assert "NOT RUN" in on_host.stores([]).text


def test_agreement_has_a_row_for_each_pair():
    (row,) = on_host.agreement([Compared(PAIRS[0], SEEN, VIOLATED)]).rows

    assert row == (PAIRS[0].title, SEEN, "split+load", "I3a", VIOLATED, "seen, and allowed")


def test_a_page_with_an_unsound_model_is_not_built():
    with pytest.raises(UnsoundModelError):
        on_host.agreement([Compared(PAIRS[0], SEEN, HOLDS)])


def test_what_no_host_showed_links_to_its_claim():
    rows = {row[0].text: row for row in on_host.unshown().rows}

    assert rows["Q4.8"][0].href == "q4.html#q4-8"
    assert rows["Q5.13"][3] == "delete and create; pause all, as QEMU's inhibit"
    assert all(row[4] for row in rows.values())
    assert on_host.unshown([]).rows == []
