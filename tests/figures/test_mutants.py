"""The tables of mutants and of wider bounds: from made-up records, and from small searches."""

from dataclasses import replace

import pytest

from figures import mutants as figure
from memslotlib import recheck
from memslotlib.claims import load
from memslotlib.evidence import Record
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.mutants import sweep
from memslotlib.provenance import ROOT, Provenance
from memslotlib.views.prose import Said

MADE = Provenance("c0ffee", False, "0.1.0", "2026-01-02T03:04:05+00:00", "3.11", "native", {})
ROWS = [
    {
        "api": "pause",
        "scenes": ["split+load", "split+load, x86, SLOT_ZAP_ALL off"],
        "killed": {"I7": 3, "I10": 1},
        "survivors": [["without free old (2)", "a leak"], ["x (1)", "nobody runs"]],
    },
    {
        "api": "user-exit",
        "scenes": ["split+load"],
        "killed": {"I2": 2},
        "survivors": [["without free old (2)", "a leak"]],
    },
]
CELLS = [
    {"claim": "Q4.3", "api": "pause", "where": "x86", "wider": wider, "word": word, **more}
    for wider, word, more in (
        ("4 accesses each", "HOLDS", {"bound": "", "states": 1_500_000, "depth": 9}),
        (
            "3 vCPUs",
            "UNDETERMINED",
            {"bound": "cut", "states": 7_000_000, "depth": 9, "accesses": "any of 6, to 3 frames"},
        ),
    )
]


def made(experiment, **result):
    return Record(experiment, {}, result, MADE, "c0de")


def texts(rows):
    return [[getattr(cell, "text", cell) for cell in row] for row in rows]


@pytest.mark.parametrize("table", [figure.table, figure.survivors, figure.headline])
def test_without_a_record_each_says_how_to_make_one(table):
    said = table([])

    assert isinstance(said, Said)
    assert "memslots claims --record" in str(said)


def test_each_protocol_has_a_row_and_all_have_a_sum():
    records = [made("mutants", rows=[]), made("other"), made("mutants", rows=ROWS)]

    first, second, total = texts(figure.table(records).rows)

    assert first == [APIS["pause"].title, "split+load", 6, 4, "I7 3, I10 1", 2]
    assert second[2:] == [3, 2, "I2 2", 1]
    assert total == ["All (stale)", "", 9, 6, "", 3]


def test_survivors_are_counted_by_their_reason():
    table = figure.survivors([made("mutants", rows=ROWS)])

    assert texts(table.rows) == [
        [2, "a leak", "pause 1, user-exit 1"],
        [1, "nobody runs", "pause 1"],
    ]


def test_a_wider_bound_that_was_not_exhausted_names_it():
    table = figure.headline([made("headline", cells=CELLS)])

    assert table.columns[3] == "every frame (stale)"
    assert table.columns[4:] == ("4 accesses each (stale)", "3 vCPUs (stale)")
    assert texts(table.rows) == [
        [
            "Q4.3",
            APIS["pause"].title,
            "x86",
            "",
            "HOLDS, 1.5 M states",
            "UNDETERMINED, 7.0 M states, any of 6, to 3 frames: cut",
        ]
    ]


def test_a_claim_is_widened_where_it_holds_and_says_undetermined_at_the_bound():
    claim = load(ROOT / "book" / "claims")["Q4.6"]
    few = tuple(one for one in claim.expect if one.api in ("remap", "pause", "wholesale-swap"))
    found = {
        (one.api, one.wider): one
        for one in recheck.widened(replace(claim, expect=few), states=2_000_000)
    }

    assert {api for api, _ in found} == {"remap", "pause"}
    assert {wider for _, wider in found} == {"4 accesses each", "3 vCPUs"}
    assert len(found) == 4
    small, big = found["remap", "4 accesses each"], found["remap", "3 vCPUs"]
    assert (small.word, big.word) == ("HOLDS", "UNDETERMINED")
    assert small.states < 2_000_000 <= big.states
    assert (small.accesses, big.accesses) == ("any of 4, to 4 frames", "any of 2, to 2 frames")
    assert big.bound
    assert small.depth > 0


def test_a_claim_whose_scene_leaves_a_frame_out_is_widened_to_every_frame():
    claim = load(ROOT / "book" / "claims")["Q5.3"]
    few = tuple(one for one in claim.expect if one.api == "pause")
    found = {one.wider: one for one in recheck.widened(replace(claim, expect=few), states=400_000)}

    assert found[recheck.EVERY_FRAME].accesses == "any of 8, to 4 frames"
    assert found["4 accesses each"].accesses == "any of 6, to 3 frames"
    assert found[recheck.EVERY_FRAME].states > 400_000
    assert {one.where for one in found.values()} == {"x86"}


def test_only_the_headline_is_widened_and_its_record_says_how_far():
    record = recheck.record_headline([])

    assert record.experiment == "headline"
    assert record.parameters == {"claims": [], "states": 150_000_000}
    assert record.result == {"cells": []}


def test_the_record_of_mutants_has_counts_and_survivors(monkeypatch):
    monkeypatch.setattr(recheck.generated, "SOUND", ("rfc-intended",))
    monkeypatch.setattr(recheck.generated, "sweep", lambda key: sweep(key, every=20))
    record = recheck.record_mutants()

    (row,) = record.result["rows"]
    assert row["api"] == "rfc-intended"
    assert all(why for _, why in row["survivors"])
    assert "split+load" in row["scenes"]
    assert figure.table([record]).rows
