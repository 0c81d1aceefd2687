"""A claim box says what the registry says, and nothing else."""

from __future__ import annotations

import pytest
from docutils import nodes
from docutils.utils import new_document

from memslotlib.booktools import claimbox
from memslotlib.booktools.paths import BookError
from memslotlib.claims import load_text

CLAIM = """
[[claim]]
id = "Q9.1"
title = "A fetch can miss"
statement = "A vCPU that fetches from `slot` gets an error."
litmus = "delete-create+fetch"
property = "served"
contexts = ["real16"]
bound = "one vCPU"
limits = ["Says nothing of loads.", "Nor of stores."]
sources = ["message-id abc@example.org", "Linux, kvm_main.c"]
history = ["2026-11-23 first stated"]

[claim.expect.today]
model = "VIOLATED"
host = "NOT SEEN"
reason = "There is a window."
source = "kvm_main.c"
"""


@pytest.fixture
def claims() -> dict[str, claimbox.Claim]:
    text = CLAIM.replace("Q9.1", "Q7.1")
    return {claim.id: claim for claim in load_text(text, "q7.toml")}


def _box(title: str = "Q7.1", words: str = "...", name: str = "q7.1") -> nodes.admonition:
    box = nodes.admonition("", classes=["claim"], names=[name])
    box += [nodes.title("", title), nodes.paragraph("", words)]
    return box


def test_dots_are_replaced_by_the_statement(claims: dict[str, claimbox.Claim]) -> None:
    box = _box()

    claim = claimbox.fill(box, claims, "q7")

    assert claim.id == "Q7.1"
    assert box[0].astext() == "Claim Q7.1 A fetch can miss"
    assert box[1].astext() == claim.statement


@pytest.mark.parametrize(
    "words",
    [
        "A vCPU that fetches from slot gets an error.",
        "A vCPU that\nfetches from `slot`  gets an error.",
    ],
)
def test_words_of_the_page_may_differ_in_markup_alone(
    claims: dict[str, claimbox.Claim], words: str
) -> None:
    box = _box(words=words)

    claimbox.fill(box, claims, "q7")

    assert box[1].astext() == words


def test_expectations_limits_and_sources_are_added(claims: dict[str, claimbox.Claim]) -> None:
    box = _box()

    claimbox.fill(box, claims, "q7")

    told = box.astext()
    for part in (
        "today: expected of the model VIOLATED, of a kernel NOT SEEN",
        "There is a window.",
        "one vCPU",
        "2026-11-23 first stated",
    ):
        assert part in told
    assert "Says nothing of loads. Nor of stores." in told
    assert told.endswith("History\n\n2026-11-23 first stated")
    links = [link["refuri"] for link in box.findall(nodes.reference)]
    assert links == ["https://lore.kernel.org/r/abc@example.org"]


@pytest.mark.parametrize(
    ("box", "told"),
    [
        (_box(title="Q7.2"), "q7: claim box 'Q7.2': no such id in book/claims"),
        (_box(name="other"), "q7: claim box Q7.1 needs the line :name: q7.1"),
        (_box(words="A vCPU that loads."), "q7: claim box Q7.1 and book/claims differ"),
    ],
)
def test_box_that_disagrees_with_the_registry_is_refused(
    claims: dict[str, claimbox.Claim], box: nodes.admonition, told: str
) -> None:
    with pytest.raises(BookError) as caught:
        claimbox.fill(box, claims, "q7")
    assert str(caught.value).startswith(told)


def test_only_admonitions_of_the_class_are_claim_boxes() -> None:
    document = new_document("q7")
    document += [_box(), nodes.admonition("", nodes.title("", "x"), nodes.paragraph("", "y"))]

    assert len(list(claimbox.boxes(document))) == 1


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("SEEN 300 of 300", ["verdict", "seen"]),
        ("NOT SEEN in 50", ["verdict", "not-seen"]),
        ("DOES NOT APPLY", ["verdict", "does-not-apply"]),
        ("HOLDS", ["verdict", "holds"]),
        ("SEENABLE", []),
        ("was SEEN", []),
    ],
)
def test_table_cells_that_begin_with_a_verdict_are_marked(text: str, classes: list[str]) -> None:
    document = new_document("q7")
    cell = nodes.paragraph("", text)
    row = nodes.row("", nodes.entry("", cell))
    document += nodes.table("", nodes.tgroup("", nodes.tbody("", row), cols=1))

    assert claimbox.mark_verdicts(document) == bool(classes)
    assert cell["classes"] == classes


def test_apis_of_which_the_same_is_said_share_a_line() -> None:
    grouped = CLAIM.replace("Q9.1", "Q7.1").replace("expect.today", 'expect."today, move"')
    other = """
[claim.expect.flags]
model = "DOES NOT APPLY"
host = "DOES NOT APPLY"
reason = "There is no window."
source = "kvm_main.c"
"""
    (claim,) = load_text(grouped + other, "q7.toml")
    box = _box()

    claimbox.fill(box, {claim.id: claim}, "q7")

    terms = [term.astext() for term in box.findall(nodes.term)]
    assert terms == [
        "today, move: expected of the model VIOLATED, of a kernel NOT SEEN",
        "flags: expected of the model DOES NOT APPLY, of a kernel DOES NOT APPLY",
    ]


def test_a_claim_of_the_model_names_property_and_policies() -> None:
    text = CLAIM.replace("Q9.1", "Q7.1").replace('contexts = ["real16"]', 'policies = ["arm64"]')
    (claim,) = load_text(text, "q7.toml")
    box = _box()

    claimbox.fill(box, {claim.id: claim}, "q7")

    assert "served, on arm64" in box.astext()
    assert "Guest" not in box.astext()


def test_a_claim_of_a_measurement_names_what_is_looked_for_and_what_a_trial_is() -> None:
    text = CLAIM.replace("Q9.1", "Q7.1").replace('contexts = ["real16"]', 'trial = "one round"')
    (claim,) = load_text(text, "q7.toml")
    box = _box()

    claimbox.fill(box, {claim.id: claim}, "q7")

    facts = [field.astext() for field in box.findall(nodes.field)]
    assert "Experiment\n\ndelete-create+fetch" in facts
    assert "Looked for\n\nserved" in facts
    assert "A trial\n\none round" in facts
