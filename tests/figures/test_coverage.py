"""The tables of lines that did not run: from made-up records."""

import pytest

from figures import coverage
from memslotlib.evidence import Record
from memslotlib.provenance import Provenance
from memslotlib.views.prose import Said

MADE = Provenance("c0ffee", False, "0.1.0", "2026-01-02T03:04:05+00:00", "3.11", "native", {})
RESULT = {
    "searches": 438,
    "lines": 290,
    "never": [["vcpu.py: drain", "return", ["nobody logs", "nobody runs"]]],
    "reasons": {"nobody logs": 400, "nobody runs": 3},
}


def made(code="c0de"):
    return [Record("coverage", {}, RESULT, MADE, code)]


@pytest.fixture(autouse=True)
def code(monkeypatch):
    monkeypatch.setattr(coverage, "code_digest", lambda *_: "c0de")


@pytest.mark.parametrize("show", [coverage.never, coverage.reasons, coverage.total])
def test_without_a_record_each_says_how_to_make_one(show):
    assert isinstance(show([]), Said)
    assert "memslots claims --record" in show([]).text


def test_a_line_that_never_ran_stands_with_each_of_its_reasons():
    table = coverage.never(made())

    assert table.columns == ("In", "Line", "Never runs because")
    assert table.rows == [("vcpu.py: drain", "return", "nobody logs; or nobody runs")]
    assert coverage.never(made("0ld")).columns[1] == "Line (stale)"


def test_reasons_stand_with_the_searches_that_they_are_of():
    table = coverage.reasons(made())

    assert table.rows == [(400, "nobody logs"), (3, "nobody runs")]
    assert table.columns[0] == "Searches"
    assert coverage.reasons(made("0ld")).columns[0] == "Searches (stale)"


def test_how_many_lines_ran_somewhere_is_counted():
    assert coverage.total(made()).text == "Of 290 lines, 289 ran in some of 438 searches."
