"""Rumur, given a model as Murphi, counts and judges as the explorer does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from check.awkward_models import AWKWARD, end_waits
from check.checkers import rumur
from check.random_models import random_model

from benchmarks import memslot_like
from memslotlib.check import Bounds, CheckError, Model, examples, explore
from memslotlib.check.exports.murphi import to_murphi

MODELS: dict[str, Callable[[], Model]] = {
    "increment": lambda: examples.increment(2),
    "two_phase_commit": lambda: examples.two_phase_commit(3),
    "peterson, with a fault": lambda: examples.peterson(forgets_turn=True),
    "memslot_like": lambda: memslot_like.model(1, 2, 2, flush=False),
} | AWKWARD

GOLDEN = """\
-- end waits (model DIGEST), exported by memslotlib.check.
-- Without reductions: 5 states, and 4 steps out of them.
--
--   rumur --deadlock-detection off --symmetry-reduction off --output x.c FILE
--   gcc -O2 -mcx16 -o x x.c -lpthread && ./x
-- Not exported: no deadlock: no deadlock

const CHECK: 0;  -- 1: look at the properties

var
  asked: 0..1;
  answered: 0..1;
  at_server: 0..0;
  at_client: 0..2;

startstate
begin
  asked := 0;
  answered := 0;
  at_server := 0;
  at_client := 0;
end;

-- server, 0: MODEL: m.wait(m.asked, end=True)
rule "server answer" at_server = 0 & asked = 1 ==>
begin
  asked := 0;
  answered := 0;
end;
rule "server answer" at_server = 0 & asked = 1 ==>
begin
  asked := 0;
  answered := 1;
end;

-- client, 0: MODEL: m.asked = True
rule "client ask" at_client = 0 ==>
begin
  asked := 1;
  at_client := 1;
end;
-- client, 1: MODEL: m.wait(m.answered)
rule "client done" at_client = 1 & answered = 1 ==>
begin
  at_client := 2;
end;
-- client, 2: returned

cover "answer" CHECK = 0 |
  (answered = 1);
"""


def hold_against(model: Model, folder: Path) -> None:
    result = explore(model, symmetry=False, engine="python", traces=False)

    found = rumur(to_murphi(model), folder)

    assert (found.states, found.transitions + 1) == (result.states, result.generated)
    assert found.errors == 0


@pytest.mark.needs_tool("rumur")
@pytest.mark.needs_tool("gcc")
@pytest.mark.parametrize("name", MODELS)
def test_rumur_counts_states_and_rules_as_the_explorer_does(name: str, tmp_path: Path) -> None:
    hold_against(MODELS[name](), tmp_path)


@pytest.mark.needs_tool("rumur")
@pytest.mark.needs_tool("gcc")
@pytest.mark.parametrize("seed", range(12))
def test_rumur_counts_random_models_as_the_explorer_does(seed: int, tmp_path: Path) -> None:
    hold_against(random_model(100 + seed), tmp_path)


@pytest.mark.needs_tool("rumur")
@pytest.mark.needs_tool("gcc")
@pytest.mark.parametrize(
    ("model", "broken"),
    [
        (examples.increment(2), {"no lost update"}),
        (examples.peterson(), set()),
        (examples.peterson(forgets_turn=True), {"mutual exclusion"}),
        (AWKWARD["below_zero"](), {"above -3"}),
        (AWKWARD["only_stops"](), {"no crash"}),
        (random_model(101), {"owned"}),
        (random_model(103), {"owned", "reached"}),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_with_check_rumur_finds_the_same_properties_broken(
    model: Model, broken: set[str], tmp_path: Path
) -> None:
    result = explore(model, symmetry=False, engine="python", traces=False)
    sorts = {"never": True, "always": True, "sometimes": False}
    judged = {n: one for n, one in result.verdicts.items() if one.about.sort.value in sorts}
    bad = {n for n, one in judged.items() if sorts[one.about.sort.value] == bool(one.hits)}

    found = rumur(to_murphi(model), tmp_path, constants={"CHECK": 1})

    assert found.broken == broken == bad
    assert (found.errors > 0) == bool(broken)


def test_the_text_of_a_small_export() -> None:
    text = re.sub(r"\w+\.py:\d+", "MODEL", to_murphi(end_waits()))

    assert re.sub(r"model [0-9a-f]{6}", "model DIGEST", text) == GOLDEN


def test_arrays_keep_their_dimensions_and_members_are_one_more() -> None:
    text = to_murphi(AWKWARD["two_locks"]())
    assert "owner: array [0..1] of array [0..1] of 0..1;  -- 1: it is this member of cpu" in text
    assert "  owner[1][0] := 1;" in text

    assert "now: array [0..1] of array [0..2] of 0..1;" in to_murphi(AWKWARD["names"]())


def test_what_cannot_be_said_in_murphi_is_named() -> None:
    assert [line for line in to_murphi(examples.peterson()).splitlines() if "Not exp" in line] == [
        "-- Not exported: no deadlock: no deadlock",
        "-- Not exported: can always reach: thread 0 inside",
    ]


def test_an_export_is_refused_when_a_bound_kept_steps_unknown() -> None:
    with pytest.raises(CheckError, match="peterson: not explored to the end.*would lack steps"):
        to_murphi(examples.peterson(), bounds=Bounds(states=3))
