"""The claims of the book hold what they say: known tests, and the model's word as expected."""

import pytest

from memslotlib import litmus
from memslotlib.abi import SimVm
from memslotlib.claims import load
from memslotlib.interface import Context
from memslotlib.litmus import BoundaryRunner, Property
from memslotlib.provenance import ROOT

CLAIMS = load(ROOT / "book" / "claims")
CELLS = [
    (claim, one.api, Context(context))
    for claim in CLAIMS.values()
    for one in claim.expect
    for context in claim.contexts
]


def test_there_are_claims_and_each_has_a_box_in_its_chapter():
    assert CLAIMS
    for claim in CLAIMS.values():
        chapter = (ROOT / "book" / f"{claim.question.lower()}.md").read_text(encoding="utf-8")
        assert f":name: {claim.anchor}\n" in chapter, claim.id


@pytest.mark.parametrize(
    ("claim", "api", "context"), CELLS, ids=lambda part: getattr(part, "id", str(part))
)
def test_the_model_says_the_word_that_was_expected(claim, api, context):
    run = BoundaryRunner(SimVm).run(litmus.get(claim.litmus), Property(claim.keeps), api, context)

    assert run.verdict.word is claim.expected(api).model
