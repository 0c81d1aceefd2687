"""SPIN, given a model as Promela, counts and judges as the explorer does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from check.awkward_models import AWKWARD, end_waits, hidden, mixed_wait
from check.checkers import Counted, spin, spin_compiled, spin_counted
from check.random_models import random_model

from benchmarks import memslot_like
from memslotlib.check import Actor, Bounds, CheckError, Flag, Int, Model, always, examples, explore
from memslotlib.check.exports.promela import PROCESSES_MAX, to_promela
from memslotlib.check.model import Sort
from memslotlib.check.result import Result

MODELS: dict[str, Callable[[], Model]] = {
    "increment": lambda: examples.increment(3),
    "two_phase_commit": lambda: examples.two_phase_commit(3),
    "peterson": examples.peterson,
    "peterson, with a fault": lambda: examples.peterson(forgets_turn=True),
    "memslot_like": lambda: memslot_like.model(2, 2, 1),
    "memslot_like, with a fault": lambda: memslot_like.model(1, 3, 2, flush=False),
} | AWKWARD
#: Random models: so many that each kind of step and each verdict occurs among them.
SEEDS = 20

GOLDEN = """\
/* end waits (model DIGEST), exported by memslotlib.check.
 * Without reductions: 5 states, and 4 steps out of them.
 * SPIN counts the initial state as a transition too: 5.
 *
 *     spin -o2 -a FILE     (without -o2, variables that nobody reads are left out)
 *     gcc -O2 -DSAFETY -DNOREDUCE -o pan pan.c
 *     ./pan -m1000000 -E
 *
 * spin -DCHECK and pan -c0 look at what steps break and reach, and at deadlocks;
 * spin -DWATCH and pan -c0 -E at what is said of states. There a state that an
 * always or a sometimes is about steps to itself, so none is ever stuck.
 * "assertion violated !(1)" is about the first of these:
 *   1 no deadlock: no deadlock (an invalid end state)
 *   2 sometimes: answer (what SPIN finds is the example)
 */
#ifdef CHECK
#define BREAKS(property) assert(!property)
#else
#define BREAKS(property) skip
#endif
#define REACHES(property) BREAKS(property)

bit asked;
bit answered;

active proctype server()
{
end0:  /* MODEL: m.wait(m.asked, end=True) */
    if
    :: d_step { asked == 1 -> asked = 0; answered = 0 }; goto end0  /* answer */
    :: d_step { asked == 1 -> asked = 0; answered = 1 }; goto end0  /* answer */
    fi;
}

active proctype client()
{
at0:  /* MODEL: m.asked = True */
    if
    :: d_step { true -> asked = 1 }; goto at1  /* ask */
    fi;
at1:  /* MODEL: m.wait(m.answered) */
    if
    :: d_step { answered == 1 -> skip }; goto end2  /* done */
    fi;
end2:  /* returned */
    false;
}

#ifdef WATCH
active proctype property_2()  /* answer */
{
    do :: d_step { answered == 1 -> assert(!2) } od
}
#endif
"""


def explored(model: Model) -> Result:
    return explore(model, symmetry=False, engine="python", traces=False)


def watched(promela: str, folder: Path) -> Counted:
    """What SPIN counts with the watchers of predicates, which are at no end state."""
    pan = spin_compiled(promela, folder, defines=["WATCH"])
    return spin_counted(pan, "-m1000000", "-c0", "-E")


def hold_against(model: Model, folder: Path) -> None:
    """Compare states, transitions, and each property's events, of steps and of states."""
    result, promela = explored(model), to_promela(model)
    numbers = {one.name: n for n, one in enumerate(model.properties, 1)}
    hits = {name: one.hits for name, one in result.verdicts.items()}
    of_states = {one.name for one in model.predicates if one.sort is not Sort.CAN_ALWAYS_REACH}
    of_steps = {one.name for one in model.step_properties}
    stuck = result.counts.deadlocks.count if model.of_sort(Sort.NO_DEADLOCK) else 0

    found = spin(promela, folder / "steps", "CHECK")
    assert (found.states, found.transitions) == (result.states, result.generated)
    assert found.errors == sum(hits[name] for name in of_steps) + stuck
    broken = {f"assertion violated  !({numbers[n]})" for n in of_steps if hits[n]}
    assert found.broken == broken | ({"invalid end state"} if stuck else set())

    if of_states:
        found = watched(promela, folder / "states")
        events = sum(hits[name] for name in of_states)
        assert (found.states, found.transitions) == (result.states, result.generated + events)
        assert found.errors == events
        broken = {f"assertion violated  !({numbers[n]})" for n in of_states if hits[n]}
        assert found.broken == broken


@pytest.mark.needs_tool("spin")
@pytest.mark.needs_tool("gcc")
@pytest.mark.parametrize("name", [name for name in MODELS if name != "mixed_wait"])
def test_spin_counts_states_transitions_and_violations_as_the_explorer_does(
    name: str, tmp_path: Path
) -> None:
    hold_against(MODELS[name](), tmp_path)


@pytest.mark.needs_tool("spin")
@pytest.mark.needs_tool("gcc")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_spin_counts_random_models_as_the_explorer_does(seed: int, tmp_path: Path) -> None:
    hold_against(random_model(seed), tmp_path)


def test_the_random_models_have_every_verdict_among_them() -> None:
    results = [explored(random_model(seed)) for seed in range(SEEDS)]

    for name in ("no failure", "reached", "no deadlock", "fine", "owned"):
        assert {bool(result.verdicts[name].hits) for result in results} == {True, False}, name
    assert any(result.counts.stopped_paths for result in results)
    assert min(result.states for result in results) > 1


@pytest.mark.needs_tool("spin")
@pytest.mark.needs_tool("gcc")
def test_where_the_state_decides_if_a_wait_may_last_the_assertion_is_made_at_a_timeout(
    tmp_path: Path,
) -> None:
    result, promela = explored(mixed_wait()), to_promela(mixed_wait())

    plain = spin(promela, tmp_path / "plain")
    checked = spin(promela, tmp_path / "checked", "CHECK")

    assert (plain.states, plain.transitions) == (result.states, result.generated)
    assert plain.errors == 0
    assert checked.states == result.states
    assert (checked.errors, checked.broken) == (1, {"assertion violated  !(1)"})
    assert result.verdicts["no deadlock"].hits == 1


@pytest.mark.needs_tool("spin")
@pytest.mark.needs_tool("gcc")
def test_an_export_with_one_command_wrong_has_other_counts(tmp_path: Path) -> None:
    promela = to_promela(end_waits())
    wrong = promela.replace("d_step { true -> asked = 1 }", "d_step { true -> skip }")
    assert wrong != promela

    assert spin(promela, tmp_path / "right").states == explored(end_waits()).states == 5
    assert spin(wrong, tmp_path / "wrong").states == 2


def test_the_text_of_a_small_export() -> None:
    text = re.sub(r"\w+\.py:\d+", "MODEL", to_promela(end_waits()))

    assert re.sub(r"model [0-9a-f]{6}", "model DIGEST", text) == GOLDEN


def test_a_model_without_no_deadlock_says_that_any_wait_may_last() -> None:
    def wait(m: object) -> object:
        m.wait(m.x)
        yield
        m.wait(m.x == 2)
        m.x = 1

    text = to_promela(Model("waits", {"x": Int(3)}, [Actor(wait)]))

    assert re.findall(r"^(\w+):", text, re.M) == ["end0"]


def test_codes_are_explained_where_they_are_not_the_values() -> None:
    text = to_promela(AWKWARD["below_zero"]())
    assert "byte level = 3;  /* -3 to 2, as 0 to 5 */" in text
    assert "int wide;\n" in text
    assert "fixed" not in text.split("active")[0].split("*/", 1)[1]

    text = to_promela(AWKWARD["two_locks"]())
    assert (
        "bit owner[4];  /* 1: it is this member of cpu; all 0: None; row by row: 2 x 2 */" in text
    )

    text = to_promela(AWKWARD["names"]())
    assert "bit rule;  /* 0: Colour.RED, 1: Colour.GREEN */" in text
    assert "bit now_[6] = {0, 0, 0, 1, 1, 1};  /* 0: false, 1: true; row by row: 2 x 3 */" in text


def test_what_the_actor_remembers_and_reads_first_is_said_at_each_label() -> None:
    text = re.sub(r"\w+\.py:\d+", "MODEL", to_promela(AWKWARD["two_locks"]()))

    assert "at0:  /* MODEL: is_swapped = m.choose(2) */" in text
    assert "at4:  /* position=1 is_swapped=1; MODEL: m.wait(m.owner[" in text


def test_an_export_is_refused_when_a_bound_kept_steps_unknown() -> None:
    with pytest.raises(CheckError, match="hidden: not explored to the end.*would lack steps"):
        to_promela(hidden(), bounds=Bounds(depth=1))


def test_more_processes_than_spin_has_are_refused() -> None:
    def idle(m: object) -> object:
        yield

    actors = [Actor(idle, name=f"idle{n}") for n in range(PROCESSES_MAX)]
    nothing = always("nothing", lambda m: True)

    with pytest.raises(CheckError, match="many: 256 processes, and SPIN runs 255 at most"):
        to_promela(Model("many", {"x": Flag()}, actors, [nothing]))


def test_a_state_that_outgrows_spins_vector_says_how_to_compile() -> None:
    def idle(m: object) -> object:
        m.wait(m.x0, end=True)
        yield

    few = Model("few", {"x0": Flag()}, [Actor(idle)])
    many = Model("many", {f"x{n}": Flag() for n in range(300)}, [Actor(idle)])

    assert "VECTORSZ" not in to_promela(few)
    assert "gcc -O2 -DSAFETY -DNOREDUCE -DVECTORSZ=4096 -o pan pan.c" in to_promela(many)
