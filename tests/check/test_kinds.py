from __future__ import annotations

import enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check import Array, Flag, Int, ModelError, OneOf, Ref, Symmetric


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


def refusal(make, *arguments, **named):
    with pytest.raises(ModelError) as error:
        make(*arguments, **named)
    return str(error.value)


CPU = Symmetric("cpu", 3)


@pytest.mark.parametrize(
    ("kind", "values", "init", "width_bits", "text"),
    [
        (Int(4), (0, 1, 2, 3), 0, 2, "range(0, 4)"),
        (Int(5), (0, 1, 2, 3, 4), 0, 3, "range(0, 5)"),
        (Int(1), (0,), 0, 0, "range(0, 1)"),
        (Int(-2, 1), (-2, -1, 0), 0, 2, "range(-2, 1)"),
        (Int(3, 5), (3, 4), 3, 1, "range(3, 5)"),
        (Int(3, init=2), (0, 1, 2), 2, 2, "range(0, 3)"),
        (Flag(), (False, True), False, 1, "{False, True}"),
        (Flag(init=True), (False, True), True, 1, "{False, True}"),
        (OneOf("a", "b", "c"), ("a", "b", "c"), "a", 2, "{a, b, c}"),
        (OneOf("a", None), ("a", None), "a", 1, "{a, None}"),
        (OneOf("a", None, init=None), ("a", None), None, 1, "{a, None}"),
        (OneOf(Level), (Level.LOW, Level.HIGH), Level.LOW, 1, "{Level.LOW, Level.HIGH}"),
        (OneOf(Level, init=Level.HIGH), (Level.LOW, Level.HIGH), Level.HIGH, 1, None),
        (Ref(CPU), (None, *CPU.members), None, 2, "{None, cpu0, cpu1, cpu2}"),
    ],
)
def test_a_kind_has_values_in_order_one_to_start_with_and_a_width(
    kind, values, init, width_bits, text
):
    assert kind.values == values
    assert kind.init is init or kind.init == init
    assert kind.width_bits == width_bits
    assert [kind.encode(value) for value in values] == list(range(len(values)))
    assert text is None or str(kind) == text


@pytest.mark.parametrize("value", [-1, 4, "0", None, 0.5, [], ([],)])
def test_a_value_outside_is_refused_and_named(value):
    assert refusal(Int(4).encode, value) == f"{value!r} is not in range(0, 4)"


@given(st.integers(-40, 40), st.integers(1, 300))
def test_the_width_is_the_least_that_tells_all_values_apart(start, length):
    kind = Int(start, start + length)

    assert 1 << kind.width_bits >= length
    assert kind.width_bits == 0 or 1 << (kind.width_bits - 1) < length
    assert kind.has_spare == (length < 1 << kind.width_bits)
    assert kind.values[kind.encode(start + length - 1)] == start + length - 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Int(0), "range(0, 0) has 0 values: 1 to 65,536 are possible"),
        (lambda: Int(65537), "range(0, 65537) has 65537 values: 1 to 65,536 are possible"),
        (lambda: Int(3, init=3), "3 is not in range(0, 3)"),
        (lambda: OneOf(), "OneOf() names no value"),
        (lambda: OneOf("a", "b", "a"), "a value is listed twice in ('a', 'b', 'a')"),
        (lambda: OneOf("a", init="b"), "'b' is not in {a}"),
        (lambda: Symmetric("cpu", 0), "cpu: a symmetric set has 1 to 16 members, not 0"),
        (lambda: Symmetric("cpu", 17), "cpu: a symmetric set has 1 to 16 members, not 17"),
        (lambda: Array(Int(2)), "an array has dimensions of at least 1, not []"),
        (lambda: Array(Int(2), 2, 0), "an array has dimensions of at least 1, not [2, 0]"),
        (lambda: Array(Int(2), 2, CPU), "only the first dimension of an array may be symmetric"),
        (lambda: Array(Ref(CPU), CPU), "an array with an element a member cannot hold members"),
        (lambda: Array(Int(2), CPU, init=[0, 1, 0]), "members of cpu start with different values"),
        (lambda: Array(Int(2), 2, init=[0]), "1 initial values for a dimension of 2"),
        (lambda: Array(Int(2), 2, init=[0, 2]), "2 is not in range(0, 2)"),
    ],
)
def test_what_cannot_be_declared_is_refused_with_the_reason(make, text):
    assert refusal(make) == text


def test_the_largest_kinds_can_be_declared():
    assert Int(1 << 16).width_bits == 16
    assert len(Symmetric("cpu", 16)) == 16


@pytest.mark.parametrize(
    ("array", "shape", "flat"),
    [
        (Array(Int(4), 3), (3,), [0, 0, 0]),
        (Array(Int(4), 2, 2, init=[[0, 1], [2, 3]]), (2, 2), [0, 1, 2, 3]),
        (Array(Int(4), 2, 2, init=[1, [2, 3]]), (2, 2), [1, 1, 2, 3]),
        (Array(Int(4), CPU, 2, init=[[0, 1]] * 3), (3, 2), [0, 1, 0, 1, 0, 1]),
        (Array(OneOf("a", None), 2, init=None), (2,), [None, None]),
        (Array(Ref(CPU), 2), (2,), [None, None]),
    ],
)
def test_initial_values_are_laid_out_row_by_row(array, shape, flat):
    assert array.shape == shape
    assert array.flat() == flat
    assert array.per is (CPU if array.dimensions[0] is CPU else None)


def test_a_member_equals_itself_and_is_not_none():
    one, other, _ = CPU

    assert one == CPU[0]
    assert one != other
    assert one != None  # noqa: E711
    assert {one: 1}[CPU[0]] == 1


@pytest.mark.parametrize("other", [0, "cpu0", Symmetric("other", 1)[0], (0,)])
def test_a_member_is_not_compared_with_anything_else(other):
    expected = (
        f"cpu0 is compared with {other!r}: members of cpu are interchangeable, "
        "and a number tells them apart"
    )
    assert refusal(lambda: CPU[0] == other) == expected
    assert refusal(lambda: other == CPU[0] if other != (0,) else CPU[0] == other)


@pytest.mark.parametrize("calculation", [lambda m: m + 1, lambda m: m < m, lambda m: int(m)])
def test_a_member_is_nothing_to_calculate_with(calculation):
    with pytest.raises(TypeError):
        calculation(CPU[0])
