"""Locked increments: every interleaving of the model, and how a host's runs are judged."""

import pytest

from memslotlib import litmus_increments
from memslotlib.claims import load
from memslotlib.errors import MemslotError
from memslotlib.host.increments import How, Run
from memslotlib.litmus_increments import APIS, MUTANTS, judged, model, modelled
from memslotlib.provenance import ROOT
from memslotlib.verdict import Word

CLAIM = load(ROOT / "book" / "claims")["Q6.10"]
RUN = Run(made=40, lost=0, updates=20, served=0, duration_ns=1, needs_updates=True)
LOST = Run(made=40, lost=3, updates=20, served=9, duration_ns=1, needs_updates=True)
IDLE = Run(made=40, lost=0, updates=4, served=0, duration_ns=1, needs_updates=True)


def test_model_host_and_claim_know_the_same_apis_and_mutants():
    assert set(APIS) == {how.value for how in How} == {one.api for one in CLAIM.expect}
    assert (CLAIM.litmus, CLAIM.keeps) == (litmus_increments.NAME, litmus_increments.KEEPS)
    assert {one.api: one.mutant for one in CLAIM.expect if one.mutant} == MUTANTS


@pytest.mark.parametrize("api", APIS)
def test_every_interleaving_says_what_is_expected_and_the_mutant_turns_it(api):
    verdict = modelled(api)

    assert verdict.word is CLAIM.expected(api).model
    if api in MUTANTS:
        assert modelled(api, MUTANTS[api]).word is Word.VIOLATED


def test_the_shortest_loss_is_a_read_and_a_write_around_another_increment():
    trace = " ".join(modelled("today").trace)

    assert "DELETE" in trace
    assert "read: served by userspace" in trace


def test_an_api_that_there_is_not_is_refused():
    with pytest.raises(MemslotError, match="no API 'batch'; there are none, today"):
        model("batch")


def test_a_run_with_one_missing_is_a_hit():
    verdict, samples = judged([LOST, RUN], "h")

    assert (verdict.text, verdict.opportunities) == ("SEEN 1 of 2", 80)
    assert samples["lost"] == [3, 0]


def test_one_too_many_is_a_hit_as_well():
    more = Run(made=40, lost=-1, updates=20, served=9, duration_ns=1, needs_updates=True)

    assert judged([more], "h")[0].word is Word.SEEN


def test_runs_with_too_few_updates_say_nothing():
    assert judged([RUN, RUN, IDLE], "h")[0].reason == "h: only 2 trials, of 3 to say NOT SEEN"
    still = Run(made=40, lost=0, updates=0, served=0, duration_ns=1, needs_updates=False)
    assert judged([still] * 3, "h")[0].text == "NOT SEEN in 3"


@pytest.mark.needs_kvm
@pytest.mark.parametrize("api", APIS)
def test_this_host_shows_what_is_expected(api):
    verdict, samples = litmus_increments.counted(api, 6, 30_000_000, "here")

    assert verdict.word is CLAIM.expected(api).host
    assert (sum(samples["served"]) > 0) is (api == "today")
