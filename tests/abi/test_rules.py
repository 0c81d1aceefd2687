from pathlib import Path

import pytest

from memslotlib.abi import RULES
from memslotlib.abi.rule import Rule, asked, first_broken, refusal
from memslotlib.abi.rules import rule

#: The published table, word for word: what changes here changes what the book tells its readers.
TABLE = Path(__file__).with_name("rules.txt")


def told(each):
    """One rule as the table shows it."""
    lines = [
        f"{each.id}: {each.errno_name}",
        f"  {', '.join(each.calls)}: {each.when}",
        f"  {each.condition}",
        f"  {each.source}",
    ]
    return "\n".join(lines + [f"  source only: {each.source_only}"] * bool(each.source_only)) + "\n"


def test_the_table_is_the_kernels_order_with_its_errnos():
    assert "\n".join(told(each) for each in RULES) == TABLE.read_text("utf-8")


def test_ids_are_unique():
    assert len({each.id for each in RULES}) == len(RULES)


@pytest.mark.parametrize("each", RULES, ids=lambda each: each.id)
def test_a_rule_says_in_words_what_a_table_needs(each):
    assert each.calls
    assert all(call.startswith("KVM_") for call in each.calls)
    for words in (each.when, each.condition, each.source):
        assert words
    assert isinstance(each.source_only, str)
    assert each.condition[-1] != "."
    assert ".c " in each.source


def test_a_rule_is_found_by_its_id():
    assert rule("overlap") is next(each for each in RULES if each.id == "overlap")


def a_rule(**fields):
    default = {"id": "x", "calls": ("A", "B"), "when": "now", "errno": 22, "condition": "c"}
    return Rule(**(default | {"source": "s", "broken": lambda r, s, old: True} | fields))


@pytest.mark.parametrize("fields", [{"broken": None}, {"source_only": "why"}])
def test_a_rule_has_either_a_test_or_a_reason_to_have_none(fields):
    with pytest.raises(AssertionError) as error:
        a_rule(**fields)

    assert str(error.value).startswith("x")


def test_only_rules_of_the_call_and_the_point_with_a_test_are_asked():
    mine = a_rule(id="mine")
    table = (
        a_rule(calls=("B",)),
        a_rule(when="later"),
        a_rule(broken=None, source_only="why"),
        mine,
    )

    assert asked(table, "A", "now") == ((mine.broken, mine),)


def test_the_first_broken_rule_decides():
    whole = a_rule(id="whole", broken=lambda r, s, old: False)
    first, second = a_rule(id="first"), a_rule(id="second")

    assert first_broken(asked((whole, first, second), "A", "now"), None, None, None) is first
    assert first_broken(asked((whole,), "A", "now"), None, None, None) is None


def test_a_test_gets_the_request_the_state_and_the_slot():
    seen = []
    watching = a_rule(broken=lambda *given: seen.append(given))

    first_broken(asked((watching,), "A", "now"), "request", "state", "slot")

    assert seen == [("request", "state", "slot")]


def test_a_refusal_names_call_errno_fields_and_rule():
    error = refusal("KVM_X", a_rule(errno=17), {"slot": 2})

    assert str(error) == "[Errno 17] KVM_X: EEXIST (File exists) slot=0x2; rule x"
    assert (error.ioctl, error.errno, error.fields, error.rule) == ("KVM_X", 17, {"slot": 2}, "x")
