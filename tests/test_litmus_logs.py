"""Sequences of calls: what the log keeps, by hand; and that a VM that answers otherwise is told."""

import pytest

from memslotlib import litmus_logs
from memslotlib.abi import SimVm
from memslotlib.claims import load
from memslotlib.conformance.hostpolicy import this_host
from memslotlib.host import KvmVm
from memslotlib.interface import Context
from memslotlib.litmus_logs import (
    AFTERWARDS,
    SEQUENCES,
    WRITTEN,
    Keeps,
    Tracking,
    UnknownSequenceError,
    compared,
    play,
    sequence,
    simulated,
    tracking_of,
)
from memslotlib.provenance import ROOT
from memslotlib.verdict import Word

CPL3 = Context.LONG64_CPL3
#: Of these nothing is asked: nothing stays, or the log is read before as well.
CLAIMED = set(SEQUENCES) - {"delete"}


def played(test, name, make_vm=SimVm):
    with make_vm() as vm:
        return play(vm, Tracking(test), sequence(name), CPL3)


def test_a_truncation_loses_what_stays_and_nobody_tells_of_the_tail():
    found = played("log-bitmap", "truncate")

    assert sorted(found.lost) == [0, 5, 63, 64, 68]
    assert sorted(found.gone) == [100, 129]
    assert sorted(found.kept) == [10, 40]
    assert not found.extra
    assert found.answers == ("1: 00040000000100000000000000000000",)


def test_a_move_keeps_every_bit():
    found = played("log-bitmap", "move")

    assert found.kept == set(WRITTEN) | set(AFTERWARDS)
    assert not found.lost | found.gone | found.extra


def test_an_entry_read_late_names_the_page_that_has_its_offset_now():
    found = played("log-ring-late", "cut-front")

    # Five pages on: 5 for 0, 10 for 5, 68 for 63, ...
    assert {69, 73} == found.extra
    assert {63, 64, 100, 129} == found.lost


def test_a_clear_with_an_old_log_clears_the_bit_of_another_page():
    found = played("log-clear-late", "punch-high")

    # The fetched offsets 0 and 5 are pages 70 and 75 by now, of which 70 was written.
    assert found.lost == {70}


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_what_is_harvested_between_names_everything_and_initially_set_loses_nothing(name):
    between = played("log-ring-between", name)
    assert not between.lost | between.gone | between.extra

    assert not played("log-initially-set", name).lost


def test_a_call_that_is_refused_is_no_answer():
    found = played("log-bitmap", "grow-in-place")

    assert found.refused == "KVM_SET_USER_MEMORY_REGION: EINVAL"
    verdict = simulated(SimVm, "log-size", Keeps.FITS, "grow-in-place", CPL3)
    assert (verdict.word, verdict.reason) == (Word.DOES_NOT_APPLY, found.refused)


def test_a_violation_names_the_pages():
    verdict = simulated(SimVm, "log-bitmap", Keeps.KEPT, "split", CPL3)

    assert verdict.trace == ("kept: not so of [0, 5, 63, 64, 68, 100, 129]",)


def test_a_number_whose_slot_grows_has_a_longer_log():
    assert played("log-size", "merge").longer == {1}


def test_each_sequence_covers_what_it_says():
    for one in SEQUENCES.values():
        frames = [region.gfn for region in one.before]
        assert len(set(frames)) == len(frames)
        assert {region.flags for region in (*one.before, *one.after)} == {1}
    cuts = {region.gfn - litmus_logs.GFN for one in SEQUENCES.values() for region in one.after}
    assert {cut % 64 == 0 for cut in cuts} == {True, False}


def test_every_claim_about_a_log_names_a_test_a_property_and_sequences_that_there_are():
    chosen = [one for one in load(ROOT / "book" / "claims").values() if "log-" in one.litmus]
    asked = [one for one in chosen if one.question == "Q6" and not one.is_modelled]

    assert len(asked) == 6
    for claim in asked:
        assert tracking_of(claim.litmus)
        assert Keeps(claim.keeps)
        assert {one.api for one in claim.expect} <= CLAIMED


def test_unknown_names_list_what_there_is():
    with pytest.raises(UnknownSequenceError, match="no litmus test 'log'; there are log-bitmap"):
        tracking_of("log")


class Forgetful(SimVm):
    """A VM whose MOVE would begin a new log."""

    def get_dirty_log(self, slot):
        return bytes(len(super().get_dirty_log(slot)))


def test_a_run_that_broke_the_property_is_seen_and_what_no_run_asks_is_left_out():
    row = {"refused": "", "runs": 3, "kept": [0], "lost": [], "gone": [], "extra": [9]}
    rows = [
        {**row, "test": "log-bitmap", "sequence": "split"},
        {**row, "test": "log-bitmap", "sequence": "split", "lost": [5]},
        {**row, "test": "log-bitmap", "sequence": "grow-in-place", "refused": "KVM: EINVAL"},
        {**row, "test": "log-size", "sequence": "delete"},
    ]
    found = litmus_logs.answered({"rows": rows, "written": []}, "h")
    assert {check: one.text for check, one in found.items()} == {
        "log-bitmap split: kept": "SEEN 3 of 6",
        "log-bitmap split: exact": "SEEN 6 of 6",
        "log-bitmap grow-in-place: kept": "DOES NOT APPLY",
        "log-bitmap grow-in-place: exact": "DOES NOT APPLY",
    }


def test_another_answer_is_a_difference():
    rows = list(compared(SimVm, Forgetful, [CPL3]))

    assert len(rows) == len(SEQUENCES) * len(Tracking)
    differ = {(row.test.value, row.sequence.name) for row in rows if row.differs}
    assert ("log-bitmap", "move") in differ
    assert ("log-ring-late", "move") not in differ
    (row,) = [row for row in rows if row.name == "log-bitmap move long64-cpl3"]
    assert row.told["lost"] == sorted(set(WRITTEN) | set(AFTERWARDS))


@pytest.mark.needs_kvm
def test_a_kernel_answers_every_sequence_as_the_simulator_does():
    contexts = (CPL3, Context.LONG64)
    rows = list(compared(this_host().simulator, KvmVm, contexts))

    assert [row.name for row in rows if row.differs] == []
    assert len(rows) == len(SEQUENCES) * len(Tracking) * len(contexts)
