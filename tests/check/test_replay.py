from __future__ import annotations

import inspect
import sys

import pytest
from check.models import explored, model_of
from check.random_models import random_model
from check.writing import load, written
from check.writing import model_of as written_model
from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.check import (
    Actor,
    Array,
    CheckError,
    Flag,
    Model,
    Symmetric,
    always,
    explore,
    never,
    replay,
    sometimes,
)
from memslotlib.check.examples import increment, peterson
from memslotlib.check.program import OverflowedError, Program
from memslotlib.check.replay import moves_of, replay_string, trace_of
from memslotlib.check.shared import Blocked

MOVES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=30)


@given(MOVES)
def test_a_replay_string_says_the_moves_and_nothing_else(moves):
    model = increment()

    text = replay_string(model, moves)

    assert moves_of(text) == (model.digest, moves)
    assert " " not in text


@pytest.mark.parametrize(
    ("moves", "text"),
    [
        ([], ""),
        ([(0, 0)], "0"),
        ([(0, 0)] * 3 + [(4, 0), (0, 2)], "0*3,4,0.2"),
        ([(10, 1), (10, 1), (10, 0)], "10.1*2,10"),
    ],
)
def test_a_replay_string_is_short(moves, text):
    model = increment()

    assert replay_string(model, moves) == f"{model.digest}:{text}"


@pytest.mark.parametrize(
    "text", ["", "0,1", "1f3c9a", "1f3c9:0", "1f3c9g:0", "1f3c9a:0;1", "1f3c9a:a", "1f3c9a:0.1.2"]
)
def test_what_is_no_replay_string_is_refused(text):
    with pytest.raises(CheckError) as error:
        moves_of(text)
    assert str(error.value) == f"{text!r} is no replay string, such as 1f3c9a:0*3,4,0.2"


def test_a_string_that_a_mail_broke_around_is_taken():
    assert moves_of(" 1f3c9a:0*2,1\n") == ("1f3c9a", [(0, 0), (0, 0), (1, 0)])


@settings(max_examples=25)
@given(st.integers(0, 100_000), st.booleans())
def test_every_trace_is_replayed_from_its_string(seed, symmetry):
    model = random_model(seed)
    result = explore(model, engine="python", symmetry=symmetry)

    for trace in result.traces.values():
        assert trace.replay.startswith(random_model(seed).digest)
        again = replay(model, trace.replay)
        assert again.steps == trace.steps
        assert again.replay == trace.replay
        assert again.initial == trace.initial
        assert not again.is_shortest


@settings(max_examples=25)
@given(written(tame=True, actors=2), st.randoms(use_true_random=False))
def test_random_runs_of_random_actors_come_to_the_same_states_as_their_generators(text, rng):
    module = load(text)
    program = Program(written_model(module.actor0, module.actor1))
    moves, state = [], program.initial
    for _ in range(12):
        try:
            options = program.successors(state)
        except OverflowedError:
            break
        if not options:
            break
        chosen = rng.choice(options)
        moves.append((chosen.actor, chosen.choice))
        state = chosen.state

    trace = trace_of(program, moves, "", False)

    assert len(trace) == len(moves)


def test_a_trace_that_breaks_something_is_about_that():
    model = increment()
    trace = replay(model, explore(model, engine="python").trace("no lost update").replay)

    assert trace.about == "no lost update"
    assert trace.steps[-1].failed == (("no lost update", "2 threads are done, the counter is 1"),)
    assert replay(model, f"{model.digest}:0").about == ""


def test_a_trace_of_another_model_is_refused_with_both_digests_unless_asked_for():
    faulty, right = peterson(forgets_turn=True), peterson()
    text = explore(faulty, engine="python").trace().replay

    with pytest.raises(CheckError) as error:
        replay(right, text)
    assert str(error.value) == (
        f"{text[:20]!r} was made from a model with digest {faulty.digest}; that of peterson is "
        f"{right.digest} (any_model=True runs it all the same)"
    )
    with pytest.raises(CheckError, match=r"^step \d: thread\d has no outcome 0 in state wants="):
        replay(right, text, any_model=True)
    assert len(replay(right, f"{faulty.digest}:0*2", any_model=True)) == 2


def test_a_step_that_is_not_possible_names_those_that_are():
    model = increment()

    with pytest.raises(CheckError) as error:
        replay(model, f"{model.digest}:0*2,0")
    assert str(error.value) == (
        "step 3: add_one0 has no outcome 0 in state counter=1 done=1 seen=[0 0]; "
        "possible are 1.0 (add_one1)"
    )


FRAMES = []


def note():
    """Note whether the caller is a generator: the lowered functions are none."""
    FRAMES.append(bool(sys._getframe(1).f_code.co_flags & inspect.CO_GENERATOR))


def noted(m):
    note()
    m.x = 1
    yield "one"
    note()
    m.x = 2
    yield "two"


def test_a_replay_runs_the_untouched_generators():
    model = model_of(noted)
    FRAMES.clear()
    trace = replay(model, f"{model.digest}:0*2")

    assert FRAMES.count(True) == len(trace) == 2


def is_generator():
    return bool(sys._getframe(1).f_code.co_flags & inspect.CO_GENERATOR)


def writes_otherwise(m):
    m.x = 2 if is_generator() else 1
    yield "one"


def chooses_otherwise(m):
    if is_generator():
        m.x = m.choose(2)
    else:
        m.x = 1
    yield "one"


def chooses_less(m):
    if not is_generator():
        m.choose(2)
    m.x = 1
    yield "one"


def waits_otherwise(m):
    m.wait(not is_generator())
    m.x = 1
    yield "one"


@pytest.mark.parametrize(
    ("actor", "what"),
    [
        (writes_otherwise, "its generator and the explorer part at 'one': [2, 0] is not [1, 0]"),
        (chooses_otherwise, "the actor makes a choice that its trace does not know"),
        (chooses_less, "its generator and the explorer part at 'one'"),
        (waits_otherwise, "its generator waits where the explorer steps"),
    ],
)
def test_a_trace_that_python_itself_does_not_follow_is_no_trace(actor, what):
    with pytest.raises(CheckError) as error:
        explored(actor, properties=[always("zero", lambda m: m.x == 0)])
    assert what in str(error.value)


def test_blocked_is_no_exception_that_a_model_catches():
    assert not issubclass(Blocked, Exception)


def test_choosing_among_some_members_is_replayed_for_every_member():
    cpu = Symmetric("cpu", 3)

    def poke(m, me):
        other = m.choose([one for one in cpu if one != me])
        m.poked[other] = True
        yield

    model = Model(
        "poke",
        {"poked": Array(Flag(), cpu)},
        [Actor(poke, per=cpu)],
        [never("none"), sometimes("all", lambda m: all(m.poked))],
    )
    for symmetry in (True, False):
        trace = explore(model, engine="python", symmetry=symmetry).trace("all")
        assert replay(model, trace.replay).steps == trace.steps
    for actor in range(3):
        steps = [replay(model, f"{model.digest}:{actor}{c}").steps[0] for c in ("", ".1")]
        assert {n for step in steps for n in step.changes} == {
            f"poked[{n}]" for n in range(3) if n != actor
        }
