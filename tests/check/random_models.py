"""Small random models: actors that run a random program, given to them as a tuple.

What the programs do covers what a micro-step can do: read and write every kind of variable, choose,
wait in both ways, fail with and without going on, reach, return, and call with ``yield from``.
"""

from __future__ import annotations

import random
from typing import Any

from memslotlib.check import (
    Actor,
    Array,
    Flag,
    Int,
    Model,
    OneOf,
    Ref,
    Symmetric,
    always,
    never,
    no_deadlock,
    sometimes,
    step,
)

#: A micro-step: some of these, one after the other. ``r`` is the actor's register, 0 to 2.
Operations = tuple[tuple[Any, ...], ...]
VARIABLES = ("signed", "word", "flag", "pair", "own")
LEVELS = (-1, 0, 1)
WORDS = ("off", "on", "broken")


def _load(m: Any, me: Any, name: str, register: int) -> int:
    if name == "signed":
        return int(m.signed) + 1
    if name == "word":
        return WORDS.index(m.word)
    if name == "flag":
        return int(m.flag)
    if name == "pair":
        return int(m.pair[register % 2, 1])
    return int(m.own[me]) if me is not None else sum(m.own) % 3


def _store(m: Any, me: Any, name: str, value: int, register: int) -> None:
    if name == "signed":
        m.signed = LEVELS[value]
    elif name == "word":
        m.word = WORDS[value]
    elif name == "flag":
        m.flag = value % 2
    elif name == "pair":
        m.pair[register % 2, value % 2] = value
    elif me is not None:
        m.own[me] = value


def _operate(m: Any, me: Any, operation: tuple[Any, ...], register: int) -> int:
    """Do one operation and return the register after it."""
    what, *rest = operation
    if what == "load":
        return _load(m, me, rest[0], register)
    if what == "store":
        _store(m, me, rest[0], (register + rest[1]) % 3, register)
    elif what == "choose":
        return int(m.choose(rest[0]))
    elif what == "wait":
        m.wait(_load(m, me, rest[0], register) != rest[1], end=rest[2])
    elif what == "fail" and register == rest[0]:
        m.fail("no failure", stop=rest[1])
    elif what == "reach" and register == rest[0]:
        m.reach("reached")
    elif what == "take" and me is not None:
        m.wait(m.owner is None)
        m.owner = me
    elif what == "give":
        m.owner = m.choose(m.everybody) if rest[0] else None
    return register


@step
def called(m: Any, me: Any, operations: Operations, register: int) -> Any:
    """Two micro-steps in a function of their own, and a result."""
    for operation in operations:
        register = _operate(m, me, operation, register)
    yield "called"
    m.wait(m.flag or register)
    return (register + 1) % 3


def member(m: Any, me: Any, program: tuple[Operations, ...], loops: bool) -> Any:
    register = 0
    while True:
        for operations in program:
            for operation in operations:
                register = _operate(m, me, operation, register)
            yield operations[0][0]
        if not loops:
            break
        register = yield from called(m, me, program[0], register)


def single(m: Any, program: tuple[Operations, ...], loops: bool) -> Any:
    yield from member(m, None, program, loops)
    m.wait(m.signed == 0, end=True)
    m.signed = 1


def random_model(seed: int) -> Model:
    """Return the model with this number: one symmetric pair of actors, and one or two others."""
    rng = random.Random(seed)
    cpu = Symmetric("cpu", 2)
    actors = [Actor(member, _program(rng, 2), rng.random() < 0.5, per=cpu)]
    actors += [
        Actor(single, _program(rng, rng.randint(1, 3)), rng.random() < 0.3, name=f"single {n}")
        for n in range(rng.randint(1, 2))
    ]
    bad = rng.choice(WORDS)
    return Model(
        f"random {seed}",
        {
            "signed": Int(-1, 2),
            "word": OneOf(*WORDS),
            "flag": Flag(init=rng.random() < 0.5),
            "pair": Array(Int(3), 2, 2, init=[[0, 1], [2, 0]]),
            "own": Array(Int(3), cpu, init=rng.randint(0, 2)),
            "owner": Ref(cpu),
            "everybody": OneOf(cpu),
        },
        actors,
        [
            never("no failure"),
            sometimes("reached"),
            no_deadlock(),
            always("fine", lambda m: m.word != bad or not m.flag or m.owner is None),
            sometimes("owned", lambda m: m.owner is not None and m.signed == 1),
        ],
    )


def _program(rng: random.Random, steps: int) -> tuple[Operations, ...]:
    return tuple(tuple(_operation(rng) for _ in range(rng.randint(1, 2))) for _ in range(steps))


def _operation(rng: random.Random) -> tuple[Any, ...]:
    name, number = rng.choice(VARIABLES), rng.randint(0, 2)
    return rng.choice(
        (
            ("load", name),
            ("load", name),
            ("store", name, number),
            ("store", name, number),
            ("store", name, number),
            ("choose", rng.randint(1, 3)),
            ("wait", name, number, rng.random() < 0.4),
            ("fail", number, rng.random() < 0.5),
            ("reach", number),
            ("take",),
            ("give", rng.random() < 0.3),
        )
    )
