"""What is the native engine's own: its two ways to walk, its table, its memory, its limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from check.awkward_models import AWKWARD
from interrupted import ctrl_c

from benchmarks import memslot_like
from memslotlib.check import Actor, Array, Bounds, CheckError, Int, Model, ModelError, Symmetric
from memslotlib.check.explore import ENGINES, explore
from memslotlib.check.program import Program
from memslotlib.check.space import Target
from memslotlib.verdict import Word

pytestmark = pytest.mark.skipif("native" not in ENGINES, reason="the walker is not built")


def engine(model, symmetry=True, fast=None):
    from memslotlib.check.engine_native import NativeEngine

    class Chosen(NativeEngine):
        def _begin(self):
            super()._begin()
            if fast is not None:
                self._walker.is_fast = fast

    return Chosen(Program(model), symmetry)


def counted(made):
    made.run(Bounds())
    found = made.counts.distinct, made.counts.generated, tuple(made.counts.levels)
    made.close()
    return found


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("symmetry", [True, False])
def test_both_ways_to_walk_count_alike(name, symmetry):
    from memslotlib.check._walker import lib

    if not lib.walker_can_be_fast():
        pytest.skip("this processor does not gather bits in one fast instruction")
    model = AWKWARD[name]()

    assert counted(engine(model, symmetry, True)) == counted(engine(model, symmetry, False))


def test_the_slow_way_counts_a_million_transitions_alike():
    model = memslot_like.model(accesses=2)

    distinct, generated, levels = counted(engine(model, symmetry=False, fast=False))

    assert (distinct, generated, len(levels)) == (472_220, 1_504_817, 48)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 8])
def test_every_number_of_words_counts_alike(width):
    """The same counters, spread over ever more bits by variables that nobody touches."""
    cpu = Symmetric("cpu", 2)

    def count(m, me):
        for _ in range(5):
            m.x[me] += 1
            m.y = (m.y + 3) % 4
            yield

    bits = 64 * width - 60
    ballast = {f"ballast{n}": Array(Int(2), bits // 4) for n in range(4)}
    model = Model(
        "wide", {"x": Array(Int(6), cpu), "y": Int(4), **ballast}, [Actor(count, per=cpu)]
    )

    results = [explore(model, symmetry=symmetry) for symmetry in (True, False)]

    assert [one.words for one in results] == [width, width]
    assert [one.states for one in results] == [21, 36]
    assert [explore(model, engine="python", symmetry=s).states for s in (True, False)] == [21, 36]


def test_a_state_that_is_too_wide_is_refused():
    def idle(m):
        yield

    with pytest.raises(CheckError, match="a state takes 6.. bits, over 8 words of 64: declare"):
        explore(Model("too wide", {"x": Array(Int(2), 600)}, [Actor(idle)]))


@pytest.mark.parametrize("flags", [11, 12, 13, 16])
def test_a_step_that_reads_more_bits_than_are_remembered_is_right_all_the_same(flags):
    """Beside one that reads few, whose remembered outcomes it must not take for its own."""

    def toggle(m, n):
        m.x[n] = not m.x[n]
        yield

    def add_up(m):
        while True:
            m.total = sum(m.x) % 3
            yield

    actors = [Actor(toggle, n, name=f"toggle{n}") for n in range(flags)]
    variables = {"x": Array(Int(2), flags), "total": Int(3)}
    model = Model("many bits", variables, [*actors, Actor(add_up)])

    native, python = (
        explore(model, engine=name, bounds=Bounds(depth=6)) for name in ("native", "python")
    )

    assert native.levels == python.levels
    assert native.generated == python.generated


def test_a_choice_of_many_outcomes_is_whole():
    def choose(m):
        m.x = m.choose(3000)
        m.y = m.choose(7)
        yield

    result = explore(Model("many", {"x": Int(3000), "y": Int(7)}, [Actor(choose)]))

    assert (result.states, result.generated) == (21_001, 21_001)


def test_a_search_takes_at_most_30_bytes_a_state_at_one_word_and_45_at_two():
    one_word = explore(memslot_like.model(accesses=2), symmetry=False, traces=False)
    two_words = explore(memslot_like.model(vcpus=3, pages=3, accesses=1), traces=False)

    assert (one_word.words, two_words.words) == (1, 2)
    assert one_word.memory_bytes <= 30 * one_word.states
    assert two_words.memory_bytes <= 45 * two_words.states


def test_after_a_search_its_memory_is_given_back():
    made = engine(memslot_like.model(accesses=1))
    made.run(Bounds())

    made.close()
    made.close()  # Twice does no harm.

    assert made._walker is None


def test_a_bound_on_memory_stops_before_much_more_is_taken():
    result = explore(
        memslot_like.model(accesses=3), bounds=Bounds(memory_bytes=2 << 20), traces=False
    )

    assert not result.is_complete
    assert "bound on memory reached" in result.bound
    assert result.memory_bytes < 8 << 20


def test_ctrl_c_gives_what_was_found_so_far_and_the_memory_back():
    """The signal comes while C is at work, and is seen at the end of a slice."""
    from memslotlib.check import engine_native

    engine_native.release_memory()
    with ctrl_c(0.3):
        result = explore(memslot_like.model(vcpus=3, accesses=3), traces=False)

    assert not result.is_complete
    assert result.bound.startswith("interrupted: ")
    assert 0 < result.counts.expanded < result.states
    assert {one.verdict.word for one in result.verdicts.values()} <= {
        Word.UNDETERMINED,
        Word.VIOLATED,
    }
    assert engine_native._kept == []


def test_trees_may_grow_while_the_states_on_the_way_to_a_target_are_found(monkeypatch):
    """As they do where the way leads through another member than the one that was explored."""
    from memslotlib.check import engine_native

    whole = engine_native.concrete

    def growing(program, *rest):
        program.trees.root()
        return whole(program, *rest)

    monkeypatch.setattr(engine_native, "concrete", growing)
    made = engine(memslot_like.model(accesses=1))
    made.run(Bounds())
    last = len(made.counts.levels) - 1

    for _ in range(2):
        found = made.towards(Target("states", last, states=frozenset(made.level(last))))
        assert [bool(level) for level in found] == [True] * (last + 1)
    made.close()


def test_the_memory_of_a_search_is_left_to_the_next_one_and_can_be_given_back():
    from memslotlib.check import engine_native

    explore(memslot_like.model(accesses=1))
    assert len(engine_native._kept) == 1
    assert explore(memslot_like.model(accesses=1), symmetry=False).states == 23_277

    engine_native.release_memory()

    assert engine_native._kept == []
    assert explore(memslot_like.model(accesses=1), symmetry=False).states == 23_277


def test_a_model_that_is_wrong_leaves_no_memory_behind():
    from memslotlib.check import engine_native

    def fails_later(m):
        for n in range(40):
            m.x = n // 39 * 9
            yield

    engine_native.release_memory()
    before = mapped_bytes()
    for _ in range(3):
        with pytest.raises(ModelError, match="x = 9 is not in"):
            explore(Model("wrong", {"x": Int(2)}, [Actor(fails_later)]))
    engine_native.release_memory()

    # A search reserves much more address space than that, whether it uses it or not.
    assert mapped_bytes() - before < 1 << 30


def mapped_bytes():
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * 4096
