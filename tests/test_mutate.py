"""The judgement over mutants, on made-up outcomes; what mutmut leaves alone, on a made-up file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import mutate
import pytest
from mutant_passes import Mutant, Outcome, function_name, mutant
from mutate import Tally, accepted, complaints, shown, tally

MINUS = Mutant("a.py", "f", "return a + b", "return a - b")
NONE = Mutant("a.py", "", "LIMIT = 4", "LIMIT = None")
LIST = """
[[survivor]]
file = "a.py"
function = "f"
removed = "return a + b"
added = "return a - b"
reason = "b is always 0"
"""


def outcomes(killed: int, *others: Outcome) -> list[Outcome]:
    """So many killed mutants, and the others."""
    return [Outcome(NONE, "killed")] * killed + list(others)


def test_whatever_is_not_noticed_has_survived():
    ends = ["killed", "killed", "timeout", "survived", "no tests", "suspicious", "not checked"]

    result = tally(Outcome(MINUS, end) for end in ends)

    assert result == Tally(killed=2, survived=4, timeout=1, total=7)
    assert result.score == 3 / 7


def test_nothing_mutated_is_no_score():
    assert tally([]).score == 0


def test_a_list_is_read_with_its_reasons():
    assert accepted(LIST) == {MINUS: "b is always 0"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LIST.replace("b is always 0", " "), "no reason"),
        (LIST.replace("reason", "#"), "no reason"),
        (LIST + LIST, "listed twice"),
    ],
)
def test_a_list_without_reasons_is_refused(text: str, why: str):
    with pytest.raises(ValueError) as error:
        accepted(text)

    assert str(error.value) == f"a.py, f\n  - return a + b\n  + return a - b: {why}"


@pytest.mark.parametrize("text", ["", LIST.replace("added", "addde")])
def test_a_list_of_another_shape_is_refused(text: str):
    with pytest.raises((KeyError, TypeError)):
        accepted(text)


def test_the_projects_own_list_is_one():
    assert all(
        len(reason) > 10 for reason in accepted(mutate.SURVIVORS.read_text("utf-8")).values()
    )


def test_listed_survivors_may_stand():
    passes = {"one": outcomes(19, Outcome(MINUS, "survived")), "two": outcomes(1)}

    assert complaints(passes, {MINUS: "b is always 0"}) == []


def test_a_low_score_may_not_whatever_is_listed():
    passes = {"one": outcomes(18, Outcome(MINUS, "survived"))}

    assert complaints(passes, {MINUS: "b"}) == ["the score is 94.7%, below 95%"]


@pytest.mark.parametrize("status", ["survived", "no tests", "not checked", "segfault"])
def test_a_survivor_that_is_not_listed_may_not(status: str):
    passes = {"one": outcomes(99, Outcome(MINUS, status))}

    assert complaints(passes, {}) == [f"{status}, and not listed: {shown(MINUS)}"]


def test_a_listed_survivor_that_is_none_may_not():
    assert complaints({"one": outcomes(9)}, {MINUS: "b"}) == [
        f"listed, and no survivor: {shown(MINUS)}"
    ]


def test_a_pass_that_changed_nothing_may_not():
    assert complaints({"one": outcomes(9), "two": []}, {}) == ["two: nothing was changed"]
    assert complaints({"one": []}, {}) == [
        "one: nothing was changed",
        "the score is 0.0%, below 95%",
    ]


def test_a_mutant_is_its_file_function_and_lines():
    diff = [
        "--- a.py",
        "+++ a.py",
        "@@ -1,3 +1,3 @@",
        " def f(a, b):",
        "-    x",
        "-    y",
        "+    z",
    ]

    assert mutant(Path("a.py"), "f", diff) == Mutant("a.py", "f", "x\ny", "z")


def test_a_mutant_outside_of_functions_says_so():
    assert shown(NONE) == "a.py, outside functions\n  - LIMIT = 4\n  + LIMIT = None"


def test_a_function_has_its_own_name_again():
    assert function_name("memslotlib.abi.dirty.x__logged__mutmut_12") == "_logged"
    assert function_name("memslotlib.abi.vm.xǁSimVmǁ__init____mutmut_1") == "SimVm.__init__"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """The command on made-up passes, and what it recorded."""
    recorded: list[Tally] = []
    monkeypatch.setattr(mutate, "record", recorded.append)
    monkeypatch.setattr(mutate, "accepted", lambda text: {MINUS: "b is always 0"})
    monkeypatch.setattr(mutate, "outside_functions", lambda: outcomes(19))

    def started(*arguments: str, survivor: Mutant) -> tuple[int, list[Tally]]:
        one_pass = outcomes(20, Outcome(survivor, "survived"))
        monkeypatch.setattr(mutate, "in_functions", lambda: one_pass)
        return mutate.main(list(arguments)), recorded

    return started


def test_what_may_stand_is_recorded_when_asked(run, capsys):
    assert run(survivor=MINUS) == (0, [])
    assert run("--record", survivor=MINUS) == (0, [Tally(39, 1, 0, 40)])
    assert "accepted: b is always 0" in capsys.readouterr().out


def test_what_may_not_stand_is_never_recorded(run, capsys):
    assert run("--record", survivor=NONE) == (1, [])
    printed = capsys.readouterr().out
    assert f"survived, and not listed: {shown(NONE)}" in printed
    assert "97.5% of 40 mutants were noticed" in printed


SAMPLE = '''
"""Words."""
__slots__ = ("a",)
LIMIT = 4

RULES = (Rule("id", ("CALL",), "words", lambda r: r.size > LIMIT),)


def f(a: int = 1) -> int:
    return a + 1


class C:
    field: int = 7

    @property
    def double(self) -> int:
        return self.field * 2

    @classmethod
    def known(cls) -> int:
        return 3
'''


@pytest.mark.skipif(
    importlib.util.find_spec("mutmut") is None, reason="mutmut comes with `make mutate`"
)
def test_what_mutmut_leaves_alone_is_changed_and_nothing_else():
    from mutant_passes import changed

    before = SAMPLE.splitlines()
    places = [
        (old, new)
        for code in changed(Path("a.py"), SAMPLE)
        for old, new in zip(before, code.splitlines(), strict=True)
        if old != new
    ]

    assert ("LIMIT = 4", "LIMIT = 5") in places
    assert ("    field: int = 7", "    field: int = 8") in places
    assert ("        return self.field * 2", "        return self.field / 2") in places
    rule = before[5]
    assert (rule, rule.replace(">", ">=")) in places
    assert (rule, rule.replace("r.size > LIMIT", "None")) in places
    assert {old for old, _ in places} == {before[n] for n in (3, 5, 13, 17)}
    assert all('Rule("id", ("CALL",), "words", lambda' in new for _, new in places if "Rule" in new)
