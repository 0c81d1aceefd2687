"""Every engine and every reduction against one another, on random models and on awkward ones."""

from __future__ import annotations

import pytest
from check.awkward_models import AWKWARD
from check.random_models import random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import memslot_like
from memslotlib.check import (
    Actor,
    Bounds,
    Flag,
    Int,
    Model,
    ModelError,
    always,
    can_always_reach,
    explore,
    never,
    sample,
    sometimes,
)
from memslotlib.check.examples import increment, peterson, two_phase_commit
from memslotlib.check.explore import ENGINES
from memslotlib.check.model import PROPERTIES_MAX
from memslotlib.verdict import Word

SEEDS = st.integers(0, 100_000)
NAMED = {
    **AWKWARD,
    "increment": increment,
    "two_phase_commit": two_phase_commit,
    "peterson": peterson,
    "peterson, faulty": lambda: peterson(forgets_turn=True),
    "memslot_like": lambda: memslot_like.model(accesses=1),
}


def _samplers():
    return ["python", *(["native"] if "native" in ENGINES else [])]


def said(result):
    """Everything that has to be the same whatever engine it comes from."""
    traces = {name: (str(one), one.replay, one.is_shortest) for name, one in result.traces.items()}
    hits = {name: (one.hits, one.after_steps) for name, one in result.verdicts.items()}
    # Which exchanged states are looked at under symmetry is each engine's own.
    ran = None if result.symmetry else (result.footprints, list(result.uncovered))
    return result.text, result.levels, hits, traces, ran


def judged(result):
    """What no reduction may change: the word for each property, and after how many steps."""
    return {name: (one.verdict.word, one.after_steps) for name, one in result.verdicts.items()}


def assert_engines_agree(model, **options):
    results = [explore(model, engine=name, **options) for name in ENGINES if _can(name, options)]
    for result in results[1:]:
        assert said(result) == said(results[0]), result.engine
    return results[0]


def _can(name, options):
    return not (name == "numpy" and options.get("partial_order"))


def test_the_engines_that_can_be_here_are_here():
    assert "python" in ENGINES


@settings(max_examples=40)
@given(SEEDS)
def test_engines_agree_on_random_models(seed):
    model = random_model(seed)

    whole = assert_engines_agree(model, symmetry=False)

    assert judged(assert_engines_agree(model, symmetry=True)) == judged(whole)


@settings(max_examples=30)
@given(SEEDS, st.booleans())
def test_partial_order_changes_no_verdict_and_no_shortest_trace(seed, symmetry):
    model = random_model(seed)

    whole = explore(model, symmetry=symmetry)
    reduced = assert_engines_agree(model, symmetry=symmetry, partial_order=True)

    assert judged(reduced) == judged(whole)
    assert reduced.states <= whole.states
    for name, trace in whole.traces.items():
        assert reduced.traces[name].replay == trace.replay
        assert reduced.traces[name].is_shortest


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("symmetry", [True, False])
def test_engines_agree_on_named_models(name, symmetry):
    assert_engines_agree(NAMED[name](), symmetry=symmetry)


@pytest.mark.parametrize("name", [name for name in NAMED if "peterson" not in name])
def test_partial_order_agrees_on_named_models(name):
    model = NAMED[name]()

    assert judged(assert_engines_agree(model, partial_order=True)) == judged(explore(model))


def independent(actors=4, steps=3):
    """Actors that have nothing to do with one another: any one order of them tells everything."""

    def count(m, me):
        for _ in range(steps):
            m.x[me] += 1
            yield

    from memslotlib.check import Array

    return Model(
        "independent",
        {"x": Array(Int(steps + 1), actors)},
        [Actor(count, n, name=f"count{n}") for n in range(actors)],
    )


def test_partial_order_explores_one_order_of_independent_steps():
    assert explore(independent()).states == 4**4
    assert explore(independent(), partial_order=True).states == 4 * 3 + 1


def test_partial_order_does_not_put_an_actor_off_for_ever():
    """The ignoring problem: a loop that is independent of everything must not hide the rest."""

    def spin(m):
        while True:
            m.a = not m.a
            yield

    def fail(m):
        m.b = 1
        yield
        m.fail("never")

        yield

    from memslotlib.check import never

    model = Model(
        "ignored", {"a": Flag(), "b": Int(2)}, [Actor(spin), Actor(fail)], [never("never")]
    )

    for name in ENGINES:
        if name != "numpy":
            result = explore(model, engine=name, partial_order=True)
            assert result.verdicts["never"].verdict.word is Word.VIOLATED
            assert len(result.trace()) == 2


def lossy(engine):
    """A token that can be lost: from some states the goal is out of reach."""

    def hold(m):
        while True:
            m.wait(m.token, end=True)
            m.token = bool(m.choose(2))
            m.goal = m.token
            yield

    model = Model(
        "lossy",
        {"token": Flag(init=True), "goal": Flag()},
        [Actor(hold)],
        [can_always_reach("goal", lambda m: m.goal)],
    )
    return explore(model, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_goal_that_gets_out_of_reach_is_found_with_the_shortest_way_there(engine):
    result = lossy(engine)

    assert result.verdicts["goal"].verdict.word is Word.VIOLATED
    assert result.verdicts["goal"].hits == 1
    assert [step.changes for step in result.trace("goal").steps] == [{"token": (True, False)}]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bound", [Bounds(states=100), Bounds(depth=3), Bounds(memory_bytes=1)])
def test_a_bound_leaves_everything_undetermined_that_was_not_met(engine, bound):
    result = explore(memslot_like.model(accesses=1), engine=engine, bounds=bound)

    assert not result.is_complete
    assert result.counts.expanded < result.states
    assert {one.verdict.word for one in result.verdicts.values()} == {Word.UNDETERMINED}
    assert "reached" in result.bound


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bound_on_depth_is_the_number_of_steps_that_were_made(engine):
    result = explore(memslot_like.model(accesses=1), engine=engine, bounds=Bounds(depth=3))

    assert result.depth == 4
    assert result.levels == explore(memslot_like.model(accesses=1)).levels[:4]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_time_at_all_explores_next_to_nothing(engine):
    result = explore(memslot_like.model(accesses=3), engine=engine, bounds=Bounds(seconds=0.0))

    assert not result.is_complete
    assert "bound on seconds reached" in result.bound


@pytest.mark.parametrize("engine", ENGINES)
def test_more_local_states_than_bits_start_the_search_again_and_change_no_count(engine):
    """Each value of a local variable is a local state: far more of them than the first guess."""

    def count(m):
        for n in range(700):
            m.x = n % 3
            yield

    result = explore(Model("long", {"x": Int(3)}, [Actor(count)]), engine=engine)

    assert (result.states, result.generated, result.depth) == (701, 701, 701)


def crowded(count):
    """A model with as many properties of each sort as can be, each met at a step of its own."""

    def counting(m):
        while m.n < 2 * PROPERTIES_MAX:
            m.n += 1
            if m.n <= PROPERTIES_MAX:
                m.fail(f"never {m.n}")
            yield

    numbers = range(1, count + 1)
    properties = [
        *(never(f"never {n}") for n in numbers),
        *(always(f"always {n}", lambda m, n=n: m.n != n) for n in numbers),
        *(sometimes(f"sometimes {n}", lambda m, n=n: m.n == n) for n in numbers),
        *(can_always_reach(f"reach {n}", lambda m, n=n: m.n <= n) for n in numbers),
    ]
    return Model("crowded", {"n": Int(100)}, [Actor(counting)], properties)


@pytest.mark.parametrize("engine", ENGINES)
def test_as_many_properties_of_each_sort_as_can_be_are_judged_each_for_itself(engine):
    numbers = range(1, PROPERTIES_MAX + 1)

    result = explore(crowded(PROPERTIES_MAX), engine=engine)

    found = {name: (one.hits, one.after_steps) for name, one in result.verdicts.items()}
    assert found == {
        **{f"never {n}": (1, n) for n in numbers},
        **{f"always {n}": (1, n) for n in numbers},
        **{f"sometimes {n}": (1, n) for n in numbers},
        # The greater numbers, the last of them twice: the loop's end is a step that reads it.
        **{f"reach {n}": (2 * PROPERTIES_MAX - n + 1, n + 1) for n in numbers},
    }
    with pytest.raises(ModelError, match="over 20 properties: always"):
        crowded(PROPERTIES_MAX + 1)


@pytest.mark.parametrize("engine", _samplers())
def test_a_sample_judges_as_many_properties_of_each_sort_as_can_be(engine):
    numbers = range(1, PROPERTIES_MAX + 1)

    result = sample(crowded(PROPERTIES_MAX), runs=3, engine=engine)

    found = {name: (one.hits, one.after_steps) for name, one in result.verdicts.items()}
    assert found == {
        **{f"{sort} {n}": (3, n) for sort in ("never", "always", "sometimes") for n in numbers},
        **{f"reach {n}": (0, -1) for n in numbers},
    }


def test_samples_are_the_same_from_both_samplers():
    model = memslot_like.model(accesses=1)

    samples = [sample(model, runs=50, steps_max=60, seed=3, engine=one) for one in _samplers()]

    assert {said_of_sample(one) for one in samples} == {said_of_sample(samples[0])}


def said_of_sample(result):
    return result.text, result.levels, tuple(one.replay for one in result.traces.values())


@pytest.mark.parametrize(("top", "words"), [(3, 1), (4, 2)])
def test_a_state_may_fill_one_word_as_long_as_it_is_never_all_ones(top, words):
    sizes = {"a": 1 << 14, "b": 1 << 14, "c": 1 << 14, "d": 1 << 12, "e": top}

    def fill(m):
        for n in range(255):
            if n == 254:
                m.a, m.b, m.c, m.d = m.choose((0, sizes["a"] - 1)), 16383, 16383, 4095
                m.e = m.choose(top)
            yield

    model = Model("full", {name: Int(size) for name, size in sizes.items()}, [Actor(fill)])
    found = {name: explore(model, engine=name) for name in ENGINES}

    assert {one.states for one in found.values()} == {255 + 2 * top}
    assert {one.words for one in found.values()} == {words}
