from pathlib import Path

import pytest

from memslotlib.claims import ClaimError, load, load_text
from memslotlib.verdict import Word

GOOD = """
[[claim]]
id = "Q5.2"
title = "No stale write"
statement = '''After the update returns,
no write reaches the old hva.'''
litmus = "hva-flip+write"
property = "served"
contexts = ["long64-cpl3"]
bound = "2 vCPUs x 3 accesses"
limits = ["one host"]
sources = ["YzSxhHzgNKHL3Cvm@google.com"]
history = ["2026-11-23 first stated"]
[claim.expect.delete-create]
model = "HOLDS"
host = "NOT SEEN"
reason = "SRCU"
source = "kvm_set_memslot()"
mutant = "no-srcu-wait"
"""


def test_a_claim_reads_back_with_its_expectation():
    (claim,) = load_text(GOOD, "q5.toml")
    assert (claim.id, claim.anchor, claim.question) == ("Q5.2", "q5.2", "Q5")
    assert claim.statement == "After the update returns, no write reaches the old hva."
    assert (claim.litmus, claim.keeps, claim.contexts) == (
        "hva-flip+write",
        "served",
        ("long64-cpl3",),
    )
    assert claim.path == "any"
    one = claim.expected("delete-create")
    assert (one.model, one.host, one.mutant) == (Word.HOLDS, Word.NOT_SEEN, "no-srcu-wait")


MODELLED = GOOD.replace('contexts = ["long64-cpl3"]', 'policies = ["x86", "arm64"]')
ON_ARM64 = """[claim.expect."delete-create on arm64"]
model = "VIOLATED"
host = "NOT RUN"
reason = "no retry"
source = "kvm_handle_guest_abort()"
"""


def test_a_policy_may_have_a_row_of_its_own():
    (claim,) = load_text(MODELLED + ON_ARM64, "q5.toml")

    assert [(one.model, where) for one, where in claim.cells] == [
        (Word.HOLDS, "x86"),
        (Word.VIOLATED, "arm64"),
    ]
    assert claim.expected("delete-create", "arm64").reason == "no retry"
    assert claim.expected("delete-create", "x86") is claim.expected("delete-create")
    assert claim.expected("delete-create").reason == "SRCU"
    assert [one.name for one in claim.expect] == ["delete-create", "delete-create on arm64"]


def test_without_a_row_of_its_own_a_policy_has_the_others():
    (claim,) = load_text(MODELLED, "q5.toml")

    assert [where for _, where in claim.cells] == ["x86", "arm64"]
    assert len({one for one, _ in claim.cells}) == 1


def test_a_row_for_a_policy_that_the_claim_does_not_have_is_refused():
    with pytest.raises(ClaimError, match=r"expect.delete-create on mips: the claim has no policy"):
        load_text(MODELLED + ON_ARM64.replace("arm64", "mips"), "q5.toml")


def test_asking_for_an_api_that_the_claim_is_silent_on_names_those_it_knows():
    (claim,) = load_text(GOOD, "q5.toml")
    with pytest.raises(ClaimError, match="Q5.2: says nothing of API 'move', only of delete-create"):
        claim.expected("move")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('id = "Q5.2"', 'id = "Q9.2"', r"q5.toml: Q9.2: an id looks like Q5.2"),
        ('id = "Q5.2"', 'id = "Q5.0"', r"an id looks like"),
        ('title = "No stale write"', "", "Q5.2: lacks title"),
        (
            'litmus = "hva-',
            'path = "dma"\nlitmus = "hva-',
            "path 'dma' is not one of any, page tables",
        ),
        ('limits = ["one host"]', "limits = []", "lacks limits"),
        ('reason = "SRCU"', "", "expect.delete-create: lacks reason"),
        ('model = "HOLDS"', 'model = "SEEN"', "model: 'SEEN' is not one of"),
        ('host = "NOT SEEN"', 'host = "HOLDS"', "host: 'HOLDS' is not one of"),
        ('mutant = "no-srcu-wait"', "", "a HOLDS names the mutant"),
        ('id = "Q5.2"', 'id = "Q5.2', "q5.toml: "),
    ],
)
def test_a_broken_rule_is_named_with_file_and_id(before, after, says):
    assert before in GOOD
    with pytest.raises(ClaimError, match=says):
        load_text(GOOD.replace(before, after), "q5.toml")


def test_an_id_is_used_once_and_ids_sort_by_number(tmp_path: Path):
    for name, identity in [("b.toml", "Q5.10"), ("a.toml", "Q5.9"), ("c.toml", "Q4.1")]:
        (tmp_path / name).write_text(GOOD.replace("Q5.2", identity))
    assert list(load(tmp_path)) == ["Q4.1", "Q5.9", "Q5.10"]
    (tmp_path / "d.toml").write_text(GOOD.replace("Q5.2", "Q5.9"))
    with pytest.raises(ClaimError, match="d.toml: Q5.9: this id is taken"):
        load(tmp_path)


def test_a_row_may_speak_for_several_apis():
    text = GOOD.replace("[claim.expect.delete-create]", '[claim.expect."today, pause"]')
    (claim,) = load_text(text, "q5.toml")

    assert [one.api for one in claim.expect] == ["today", "pause"]
    assert claim.expected("today").reason == claim.expected("pause").reason


def test_a_claim_is_of_a_guest_or_of_the_model_or_of_a_measurement():
    modelled = GOOD.replace('contexts = ["long64-cpl3"]', 'policies = ["x86"]')
    (claim,) = load_text(modelled, "q5.toml")
    assert claim.is_modelled
    assert not claim.is_measured
    assert claim.policies == ("x86",)

    (claim,) = load_text(GOOD.replace('contexts = ["long64-cpl3"]', 'trial = "a round"'), "q5.toml")
    assert claim.is_measured
    assert not claim.is_modelled
    assert claim.trial == "a round"

    measured = GOOD.replace("bound =", 'trial = "a round"\nbound =')
    both = GOOD.replace("bound =", 'policies = ["x86"]\nbound =')
    neither = GOOD.replace('contexts = ["long64-cpl3"]\n', "")
    for text in (both, measured, neither):
        with pytest.raises(ClaimError, match=r"q5.toml: Q5.2: has one of contexts, .* or trial"):
            load_text(text, "q5.toml")
