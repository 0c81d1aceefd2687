from __future__ import annotations

import pytest
from check.models import explored, model_of

from memslotlib.check import (
    Actor,
    Array,
    Bounds,
    CheckError,
    Flag,
    Int,
    Model,
    Symmetric,
    always,
    can_always_reach,
    explore,
    never,
    no_deadlock,
    sometimes,
)
from memslotlib.check.examples import increment, peterson, two_phase_commit
from memslotlib.check.explore import ENGINES
from memslotlib.verdict import Word

engines = pytest.mark.parametrize("engine", ENGINES)


def words(result):
    return {name: one.verdict.word.value for name, one in result.verdicts.items()}


def breaks_much(m):
    m.x = 1
    m.fail("first", "at once")
    yield "one"
    m.x = 2
    yield "two"
    m.fail("second")
    m.y = 1
    if m.x != 2:
        m.fail("fine")
    yield "three"


MUCH = [
    never("first"),
    never("second"),
    always("x below 2", lambda m: m.x < 2),
    never("fine"),
    sometimes("y", lambda m: m.y),
]


@engines
def test_a_violation_hides_no_other(engine):
    result = explore(model_of(breaks_much, properties=MUCH), engine=engine)

    assert words(result) == {
        "first": "VIOLATED", "second": "VIOLATED", "x below 2": "VIOLATED", "fine": "HOLDS",
        "y": "HOLDS",
    }  # fmt: skip
    assert {name: one.after_steps for name, one in result.verdicts.items()} == {
        "first": 1, "second": 3, "x below 2": 2, "fine": -1, "y": 3
    }  # fmt: skip
    assert result.is_complete
    assert not result.ok
    assert result.verdicts["first"].verdict.trace == (
        "1 breaks_much  one  x 0 -> 1  BREAKS first: at once",
    )


@engines
def test_the_first_violation_ends_the_search_with_its_level(engine):
    model = model_of(breaks_much, properties=MUCH)

    result = explore(model, engine=engine, first_violation=True)

    assert words(result) == {
        "first": "VIOLATED", "second": "UNDETERMINED", "x below 2": "UNDETERMINED",
        "fine": "UNDETERMINED", "y": "UNDETERMINED",
    }  # fmt: skip
    assert not result.is_complete
    assert result.bound.startswith("stopped at the first violation: 1 of 2 states expanded")


@engines
@pytest.mark.parametrize(
    ("name", "violated"),
    [
        ("first", {"first"}),
        # What states are is looked at with the steps that lead on from them.
        ("x below 2", {"first", "x below 2", "second"}),
        ("second", {"first", "x below 2", "second"}),
    ],
)
def test_the_first_violation_of_one_property_does_not_stop_at_those_of_others(
    engine, name, violated
):
    model = model_of(breaks_much, properties=MUCH)

    found = words(explore(model, engine=engine, first_violation=name))

    assert {one for one, word in found.items() if word == "VIOLATED"} == violated


@engines
def test_a_deadlock_ends_a_search_that_is_for_one(engine):
    def stuck(m):
        m.fail("early")
        yield "one"
        m.wait(m.x == 3)
        yield "never"

    properties = [never("early"), no_deadlock("nobody waits for ever")]
    model = model_of(stuck, properties=properties)

    found = explore(model, engine=engine, first_violation="nobody waits for ever")

    assert words(found) == {"early": "VIOLATED", "nobody waits for ever": "VIOLATED"}


@pytest.mark.parametrize("name", ["y", "fourth"])
def test_only_what_can_be_violated_ends_a_search(name):
    model = model_of(breaks_much, properties=MUCH)

    with pytest.raises(CheckError, match=f"no property '{name}' to be violated"):
        explore(model, engine="python", first_violation=name)


@engines
def test_a_search_for_the_first_violation_that_finds_none_is_complete(engine):
    assert explore(peterson(), engine=engine, first_violation=True).ok


@engines
def test_a_sometimes_that_never_comes_makes_the_result_vacuous(engine):
    properties = [never("fine"), sometimes("ghost"), sometimes("y", lambda m: m.y), never("first")]
    properties += [never("second"), sometimes("spectre", lambda m: m.x == 3)]

    result = explore(model_of(breaks_much, properties=properties), engine=engine)

    assert result.vacuous == ("ghost", "spectre")
    assert words(result) == {
        "fine": "UNDETERMINED", "ghost": "VIOLATED", "y": "UNDETERMINED", "first": "VIOLATED",
        "second": "VIOLATED", "spectre": "VIOLATED",
    }  # fmt: skip
    assert result.verdicts["fine"].verdict.bound == "vacuous: ghost, spectre never comes true"
    assert result.verdicts["ghost"].verdict.trace == ("never in 4 states",)
    assert not result.ok


def test_a_sometimes_that_a_bound_kept_from_coming_makes_nothing_vacuous():
    result = explored(breaks_much, properties=MUCH[-1:] + MUCH[:2])
    cut = explore(model_of(breaks_much, properties=MUCH), engine="python", bounds=Bounds(depth=1))

    assert not result.vacuous
    assert not cut.vacuous
    assert words(cut)["y"] == "UNDETERMINED"


@engines
def test_a_failure_that_stops_leads_nowhere_and_the_other_verdicts_say_so(engine):
    def actor(m):
        m.x = 1
        m.fail("wall", stop=m.choose(2) == 1)
        yield "first"
        m.x = 2
        if m.y:
            m.fail("other")
        yield "second"

    properties = [never("wall"), never("other"), sometimes("2", lambda m: m.x == 2)]
    result = explore(model_of(actor, properties=properties), engine=engine)

    assert (result.states, result.generated) == (3, 4)
    assert result.counts.stopped_paths == 1
    assert result.bound == "every interleaving; 1 steps end their path at a violation"
    assert result.verdicts["other"].verdict.bound == result.bound
    assert result.verdicts["other"].verdict.word is Word.HOLDS
    assert result.verdicts["wall"].hits == 2


@engines
def test_a_failure_that_does_not_stop_goes_on(engine):
    result = explore(model_of(breaks_much, properties=MUCH), engine=engine)

    assert result.counts.stopped_paths == 0
    assert result.bound == "every interleaving"


def waiting(end):
    def actor(m):
        m.x = 1
        yield "first"
        m.wait(m.y == 1, end=end)
        yield "never"

    return actor


@engines
@pytest.mark.parametrize(("end", "word"), [(False, "VIOLATED"), (True, "HOLDS")])
def test_waiting_for_ever_is_a_deadlock_unless_it_is_an_end(engine, end, word):
    result = explore(model_of(waiting(end), properties=[no_deadlock()]), engine=engine)

    assert words(result) == {"no deadlock": word}
    if word == "VIOLATED":
        assert [step.label for step in result.trace().steps] == ["first"]


@engines
@pytest.mark.parametrize(("ends", "word"), [((True, True), "HOLDS"), ((True, False), "VIOLATED")])
def test_it_is_a_deadlock_if_any_actor_waits_without_an_end(engine, ends, word):
    actors = [Actor(waiting(end), name=str(n)) for n, end in enumerate(ends)]

    result = explore(model_of(*actors, properties=[no_deadlock("all go on")]), engine=engine)

    assert words(result) == {"all go on": word}


@engines
def test_actors_that_have_returned_are_no_deadlock(engine):
    model = model_of(breaks_much, properties=[no_deadlock(), *MUCH[:2]])

    assert words(explore(model, engine=engine))["no deadlock"] == "HOLDS"


def lossy(m):
    while True:
        m.x = m.choose(2) if m.y == 0 else 0
        if m.x == 0 and m.choose(2):
            m.y = 1
        yield


@engines
def test_a_goal_that_can_get_out_of_reach_is_found(engine):
    properties = [
        can_always_reach("one", lambda m: m.x == 1),
        can_always_reach("zero", lambda m: m.x == 0),
    ]
    result = explore(model_of(lossy, properties=properties), engine=engine)

    assert words(result) == {"one": "VIOLATED", "zero": "HOLDS"}
    assert result.verdicts["one"].hits == 1
    assert [one.changes for one in result.trace("one").steps] == [{"y": (0, 1)}]


def test_a_goal_cannot_be_judged_when_the_search_was_cut():
    goal = can_always_reach("one", lambda m: m.x == 1)
    result = explored(lossy, properties=[goal])
    cut = explore(model_of(lossy, properties=[goal]), engine="python", bounds=Bounds(states=1))

    assert words(result) == {"one": "VIOLATED"}
    assert words(cut) == {"one": "UNDETERMINED"}


BOUNDS = [
    (Bounds(states=50), "bound on states reached: "),
    (Bounds(depth=3), "bound on depth reached: "),
    (Bounds(seconds=0.0), "bound on seconds reached: "),
    (Bounds(memory_bytes=1), "bound on memory reached: "),
]


@engines
@pytest.mark.parametrize(("bounds", "text"), BOUNDS)
def test_a_bound_that_is_reached_says_what_was_covered(engine, bounds, text):
    model = two_phase_commit(4)

    result = explore(model, engine=engine, bounds=bounds, symmetry=False)

    expanded, found = result.counts.expanded, result.states
    assert result.bound == f"{text}{expanded:,} of {found:,} states expanded"
    assert 0 <= expanded < found < 1568
    assert result.verdicts["consistent"].verdict.word is Word.UNDETERMINED
    assert result.verdicts["consistent"].verdict.bound == result.bound
    assert result.verdicts["consistent"].verdict.states == found
    assert not result.ok


@engines
def test_bounds_that_are_not_reached_change_nothing(engine):
    bounds = Bounds(states=1 << 30, depth=1 << 20, seconds=1e6, memory_bytes=1 << 33)

    bounded = explore(increment(), engine=engine, bounds=bounds)

    assert bounded.text == explore(increment(), engine=engine).text


@engines
def test_a_violation_and_a_sighting_stand_even_if_the_search_was_cut(engine):
    model = model_of(breaks_much, properties=MUCH)

    result = explore(model, engine=engine, bounds=Bounds(depth=2))

    assert words(result)["first"] == "VIOLATED"
    assert len(result.trace("first")) == 1


class Interrupts:
    """Raises KeyboardInterrupt once, when it is called for the third time."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return True


@pytest.mark.parametrize("is_predicate", [False, True])
def test_an_interrupt_leaves_what_was_found(is_predicate):
    interrupts = Interrupts()

    def actor(m):
        m.fail("at once")
        m.x = 1
        yield "one"
        while m.y < 3:
            if not is_predicate:
                interrupts()
            m.y += 1
            yield "more"

    def predicate(m):
        return not is_predicate or m.y < 0 or interrupts()

    result = explored(actor, properties=[never("at once"), always("fine", predicate)])

    assert interrupts.calls >= 3
    assert result.bound.startswith("interrupted: ")
    assert not result.is_complete
    assert words(result)["fine"] == "UNDETERMINED"
    if not is_predicate:
        assert words(result)["at once"] == "VIOLATED"
        assert result.states == 3


def test_without_traces_there_are_none_and_the_verdicts_are_the_same():
    model = peterson(forgets_turn=True)
    plain, quick = (explore(model, engine="python", traces=one) for one in (True, False))

    assert words(plain) == words(quick)
    assert quick.traces == {}
    assert quick.verdicts["mutual exclusion"].verdict.trace == ("(no trace asked)",)
    assert plain.verdicts["mutual exclusion"].after_steps == 6
    assert quick.verdicts["mutual exclusion"].after_steps == 6


def test_an_unknown_engine_is_refused_with_the_nearest():
    with pytest.raises(CheckError, match="^no engine 'pyton': did you mean 'python'\\?$"):
        explore(increment(), engine="pyton")


def test_symmetry_is_told_in_the_bound_only_where_there_is_any():
    assert "permutations" not in explore(peterson(), engine="python").bound
    assert explore(increment(), engine="python").bound.endswith("up to permutations of thread")
    assert explore(increment(), engine="python", symmetry=False).bound == "every interleaving"


@engines
def test_interchangeable_actors_are_counted_as_often_as_they_differ(engine):
    cpu = Symmetric("cpu", 4)

    def actor(m, me):
        m.on[me] = True
        yield
        m.count += 1
        yield

    model = Model("m", {"on": Array(Flag(), cpu), "count": Int(5)}, [Actor(actor, per=cpu)])

    # Each member is in one of 3 local states, and everything else follows from those.
    assert explore(model, engine=engine, symmetry=False).states == 3**4
    assert explore(model, engine=engine).states == 15


@engines
def test_no_property_is_no_reason_not_to_count(engine):
    result = explore(model_of(breaks_much, properties=MUCH[:2]), engine=engine)
    bare = Model("bare", {"x": Int(2)}, [Actor(waiting_for_nothing)])

    assert result.states == 4
    assert explore(bare, engine=engine).states == 3


def waiting_for_nothing(m):
    m.x = 1
    yield
    m.wait(m.x)
    m.x = 0
    yield


def test_a_never_that_no_step_names_is_vacuous_and_does_not_hold():
    def work(m):
        if m.x == 3:
            m.fail("no three")
        m.x = 1
        yield

    result = explored(work, properties=[never("no three"), never("no four")])

    assert result.verdicts["no three"].verdict.word is Word.HOLDS
    assert result.verdicts["no four"].verdict.word is Word.UNDETERMINED
    assert result.verdicts["no four"].verdict.bound == "vacuous: no step's text names it"
    assert result.vacuous == ("no four",)
    assert not result.ok


def test_a_sometimes_that_was_shown_before_a_bound_says_how_it_is_known():
    def count(m):
        while m.x < 3:
            m.x += 1
            yield

    seen = sometimes("one", lambda m: m.x == 1)
    result = explored_to(Bounds(depth=2), count, seen)

    assert result.verdicts["one"].verdict.word is Word.HOLDS
    assert result.verdicts["one"].verdict.bound.startswith(
        "1 steps show it; bound on depth reached"
    )


def explored_to(bounds, actor, *properties):
    return explore(model_of(actor, properties=properties), engine="python", bounds=bounds)
