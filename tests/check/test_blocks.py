"""Where a line of source stands: its function, and the innermost branch around it."""

from __future__ import annotations

import inspect

import pytest

from memslotlib.check.blocks import Block, block


def walk(m, n):
    first = n  # first
    if first and m:
        second = 1  # then
    elif n > 2:
        second = 2  # else then
    else:
        second = 3  # else else
    while second < n:
        for place in range(
            second,
            n,
        ):
            m += place  # loop
        second += 1  # after the loop
    match second:
        case 0:
            m = 5  # case
    try:
        m = 6  # try
    except ValueError:
        m = 7  # except

    def inner():
        return m  # inner

    return inner  # end


@pytest.mark.parametrize(
    ("mark", "function", "guard"),
    [
        ("# first", "walk", ""),
        ("# then", "walk", "first and m"),
        ("# else then", "walk", "n > 2"),
        ("# else else", "walk", "not (n > 2)"),
        ("elif n > 2", "walk", "not (first and m)"),
        ("# loop", "walk", "place in range(second, n)"),
        ("# after the loop", "walk", "second < n"),
        ("# case", "walk", "0"),
        ("# try", "walk", ""),
        ("# except", "walk", ""),
        ("# inner", "inner", ""),
        ("# end", "walk", ""),
    ],
)
def test_a_line_stands_in_its_innermost_branch(mark, function, guard):
    lines, first = inspect.getsourcelines(walk)
    (number,) = [n for n, line in enumerate(lines, first) if line.rstrip().endswith(mark)] or [
        n for n, line in enumerate(lines, first) if mark in line
    ]

    assert block(__file__, number) == Block(function, guard)


def test_a_line_of_no_function_is_in_no_block():
    assert block(__file__, 1) == Block("")
    assert block(__file__, 10_000) == Block("")
