"""The tables of what the model says: cells, steps, stale marks, lists in sentences."""

from dataclasses import asdict, replace

import pytest

from figures import q4, q5, verdicts
from memslotlib import claims
from memslotlib.evidence import Record
from memslotlib.provenance import Provenance
from memslotlib.recheck import Checked
from memslotlib.views.prose import Said

HOST = {"kernel": "6.12.1", "module": "kvm_amd", "out_of_tree": False}
MADE = Provenance("c0ffee", False, "0.1.0", "2026-01-02T03:04:05+00:00", "3.11", "native", HOST)

ROWS = [
    ("delete and create", "VIOLATED in 13"),
    ("MOVE", "DOES NOT APPLY"),
    ("flags only", ""),
    ("pause all, as QEMU's inhibit", "HOLDS"),
]


def cell(api, word, steps=-1, **more):
    return Checked("Q4.1", api, "x86", word, word, word, states=9, depth=3, steps=steps, **more)


CELLS = (
    cell("today", "VIOLATED", 13, lines_ran=5, lines=7, events={"the update returns": 14}),
    cell("pause", "HOLDS", mutant="without pause", broken=("I3a",)),
    cell("move", "DOES NOT APPLY"),
)


def record(identity="Q4.1", code="c0de"):
    rows = [asdict(one) for one in CELLS]
    return Record(f"claim-{identity}", {}, {"cells": rows}, MADE, code)


@pytest.fixture
def found(monkeypatch):
    monkeypatch.setattr(verdicts, "code_digest", lambda *_: "c0de")
    return verdicts.recorded("Q4", [record(code="0ld"), record()])


def test_the_newest_record_of_each_claim_is_taken(found):
    assert list(found) == ["Q4.1"]
    assert not found["Q4.1"].is_stale
    assert found["Q4.1"].cells == CELLS


def test_a_row_for_each_api_and_a_column_for_each_claim(found):
    table = verdicts.table("Q4", found)

    assert table.columns == ("API", "Q4.1")
    assert [(api, one.text) for api, one in table.rows[:4]] == ROWS
    assert "verdict violated" in table.html


def test_another_policy_is_told_where_it_differs(found):
    same = replace(CELLS[1], where="arm64")
    other = replace(CELLS[1], where="arm64", word="VIOLATED", steps=7)

    for more, text in ((same, "HOLDS"), (other, "HOLDS; VIOLATED in 7 on arm64")):
        both = {"Q4.1": replace(found["Q4.1"], cells=(*CELLS, more))}
        (shown,) = [one for api, one in verdicts.table("Q4", both).rows if api.startswith("pause")]
        assert shown.text == text
        assert shown.kind == "verdict holds"


def test_a_stale_verdict_is_marked(found):
    old = {"Q4.1": replace(found["Q4.1"], is_stale=True)}

    assert "VIOLATED in 13 (stale)" in verdicts.table("Q4", old).html
    assert "**some are stale" in verdicts.source("Q4", old).text


def test_the_details_leave_out_what_does_not_apply(found):
    rows = verdicts.details("Q4", found).rows

    assert [row[1] for row in rows] == ["today", "pause"]
    assert rows[0][4:] == (9, 3, "the update returns in 14", "5 of 7", "")
    assert rows[1][-1] == "without pause"


def test_the_source_names_commit_date_and_command(found):
    assert verdicts.source("Q4", found).text == (
        "Every interleaving within the bound, recorded at `c0ffee` on 2026-01-02 with Python 3.11. "
        "Again: `memslots claims --check Q4`."
    )


def test_lists_of_a_sentence_name_the_apis(found):
    assert verdicts.holding("Q4.1", found) == "*pause all, as QEMU's inhibit*"
    assert verdicts.violating("Q4.1", found) == "*delete and create*"
    assert verdicts.violating("Q4.9", found) == "NOT RUN"


@pytest.mark.parametrize(
    "show", [verdicts.table, verdicts.details, verdicts.searched, verdicts.source]
)
def test_without_records_it_says_what_records_them(show):
    assert show("Q4", {}) == Said("Nothing is recorded; `memslots claims --record` records it.")


def test_the_answers_say_not_run_without_records():
    assert "NOT RUN" in q4.answer({}).text
    assert "NOT RUN" in q5.answer({}).text


def test_the_recorded_answers_name_who_is_sound():
    assert "*grow, truncate, split, merge*" in q4.answer().text
    sound = q5.answer().text.rpartition("only: ")[2]
    assert "*pause all, as QEMU's inhibit*" in sound
    assert "*KVM_MEM_DISABLED / USER_EXIT*" in sound
    assert "KVM Userfault" not in sound  # Claim Q5.16: it does not cover KVM's own stores.


def test_the_orders_are_counted_and_none_is_sound():
    rows = q5.orders().rows

    assert rows[-1][0] == 1260
    assert sum(count for count, _ in rows[:-1]) == 1260
    assert all("I" in str(names) for _, names in rows[:-1])


def test_without_a_record_the_orders_are_not_run():
    assert "NOT RUN" in q5.orders([]).text


def test_each_step_of_the_smallest_protocol_has_what_breaks_without_it():
    rows = {str(step): told for _, step, told in q5.justified("user-exit").rows}

    assert rows["await kicked"].startswith("I2 in ")
    assert rows["free old"] == "nothing: a leak, which is no property here"
    assert not any(told == "nothing, in this scene" for told in rows.values())


def test_what_breaks_without_a_step_is_shown_by_its_shortest_trace():
    rows = {number: told for number, _, told in q5.justified("user-exit").rows}
    found = {number: trace for number, _, trace in q5.justifications("user-exit")}

    assert set(found) == {number for number, told in rows.items() if told.startswith("I")}
    for number, trace in found.items():
        identity = trace.about.split()[0]
        assert f"{identity} in {len(trace.steps)}" in rows[number].split(", ")
        is_seen = any(
            one.split()[0] not in ("I1", "I7", "I8", "I12") for one in rows[number].split(", ")
        )
        assert is_seen == (identity not in ("I1", "I7", "I8", "I12"))


def test_each_bug_of_the_past_is_found_before_its_fix_and_not_after():
    rows = q5.history().rows

    assert len(rows) >= 5
    for _, _, breaks, before, after in rows:
        assert breaks
        assert before.text.startswith("VIOLATED in ")
        assert after.text == "HOLDS"


def test_a_claim_names_the_apis_of_each_word_and_where_if_not_everywhere(found):
    one = found["Q4.1"]
    also = replace(one.cells[1], where="arm64", word="VIOLATED")
    told = verdicts.by_claim("Q4", {"Q4.1": replace(one, cells=(*one.cells, also))})

    title = claims.load(verdicts.CLAIMS)["Q4.1"].title
    assert told.columns[2:] == ("HOLDS", "VIOLATED", "DOES NOT APPLY")
    assert told.rows == [
        ("Q4.1", title, "pause on x86", "today, pause on arm64", "move"),
    ]
    stale = verdicts.by_claim("Q4", {"Q4.1": replace(one, is_stale=True)})
    assert stale.rows[0][1] == f"{title} (stale)"
    assert isinstance(verdicts.by_claim("Q4", {}), Said)


def test_a_smaller_bound_is_told_with_its_reason_and_the_states_that_are_left_out(found):
    small = replace(found["Q4.1"].record, parameters={"litmus": "hva-flip+vhost"})
    chosen = {"Q4.1": replace(found["Q4.1"], record=small)}
    counted = {"states": 520_000, "whole": 78_100_000, "is_complete": True}

    def told(**change):
        result = {"scenes": {"hva-flip+vhost": counted | change}}
        made = Record("left-out", {"api": "today"}, result, MADE, "c0de")
        return verdicts.searched("Q4", chosen, [made]).text

    assert "Q4.1: the guest accesses one frame, and vhost all four (0.52 million, 78.1 m" in told()
    assert "(0.52 million, more than 78.1 million)" in told(is_complete=False)
    assert "In brackets the states of delete and create so" in told()
    assert "all four." in verdicts.searched("Q4", chosen, []).text
    assert "vhost" not in verdicts.searched("Q4", found).text


def test_how_many_orders_are_sound_is_counted():
    def made(**violated):
        return Record(q5.ORDERS, {}, {"violated": violated}, MADE, "c0de")

    assert q5.sound_orders([made(I2=5, I4b=3)]).text == "Of these 8 orders none is sound."
    some = Record(q5.ORDERS, {}, {"violated": {"": 2, "I2": 5}}, MADE, "c0de")
    assert q5.sound_orders([some]).text == "Of these 7 orders 2 are sound."
    assert "NOT RUN" in q5.sound_orders([]).text
