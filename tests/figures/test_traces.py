"""The shortest trace of each kind of failure, and the run beside it."""

from dataclasses import asdict

import pytest

from figures import traces
from figures.verdicts import Recorded
from memslotlib.evidence import Record
from memslotlib.provenance import Provenance
from memslotlib.recheck import Checked

MADE = Provenance("c0ffee", False, "0.1.0", "2026-01-02T03:04:05+00:00", "3.11", "native", {})


def recorded(claim, keeps, litmus, *cells):
    made = tuple(
        Checked(claim, api, "x86", word, word, word, steps=steps) for api, word, steps in cells
    )
    record = Record(
        f"claim-{claim}",
        {"litmus": litmus, "property": keeps},
        {"cells": [asdict(one) for one in made]},
        MADE,
        "c0de",
    )
    return Recorded(record, made, is_stale=False)


LONG = recorded("Q4.1", "I3a", "split+load", ("today", "VIOLATED", 12), ("pause", "HOLDS", -1))
SHORT = recorded(
    "Q4.3",
    "I3a",
    "split+emulator",
    ("rfc-intended", "VIOLATED", 7),
    ("today", "VIOLATED", 5),
    ("pause", "HOLDS", -1),
    ("primitives", "HOLDS", -1),
)
NOWHERE = recorded("Q4.14", "I11", "grow-isolated+emulator", ("today", "VIOLATED", 8))


def test_of_each_property_the_shortest_is_taken_and_an_api_that_holds():
    found = list(traces.kinds("Q4", {"Q4.1": LONG, "Q4.3": SHORT, "Q4.14": NOWHERE}))

    assert [(one.keeps, one.claim, one.api, one.safe) for one in found] == [
        ("I3a", "Q4.3", "today", "primitives"),
        ("I11", "Q4.14", "today", ""),
    ]
    assert found[0].title == "I3a: delete and create, split+emulator on x86 (Q4.3)"


def test_a_trace_is_searched_anew_and_drawn_twice():
    (kind,) = traces.kinds("Q4", {"Q4.3": SHORT})

    assert len(kind.trace.steps) == 5
    assert "BREAKS I3a" in str(kind.table)
    assert kind.lanes.svg.startswith("<svg")


@pytest.mark.parametrize(("one", "text"), [(SHORT, "SHOWS an access"), (NOWHERE, "for no API")])
def test_what_stands_beside_it_shows_an_access_or_says_that_there_is_none(one, text):
    (kind,) = traces.kinds("Q4", {one.record.experiment.removeprefix("claim-"): one})

    beside = kind.beside
    assert text in " ".join(getattr(beside, "text", str(beside)).split())
