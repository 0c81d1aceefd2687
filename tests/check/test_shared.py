from __future__ import annotations

import contextlib
import enum

import pytest
from check.models import blamed, explored, model_of, refused
from check.writing import Script
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check import (
    Array,
    Flag,
    Int,
    ModelError,
    OneOf,
    Ref,
    Symmetric,
    never,
    sometimes,
)
from memslotlib.check.shared import CHOICES_MAX, Blocked, view

CPU = Symmetric("cpu", 2)
CORE = Symmetric("core", 3)


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


VARIABLES = {
    "number": Int(-2, 5),
    "flag": Flag(),
    "level": OneOf(Level),
    "owner": Ref(CORE),
    "row": Array(Int(4), 3),
    "table": Array(OneOf("a", "b", "c"), CPU, 2),
    "owners": Array(Ref(CORE), 2),
}


def nothing(m):
    m.wait(False)
    yield


def shared(choices=0, **more):
    model = model_of(nothing, variables=VARIABLES, **more)
    port = Script([cell.init for cell in model.cells], choices)
    return view(model, port), port


def refusal(run):
    with pytest.raises(ModelError) as error:
        run()
    return str(error.value)


VALUES = {
    "number": [-2, -1, 0, 1, 2, 3, 4],
    "flag": [False, True],
    "level": list(Level),
    "owner": [None, *CORE],
}


@given(st.data())
def test_what_was_written_is_what_is_read_and_nothing_else_changes(data):
    m, port = shared()
    expected = {
        **{(name,): VALUES[name][VALUES[name].index(getattr(m, name))] for name in VALUES},
        **{("row", i): 0 for i in range(3)},
        **{("table", v, i): "a" for v in CPU for i in range(2)},
        **{("owners", i): None for i in range(2)},
    }
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.sampled_from(list(expected)))
        options = {"row": [0, 1, 2, 3], "table": ["a", "b", "c"], "owners": [None, *CORE]} | VALUES
        value = expected[place] = data.draw(st.sampled_from(options[place[0]]))
        if len(place) == 1:
            setattr(m, place[0], value)
        else:
            getattr(m, place[0])[place[1] if len(place) == 2 else place[1:]] = value
        port.log.clear()

    for place, value in expected.items():
        found = getattr(m, place[0])
        found = found if len(place) == 1 else found[place[1] if len(place) == 2 else place[1:]]
        assert found is value or found == value
        port.log.clear()


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda m: setattr(m, "number", 5), "number = 5 is not in range(-2, 5)"),
        (lambda m: setattr(m, "number", -3), "number = -3 is not in range(-2, 5)"),
        (lambda m: setattr(m, "number", None), "number = None is not in range(-2, 5)"),
        (lambda m: setattr(m, "number", []), "number = [] is not in range(-2, 5)"),
        (lambda m: setattr(m, "flag", 2), "flag = 2 is not in {False, True}"),
        (lambda m: setattr(m, "level", 1), "level = 1 is not in {Level.LOW, Level.HIGH}"),
        (
            lambda m: setattr(m, "owner", CPU[0]),
            "owner = cpu0 is not in {None, core0, core1, core2}",
        ),
        (lambda m: setattr(m, "owner", 0), "owner = 0 is not in {None, core0, core1, core2}"),
        (lambda m: m.row.__setitem__(1, 4), "row[1] = 4 is not in range(0, 4)"),
        (
            lambda m: m.table.__setitem__((CPU[1], 0), "d"),
            "table[cpu1, 0] = 'd' is not in {a, b, c}",
        ),
        (
            lambda m: m.owners.__setitem__(1, 1),
            "owners[1] = 1 is not in {None, core0, core1, core2}",
        ),
        (lambda m: m.row[3], "row[3]: 3 is not in range(0, 3)"),
        (lambda m: m.row[-1], "row[-1]: -1 is not in range(0, 3)"),
        (lambda m: m.row["a"], "row[a]: 'a' is not in range(0, 3)"),
        (lambda m: m.row[0:1], "row[slice(0, 1, None)]: slice(0, 1, None) is not in range(0, 3)"),
        (lambda m: m.row[0, 1], "row[0, 1]: 1 indices are needed"),
        (lambda m: m.table[CPU[0]], "table[cpu0]: 2 indices are needed"),
        (lambda m: m.table[CPU[0], 2], "table[cpu0, 2]: 2 is not in range(0, 2)"),
        (lambda m: m.table[0, 0], "table[0, 0]: its index is a member of cpu"),
        (lambda m: m.table[CORE[0], 0], "table[core0, 0]: core0 is no index here"),
        (lambda m: m.table[CPU[0], CPU[0]], "table[cpu0, cpu0]: cpu0 is no index here"),
        (lambda m: m.row[CPU[0]], "row[cpu0]: cpu0 is no index here"),
        (lambda m: m.row.__setitem__(3, 0), "row[3]: 3 is not in range(0, 3)"),
        (
            lambda m: setattr(m, "row", [0, 0, 0]),
            "row is an array: set its elements, row[i] = ...",
        ),
        (lambda m: m.numbr, "no shared variable 'numbr': did you mean 'number'?"),
        (lambda m: m.chose, "no shared variable 'chose': did you mean 'choose'?"),
        (
            lambda m: m.zzzzzz,
            "no shared variable 'zzzzzz': declared are number, flag, level, owner, row, table, "
            "owners, choose, fail, reach, replacement, wait",
        ),
        (
            lambda m: setattr(m, "tabel", 0),
            "no shared variable 'tabel': did you mean 'table'?",
        ),
        (
            lambda m: setattr(m, "choose", 0),
            "no shared variable 'choose': declared are number, flag, level, owner, row, table, "
            "owners",
        ),
        (lambda m: m.fail("brokn"), "no property never('brokn'): did you mean 'broken'?"),
        (lambda m: m.fail("seen"), "no property never('seen'): declared are broken"),
        (lambda m: m.reach("sen"), "no property sometimes('sen'): did you mean 'seen'?"),
        (lambda m: m.reach("judged"), "no property sometimes('judged'): declared are seen"),
        (lambda m: m.choose(CHOICES_MAX + 1), "a choice among 32,769: 32,768 at most"),
        (lambda m: m.choose(100_000), "a choice among 100,000: 32,768 at most"),
        (lambda m: m.choose(range(100_000)), "a choice among 100,000: 32,768 at most"),
        (
            lambda m: m.choose({1, 2}),
            "a choice among the elements of a set, whose order is not the same in every run: sort "
            "them",
        ),
    ],
)
def test_what_a_model_cannot_do_is_refused_with_name_value_and_rule(run, text):
    properties = [never("broken"), sometimes("seen"), sometimes("judged", lambda m: True)]
    m, port = shared(properties=properties)
    codes = list(port.codes)

    assert refusal(lambda: run(m)) == text
    assert port.codes == codes


def bad_write(m):
    m.y = 3
    yield "before"
    m.x = m.y + 1  # blamed


def bad_name(m):
    m.y = 3
    yield "before"
    m.xx = 1  # blamed


def bad_index(m):
    m.y = 3
    yield "before"
    print(m.rows[m.y])  # blamed


def bad_property(m):
    m.y = 3
    yield "before"
    m.fail("fine")  # blamed


def bad_choice(m):
    m.y = 3
    yield "before"
    m.x = m.choose(100_000)  # blamed


@pytest.mark.parametrize(
    ("actor", "what"),
    [
        (bad_write, "x = 4 is not in range(0, 4)"),
        (bad_name, "no shared variable 'xx': did you mean 'x'?"),
        (bad_index, "rows[3]: 3 is not in range(0, 2)"),
        (bad_property, "no property never('fine'): did you mean 'line'?"),
        (bad_choice, "a choice among 100,000: 32,768 at most"),
    ],
)
def test_the_error_of_an_exploration_names_line_actor_and_state(actor, what):
    variables = {"x": Int(4), "y": Int(4), "rows": Array(Int(2), 2)}

    error = refused(actor, variables=variables, properties=[never("line")])

    assert str(error) == (f"{blamed(actor)}: {actor.__name__}: {what}; in state x=0 y=3 rows=[0 0]")


def test_members_count_as_themselves_and_their_elements_come_in_order():
    m, _ = shared()
    m.table[CPU[1], 0] = "b"

    assert list(m.row) == [0, 0, 0]
    assert (len(m.row), len(m.table)) == (3, 2)
    assert str(m.row) == "shared array row"
    assert str(m) == "shared state of small"
    assert m.row.name == "row"


def test_an_array_with_an_element_a_member_is_iterated_by_its_members():
    model = model_of(nothing, variables={"row": Array(Int(3), CORE)})
    port = Script([0, 1, 2], 0)

    assert list(view(model, port).row) == [0, 1, 2]


def test_a_reference_reads_no_further_than_its_member():
    m, port = shared()
    m.owner = CORE[1]
    port.log.clear()

    assert m.owner is CORE[1]
    assert [what for what, *_ in port.log] == ["read", "read"]


def test_a_reference_has_one_member_at_a_time():
    m, port = shared()
    m.owner = CORE[1]
    m.owner = CORE[2]

    (first,) = [v.first for v in model_of(nothing, variables=VARIABLES).layout if v.name == "owner"]
    assert port.codes[first : first + 3] == [0, 0, 1]


@pytest.mark.parametrize(
    ("options", "chosen", "noted"),
    [
        (3, [0, 1, 2], 3),
        (1, [0], 1),
        (("a", "b"), ["a", "b"], 2),
        (["a"], ["a"], 1),
        (range(5, 7), [5, 6], 2),
        ((i * i for i in range(3)), [0, 1, 4], 3),
        ({"a": 1, "b": 2}, ["a", "b"], 2),
    ],
)
def test_a_choice_is_any_of_its_options(options, chosen, noted):
    options = options if not hasattr(options, "__next__") else tuple(options)
    found = []
    for choice in range(len(chosen)):
        m, port = shared(choices=choice)
        found.append(m.choose(options))
        assert port.log == [("choose", noted)]

    assert found == chosen


@pytest.mark.parametrize("options", [0, -1, (), [], range(0), iter(())])
def test_with_nothing_to_choose_from_the_step_is_not_possible(options):
    m, port = shared()

    with pytest.raises(Blocked) as blocked:
        m.choose(options)

    assert not blocked.value.is_end
    assert port.log == []


def test_a_step_that_chooses_from_nothing_is_never_made():
    def actor(m):
        m.x = 1
        yield "first"
        m.y = m.choose(0)
        m.x = 3
        yield "second"

    result = explored(actor)

    assert result.states == 2
    assert result.generated == 2


def test_the_largest_choice_has_an_outcome_for_each_option():
    def actor(m):
        m.wide = m.choose(1 << 10)
        yield

    assert explored(actor, variables={"wide": Int(1 << 10)}).states == 1 + (1 << 10)


@pytest.mark.parametrize("condition", [False, 0, None, [], ""])
def test_a_wait_whose_condition_is_false_blocks_even_inside_of_try(condition):
    m, _ = shared()

    def careful():
        with contextlib.suppress(Exception):
            m.wait(condition, end=True)

    with pytest.raises(Blocked) as blocked:
        careful()

    assert blocked.value.is_end
    m.wait(True)


def test_a_private_name_is_no_shared_variable():
    m, _ = shared()

    assert not hasattr(m, "__fspath__")
    assert refusal(lambda: m._hidden).startswith("no shared variable '_hidden'")
