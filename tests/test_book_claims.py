"""The claims of the book hold what they say: known tests, and the model's word as expected."""

import pytest

from memslotlib import (
    experiments,
    litmus,
    litmus_copying,
    litmus_increments,
    litmus_logs,
    litmus_standins,
    recheck,
)
from memslotlib.claims import load
from memslotlib.costs.plan import MEASUREMENTS
from memslotlib.evidence import DATA, newest, read
from memslotlib.interface import Access, Context
from memslotlib.litmus_model import ALL_SCENES, scene
from memslotlib.protocol.apis import APIS
from memslotlib.provenance import ROOT
from memslotlib.verdict import HOST_WORDS, Word

CLAIMS = load(ROOT / "book" / "claims")
CELLS = [
    (claim, one.api, Context(context))
    for claim in CLAIMS.values()
    for one in claim.expect
    for context in claim.contexts
    if claim.litmus != litmus_standins.NAME
]
#: What only a host is asked.
ASKED = [claim for claim in CLAIMS.values() if claim.litmus == litmus_standins.NAME]
#: What claims about the traces of real VMMs name.
TRACES = "vmm-traces"
MODELLED = [claim for claim in CLAIMS.values() if claim.is_modelled]


def test_there_are_claims_and_each_has_a_box_in_its_chapter():
    assert CLAIMS
    for claim in CLAIMS.values():
        chapter = (ROOT / "book" / f"{claim.question.lower()}.md").read_text(encoding="utf-8")
        assert f":name: {claim.anchor}\n" in chapter, claim.id


@pytest.mark.parametrize(
    ("claim", "api", "context"), CELLS, ids=lambda part: getattr(part, "id", str(part))
)
def test_the_model_says_the_word_that_was_expected(claim, api, context):
    assert recheck.simulated(claim, api, context).word is claim.expected(api).model


def in_one_process(claim):
    """A claim, whose searches are shared by those of the same scene in the same process."""
    return pytest.param(claim, id=claim.id, marks=pytest.mark.xdist_group(claim.litmus))


@pytest.mark.parametrize("claim", [in_one_process(claim) for claim in MODELLED])
def test_every_interleaving_says_what_was_expected_and_the_mutants_flip_it(claim):
    cells = list(recheck.check(claim))

    assert cells
    assert [cell.line for cell in cells if not cell.is_as_expected] == []


def test_every_chapter_with_the_model_says_that_memory_is_sequentially_consistent():
    chapters = {claim.question.lower() for claim in MODELLED}

    assert chapters >= {"q4", "q5", "q6"}
    for name in chapters:
        text = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
        assert "sequentially consistent" in " ".join(text.split()), name
    assert all("sequentially consistent" in " ".join(one.limits) for one in MODELLED)


def test_every_claim_of_the_model_has_a_word_for_every_api():
    for claim in MODELLED:
        assert {one.api for one in claim.expect} == set(APIS), claim.id


def test_what_is_recorded_of_the_model_is_what_the_claims_expect():
    last = {made.experiment: made for made in read(DATA / recheck.FILE)}
    for claim in MODELLED:
        cells = recheck.cells(last[f"claim-{claim.id}"])
        assert [cell.line for cell in cells if not cell.is_as_expected] == []


def test_every_claim_names_a_test_that_somebody_answers():
    known = {*litmus.TESTS, *litmus_logs.TESTS, *ALL_SCENES, *MEASUREMENTS, TRACES}
    known |= {litmus_copying.NAME, litmus_increments.NAME, litmus_standins.NAME}
    assert {claim.litmus for claim in CLAIMS.values()} <= known


def asked(claim):
    """What a claim about stand-ins expects a host to show: (API, context, word)."""
    for one in claim.expect:
        for context in claim.contexts if one.host is not Word.DOES_NOT_APPLY else ():
            yield one.api, context, one.host


def together(claim, rows):
    """The word of all checks that a claim is about, by one row of checks for each access."""
    checks = [litmus_standins.Check(name) for name in claim.keeps.split(", ")]
    words = {row[check].word for row in rows for check in checks if check in row}
    assert words
    assert words <= HOST_WORDS
    return Word.SEEN if Word.SEEN in words else Word.NOT_SEEN


@pytest.mark.parametrize("claim", ASKED, ids=lambda claim: claim.id)
def test_a_claim_about_stand_ins_expects_what_its_experiments_do(claim):
    for api, context, word in asked(claim):
        path = "emulator" if context == Context.LONG64.value else "page tables"
        rows = [litmus_standins.expected(api, access, path) for access in Access]
        assert together(claim, rows) is word, (api, context)
    apis = {one.api for one in claim.expect}
    assert apis | {litmus_standins.CONTROL} == set(litmus_standins.APIS)


@pytest.mark.parametrize("claim", ASKED, ids=lambda claim: claim.id)
def test_what_is_recorded_of_a_stand_in_is_what_its_claim_expects(claim):
    made = read(DATA / "q2.jsonl")
    for api, context, word in asked(claim):
        rows = []
        for access in Access:
            where = {"api": api, "context": context, "access": access.value}
            record = newest(made, litmus_standins.NAME, **where)
            rows.append(experiments.recall_standin(record))
        assert together(claim, rows) is word, (api, context)


def test_a_claim_of_the_model_states_the_bound_that_its_scene_has():
    for claim in MODELLED:
        assert claim.bound == recheck.bound(scene(claim.litmus)), claim.id
