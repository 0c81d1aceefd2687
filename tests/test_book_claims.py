"""The claims of the book hold what they say: known tests, and the model's word as expected."""

import pytest

from memslotlib import recheck
from memslotlib.claims import load
from memslotlib.evidence import DATA, read
from memslotlib.interface import Context
from memslotlib.litmus_model import scene
from memslotlib.protocol.apis import APIS
from memslotlib.provenance import ROOT

CLAIMS = load(ROOT / "book" / "claims")
CELLS = [
    (claim, one.api, Context(context))
    for claim in CLAIMS.values()
    for one in claim.expect
    for context in claim.contexts
]
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


@pytest.mark.parametrize("claim", MODELLED, ids=lambda claim: claim.id)
def test_every_interleaving_says_what_was_expected_and_the_mutants_flip_it(claim):
    cells = list(recheck.check(claim))

    assert cells
    assert [cell.line for cell in cells if not cell.is_as_expected] == []


def test_every_claim_of_the_model_has_a_word_for_every_api():
    for claim in MODELLED:
        assert {one.api for one in claim.expect} == set(APIS), claim.id


def test_what_is_recorded_of_the_model_is_what_the_claims_expect():
    newest = {made.experiment: made for made in read(DATA / recheck.FILE)}
    for claim in MODELLED:
        cells = recheck.cells(newest[f"claim-{claim.id}"])
        assert [cell.line for cell in cells if not cell.is_as_expected] == []


def test_a_claim_of_the_model_states_the_bound_that_its_scene_has():
    for claim in MODELLED:
        assert claim.bound == recheck.bound(scene(claim.litmus)), claim.id
