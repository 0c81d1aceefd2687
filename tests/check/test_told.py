from __future__ import annotations

import dataclasses
import enum
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memslotlib.check import Array, Int, OneOf, Symmetric
from memslotlib.check.told import Told

CPU = Symmetric("cpu", 2)


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Config:
    pages: int
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (True, "True"),
        ("1", "'1'"),
        (1.0, "1.0"),
        (None, "None"),
        (Level.LOW, "Level.LOW"),
        ((1, "a"), "(1, 'a')"),
        ([1, "a"], "(1, 'a')"),
        ({"b", "a"}, "{'a', 'b'}"),
        ({"a": 1}, "(('a', 1))"),
        (Config(2, ("x",)), "Config(2, ('x'))"),
        (CPU, "Symmetric('cpu', 2)"),
        (CPU[1], "cpu1"),
        (object(), "object"),
        (Config, "Config"),
        (itertools, "itertools"),
        (len, "builtin_function_or_method"),
        (Int(3, init=1), "Int((0, 1, 2), 1)"),
    ],
)
def test_a_value_is_told_by_what_it_says_and_never_by_its_address(value, text):
    assert Told().value(value) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Int(3), Int(4)),
        (OneOf("a", "b"), OneOf("a", "b", init="b")),
        (Array(Int(3), 2), Array(Int(3), 3)),
        (Array(Int(3), CPU), Array(Int(3), 2)),
        (Config(1), Config(2)),
        (1, True),
    ],
)
def test_values_that_differ_are_told_apart(one, other):
    assert Told().value(one) != Told().value(other)


LIMIT = 3


def helper():
    return LIMIT


def caller(items):
    return [helper() for _ in items]


def made(number):
    return lambda: number


def test_a_function_is_told_with_the_functions_and_values_that_it_uses():
    text = Told().value(caller)

    assert "return [helper() for _ in items]" in text
    assert "return LIMIT" in text
    assert "LIMIT=3" in text


def test_functions_with_the_same_text_are_told_apart_by_what_is_around_them():
    told = Told()

    assert "number=1" in told.value(made(1))
    assert "number=2" in told.value(made(2))


def test_a_function_is_told_once_even_if_it_calls_itself():
    def endless():
        return endless()

    told = Told()

    assert told.value(endless).count("return endless()") == 1
    assert told.value(endless) == "endless"


def test_defaults_and_methods_are_told():
    def with_default(a=7, *, b=8):
        return a + b

    class Owner:
        def method(self):
            return 9

    assert "((7), (('b', 8)))" in Told().value(with_default)
    assert "return 9" in Told().value(Owner().method)


def test_pythons_own_functions_are_told_by_name_since_they_differ_between_versions():
    assert Told().value(os.path.join) == "join"


def test_the_text_is_the_same_in_every_process():
    script = "from memslotlib.check.told import Told; print(Told().value({'a', 'b', 'c', 'd'}))"
    root = Path(__file__).resolve().parents[2]
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }

    assert texts == {"{'a', 'b', 'c', 'd'}\n"}
