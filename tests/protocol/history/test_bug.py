from __future__ import annotations

from typing import Any

from memslotlib.check import Actor, Flag, Model, explore, sometimes
from memslotlib.protocol.history.bug import extended


def raise_flag(m: Any) -> Any:
    m.up = True
    yield "up"


def lower_flag(m: Any) -> Any:
    m.wait(m.up)
    m.down = True
    yield "down"


def test_an_extended_model_has_what_it_had_and_more() -> None:
    model = Model("flags", {"up": Flag()}, [Actor(raise_flag)], [sometimes("up", lambda m: m.up)])

    found = extended(
        model,
        variables={"down": Flag()},
        actors=[Actor(lower_flag)],
        properties=[sometimes("down", lambda m: m.down)],
    )

    assert found.actor_names == ("raise_flag", "lower_flag")
    assert explore(found).ok
    assert model.actor_names == ("raise_flag",)
