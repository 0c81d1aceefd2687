"""What the tests of the explorer share: small models, and what is wrong with one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memslotlib.check import Actor, Int, Model, ModelError, Result, explore
from memslotlib.check.program import Program


def model_of(*actors: Callable[..., Any] | Actor, **more: Any) -> Model:
    """Return a model of these actors; ``x`` and ``y`` are shared unless variables are given."""
    variables = more.pop("variables", {"x": Int(4), "y": Int(4)})
    made = [one if isinstance(one, Actor) else Actor(one) for one in actors]
    return Model("small", variables, made, **more)


def explored(*actors: Callable[..., Any] | Actor, **more: Any) -> Result:
    """Return the exploration of such a model, in plain Python."""
    return explore(model_of(*actors, **more), engine="python")


def refused(*actors: Callable[..., Any] | Actor, **more: Any) -> ModelError:
    """Return the error that exploring such a model ends in."""
    with pytest.raises(ModelError) as error:
        explored(*actors, **more)
    return error.value


def blamed(function: Callable[..., Any], word: str = "# blamed") -> str:
    """Return ``file:line`` of the line of a function that has a comment in it."""
    lines, first = inspect.getsourcelines(function)
    (number,) = [n for n, line in enumerate(lines, first) if word in line]
    return f"{function.__code__.co_filename}:{number}"


def lines_of(program: Program) -> Iterator[tuple[Any, ...]]:
    """Yield every transition between reachable states: values, actor, choice, label, values."""
    waiting, seen = [program.initial], {program.initial}
    while waiting:
        state = waiting.pop()
        for one in program.successors(state):
            before, after = program.values(state), program.values(one.state)
            yield before, one.actor, one.choice, one.path.label, after
            if one.state not in seen and not one.path.stops:
                seen.add(one.state)
                waiting.append(one.state)


def shared_states(result: Result) -> int:
    """Return in how many ways the shared variables can be set, of all reachable states."""
    program = result.program
    found = {str(program.values(program.initial))}
    found |= {str(after) for *_, after in lines_of(program)}
    return len(found)
