"""A model with every construct that compiles differently from one Python to another."""

from __future__ import annotations

from typing import Any

from memslotlib.check import Actor, Int, Model, never, no_deadlock, sometimes


def part(m: Any, number: int, *more: int, by: int = 1) -> Any:
    """Run micro-steps of a function
    whose docstring has two lines.
    """  # noqa: D205
    for step, one in ((1, number), (2, sum(more))):
        m.x = (step + one + by) % 4
        yield f"part {step}"
    return m.x


def busy(m: Any) -> Any:
    def bump(by: int = 1) -> int:
        nonlocal total
        total = (total + by) % 3
        return total

    total = 0
    while True:
        squares = [n * n for n in range(3) if n != total]
        match m.x, total:
            case 0, t if t:
                m.y = bump(2)
                yield "bumped"
            case (1 | 2) as x, _:
                try:
                    m.y = 2 // (x - 1)
                except ZeroDivisionError as error:
                    m.y = len(error.args)
                yield "tried"
            case _:
                got = yield from part(m, bump(), *squares, by=m.choose(2))
                if (half := got // 2) == 1:
                    m.fail("half", f"{got=}")
                    yield half
        if m.y == 2 and total == 1:
            break
    else:
        m.x = 0
    yield "left"


def other(m: Any) -> Any:
    for m.y in range(2):
        yield
    m.wait(m.x == 3, end=True)
    m.y = max([m.y, *(one % 2 for one in (m.x, 1))])
    yield "raised"


def model() -> Model:
    """Return the model."""
    return Model(
        "constructs",
        {"x": Int(4), "y": Int(3)},
        [Actor(busy), Actor(other)],
        [never("half"), sometimes("y", lambda m: m.y == 2), no_deadlock()],
    )
