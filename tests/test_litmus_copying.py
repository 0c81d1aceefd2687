"""Copying by the log, asked of the simulator and of this host, and how trials are judged."""

import dataclasses

import pytest

from memslotlib import litmus_copying
from memslotlib.abi import SimVm
from memslotlib.claims import load
from memslotlib.copying import How
from memslotlib.host import KvmVm
from memslotlib.host.migration import Trial
from memslotlib.interface import Context
from memslotlib.litmus_copying import judged, simulated, stored
from memslotlib.provenance import ROOT
from memslotlib.verdict import Word

CLAIM = load(ROOT / "book" / "claims")["Q6.9"]
QUIET = Trial(
    rounds=9,
    busy=8,
    inside=5,
    mmio=1,
    faults=0,
    sent=100,
    lost=0,
    lost_first=0,
    unexplained=0,
    duration_ns=1,
)
LOST = dataclasses.replace(QUIET, lost=2, lost_first=1)
IDLE = dataclasses.replace(QUIET, busy=2)


def test_the_claim_has_a_word_for_each_order_of_calls():
    assert {one.api for one in CLAIM.expect} == {how.value for how in How}
    assert (CLAIM.litmus, CLAIM.keeps) == (litmus_copying.NAME, litmus_copying.KEEPS)


def test_a_lost_store_tells_where_it_was_made():
    verdict = simulated(SimVm, How.TWO_SLOTS)

    assert verdict.word is Word.VIOLATED
    assert verdict.trace == (
        "store to page 3 at fetched of slot 1: LOST",
        "store to page 3 at fetch of slot 2: LOST",
        "store to page 3 at fetched of slot 2: LOST",
        "store to page 100 at fetched of slot 2: LOST",
        "store to page 100 at deleted of slot 1: LOST",
    )


def test_a_guest_that_is_stopped_stores_at_no_boundary_inside():
    places = {one.at for one in stored(SimVm, How.PAUSE)}

    assert places == {"before the round", "at resume"}
    assert {one.at for one in stored(SimVm, How.BLOCK)} == {"before the round", "at unblock"}


def test_a_store_into_the_hole_is_neither_lost_nor_copied():
    (one,) = [one for one in stored(SimVm, How.GET_DELETE) if one.at.startswith("at deleted")][:1]

    assert one.line == "store to page 3 at deleted of slot 1: mmio"
    assert not one.is_lost


@pytest.mark.needs_kvm
@pytest.mark.parametrize("how", How)
def test_a_kernel_answers_at_every_boundary_as_the_simulator_does(how):
    assert list(stored(KvmVm, how)) == list(stored(SimVm, how))


def test_a_trial_with_a_lost_page_is_a_hit_whatever_else():
    verdict, samples = judged([LOST, QUIET, IDLE, dataclasses.replace(IDLE, lost=1)], "h")

    assert verdict.text == "SEEN 2 of 3"
    assert samples["lost"] == [2, 0, 1]
    assert samples["busy"] == [8, 8, 2]


def test_nothing_lost_in_ten_trials_is_not_seen_in_the_rounds_between_which_it_stored():
    verdict, _ = judged([QUIET] * 10, "h")

    assert (verdict.text, verdict.opportunities) == ("NOT SEEN in 10", 80)


def test_trials_with_too_few_rounds_between_stores_say_nothing():
    verdict, _ = judged([QUIET] * 9 + [IDLE, IDLE], "h")

    assert verdict.word is Word.NOT_RUN
    assert verdict.reason == "h: only 9 trials, of 10 to say NOT SEEN"
    assert judged([IDLE], "h")[1]["rounds"] == []


@pytest.mark.needs_kvm
@pytest.mark.parametrize("how", How)
def test_this_host_shows_what_is_expected(how):
    verdict, samples = litmus_copying.raced(how, Context.LONG64_CPL3, 12, 2048, "here")

    assert verdict.word is CLAIM.expected(how.value).host
    assert sum(samples["unexplained"]) == 0
