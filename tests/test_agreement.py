"""Host and model held against each other; and that a model that excludes what was seen is told."""

from dataclasses import replace

import pytest

from memslotlib.agreement import (
    PAIRS,
    UNSHOWN,
    Compared,
    UnsoundModelError,
    assert_sound,
    compare,
    unshown,
)
from memslotlib.claims import load
from memslotlib.errors import MemslotError
from memslotlib.evidence import DATA
from memslotlib.hosts import hosts
from memslotlib.litmus_model import scene
from memslotlib.provenance import ROOT
from memslotlib.verdict import HOST_WORDS, Verdict, Word

SEEN = Verdict.seen(3, 5, host="demo", opportunities=9)
NOT_SEEN = Verdict.not_seen(5, opportunities=9, host="demo")
HOLDS = Verdict.holds(bound="all", states=7)
VIOLATED = Verdict.violated(("a step",), bound="all", states=7)


def test_what_was_recorded_is_possible_in_the_model():
    found = compare()

    assert_sound(found)
    assert len(found) == len(PAIRS)
    assert {one.host.word for one in found} == {Word.SEEN, Word.NOT_SEEN}


def test_every_pair_names_a_scene_that_asks_its_property():
    for one in compare({}):
        assert scene(one.pair.scene)
        assert one.model.word in (Word.HOLDS, Word.VIOLATED), one.pair.title
        assert one.host.word is Word.NOT_RUN


@pytest.mark.parametrize(
    ("host", "model", "said"),
    [
        (SEEN, VIOLATED, "seen, and allowed"),
        (SEEN, HOLDS, "MODEL UNSOUND"),
        (NOT_SEEN, HOLDS, "not allowed, not seen"),
        (NOT_SEEN, VIOLATED, "allowed, not seen: no reason is known"),
    ],
)
def test_the_two_words_come_to(host, model, said):
    assert Compared(PAIRS[0], host, model).said == said


def test_what_the_model_allows_and_no_host_showed_has_its_reason():
    pair = replace(PAIRS[0], unseen="the host has no SMM")

    assert Compared(pair, NOT_SEEN, VIOLATED).said == "allowed, not seen: the host has no SMM"


def test_a_model_that_excludes_what_was_seen_is_an_error_that_names_both():
    with pytest.raises(UnsoundModelError, match="SEEN 3 of 5 on demo, but the model says HOLDS"):
        assert_sound([Compared(PAIRS[0], SEEN, HOLDS)])


def test_titles_tell_pairs_apart():
    titles = [pair.title for pair in PAIRS]

    assert len(set(titles)) == len(titles)


def test_what_a_claim_of_the_model_expects_of_a_host_was_recorded_on_one():
    told = {}
    for one in compare():
        told.setdefault((one.pair.scene, one.pair.api, one.pair.keeps), set()).add(one.host.word)
    asked = [
        (claim, one)
        for claim in load(ROOT / "book" / "claims").values()
        for one in claim.expect
        if claim.is_modelled and one.host in HOST_WORDS
    ]

    assert asked
    for claim, one in asked:
        found = told.get((claim.litmus, one.api, claim.keeps))
        assert found == {one.host}, f"{claim.id} {one.api}: {found}"


CLAIMS = load(ROOT / "book" / "claims")


def expecting(claim, **words):
    """Return a claim that expects these (model, host) words of today and of user-exit."""
    rows = [replace(claim.expected(api), model=m, host=h) for api, (m, h) in words.items()]
    return replace(claim, expect=tuple(rows))


def test_everything_that_the_model_allows_and_no_host_showed_has_its_reason():
    found = list(unshown(CLAIMS.values()))

    assert {one.reason for one in found} == {reason for reason, _ in UNSHOWN}
    told = {(one.claim, one.reason) for one in found}
    assert ("Q4.8", "no host with records has SMM") in told
    assert ("Q5.10", "no experiment has vhost at work meanwhile") in told
    assert {one.apis for one in found if one.claim == "Q5.13"} == {("today", "pause")}


@pytest.mark.parametrize(
    ("model", "host", "apis"),
    [
        (Word.VIOLATED, Word.NOT_RUN, [("today",)]),
        (Word.VIOLATED, Word.NOT_SEEN, [("today",)]),
        (Word.VIOLATED, Word.SEEN, []),
        (Word.HOLDS, Word.NOT_RUN, []),
    ],
)
def test_what_is_listed_is_allowed_real_and_not_seen(model, host, apis):
    claim = expecting(CLAIMS["Q4.8"], today=(model, host), attributes=(Word.VIOLATED, host))

    assert [one.apis for one in unshown([claim])] == apis


def test_what_has_no_reason_is_an_error_that_names_claim_and_api():
    claim = expecting(CLAIMS["Q4.1"], today=(Word.VIOLATED, Word.NOT_RUN))

    with pytest.raises(MemslotError, match=r"Q4\.1: nothing says why no host showed it of today"):
        list(unshown([claim]))


def test_what_is_said_of_all_hosts_with_records_is_true_of_them():
    for host in hosts(DATA):
        facts = host.records[-1].provenance
        assert not host.capabilities["X86_SMM"], "no host with records has SMM"
        assert facts.machine == "x86_64", "no host with records is arm64"
        logs = facts.host["parameters"].get("kvm_intel.pml", "N")
        assert logs == "N", "the hosts with records log by write protection, without PML"
