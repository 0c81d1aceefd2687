"""An entry that refutes nothing is told, and says by what it failed."""

from dataclasses import replace

import pytest

from memslotlib.evidence import DATA, newest, read
from memslotlib.too_strong import ENTRIES, NotRefutedError, assert_refuted, refuted
from memslotlib.verdict import Verdict, Word

ONE = ENTRIES["KVM's own accesses are retried on INVALID"]


@pytest.mark.parametrize(
    ("part", "failure"),
    [
        ({"base": Verdict.holds(bound="all", states=7)}, "unchanged model does not allow it"),
        ({"changed": Verdict.undetermined("all")}, "changed model does not exclude it: "),
        ({"host": Verdict.not_seen(5, opportunities=9, host="demo")}, "no host showed it: NOT"),
    ],
)
def test_what_refutes_nothing_is_an_error_that_says_why(part, failure):
    with pytest.raises(NotRefutedError, match=f"{ONE.name}: .*{failure}"):
        assert_refuted(replace(refuted(ONE), **part))


def test_without_a_change_nothing_is_excluded():
    found = refuted(replace(ONE, steps={}))

    assert found.failure == "the changed model does not exclude it: VIOLATED"


def test_without_records_nothing_is_refuted():
    assert refuted(ONE, {}).failure == "no host showed it: NOT RUN"


def test_a_sample_of_zeroes_is_not_seen():
    waits = ENTRIES["A fault on an INVALID slot is not retried"].seen
    record = newest(read(DATA / waits.file), waits.experiment, **waits.parameters)
    never = replace(record, samples={waits.column: [0, 0, 0]})

    assert waits.verdict().word is Word.SEEN
    assert waits.verdict({waits.file: [never]}).text == "NOT SEEN in 3"
