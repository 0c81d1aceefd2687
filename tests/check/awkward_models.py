"""Models that each have something that is easily got wrong in another language."""

from __future__ import annotations

import enum
from collections.abc import Callable
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


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


def two_locks() -> Model:
    """References, each a bit a member; the locks are taken in both orders, so all can be stuck."""
    cpu = Symmetric("cpu", 2)

    def thread(m: Any, me: Any) -> Any:
        is_swapped = m.choose(2)
        yield "pick"
        for n in range(2):
            m.wait(m.owner[(n + is_swapped) % 2] is None)
            m.owner[(n + is_swapped) % 2] = me
            yield "lock"
        m.owner[0] = m.owner[1] = None
        yield "unlock"

    return Model(
        "two locks",
        {"owner": Array(Ref(cpu), 2)},
        [Actor(thread, per=cpu)],
        [no_deadlock(), sometimes("both", lambda m: m.owner[0] is not None is not m.owner[1])],
    )


def below_zero() -> Model:
    """An integer that begins below 0, one that has a single value, and one that needs 16 bits."""

    def walk(m: Any) -> Any:
        while True:
            m.level += m.choose((-1, 1)) if -3 < m.level < 2 else (1 if m.level < 0 else -1)
            m.wide = 40_000 * (m.level > 0)
            m.fixed = 5
            yield

    return Model(
        "below zero",
        {"level": Int(-3, 3), "fixed": Int(5, 6), "wide": Int(1 << 16)},
        [Actor(walk)],
        [always("above -3", lambda m: m.level > -3), always("five", lambda m: m.fixed == 5)],
    )


def stops() -> Model:
    """A step that leads nowhere is a step all the same: nobody is stuck who can make it."""

    def run(m: Any) -> Any:
        yield
        if m.choose(2):
            m.fail("no crash", stop=True)
            m.x = 1
        else:
            m.x = 2
        yield "left"
        m.wait(m.x == 0)
        yield

    return Model("stops", {"x": Int(3)}, [Actor(run)], [never("no crash"), no_deadlock()])


def only_stops() -> Model:
    """All that is left is a step that leads nowhere; that is no deadlock."""

    def run(m: Any) -> Any:
        m.x += 1
        yield
        m.fail("no crash", "always", stop=True)
        yield

    def waiter(m: Any) -> Any:
        m.wait(m.x == 2)
        yield

    return Model(
        "only stops",
        {"x": Int(3)},
        [Actor(run), Actor(waiter)],
        [never("no crash"), no_deadlock()],
    )


def end_waits() -> Model:
    """To wait for more work is no deadlock; to wait for an answer is."""

    def server(m: Any) -> Any:
        while True:
            m.wait(m.asked, end=True)
            m.asked = False
            m.answered = m.choose(2) == 1
            yield "answer"

    def client(m: Any) -> Any:
        m.asked = True
        yield "ask"
        m.wait(m.answered)
        yield "done"

    return Model(
        "end waits",
        {"asked": Flag(), "answered": Flag()},
        [Actor(server), Actor(client)],
        [no_deadlock(), sometimes("answer", lambda m: m.answered)],
    )


def mixed_wait() -> Model:
    """One local state in which it depends on the shared ones whether waiting is a deadlock."""

    def chooser(m: Any) -> Any:
        m.work = m.choose(3)
        yield "choose"

    def worker(m: Any) -> Any:
        while True:
            m.wait(m.work, end=True)
            m.wait(m.work == 1)
            m.work = 0
            yield "work"

    return Model("mixed wait", {"work": Int(3)}, [Actor(chooser), Actor(worker)], [no_deadlock()])


@step
def counted(m: Any, steps: int) -> Any:
    total = 0
    for n in range(steps):
        m.wait(m.gate != n)
        total += m.gate
        yield "count"
    return total


def calls() -> Model:
    """``yield from`` with a result, a ``for`` over a ``yield``, and locals of many types."""

    def caller(m: Any) -> Any:
        for word in ("one", 'two "*/ quoted', b"3"):
            total = yield from counted(m, 2)
            m.last = (total + len(word)) % 3
            yield word
        return 5

    def gate(m: Any) -> Any:
        while True:
            m.gate = (m.gate + 1) % 3
            yield ("gate", m.gate)

    return Model("calls", {"gate": Int(3), "last": Int(3)}, [Actor(caller), Actor(gate)])


def hidden() -> Model:
    """A variable that is only ever written, and steps that touch nothing or change nothing."""

    def write(m: Any) -> Any:
        m.written = m.choose(4)
        yield
        yield
        m.written = m.written
        yield

    def idle(m: Any) -> Any:
        while True:
            yield

    return Model("hidden", {"written": Int(4)}, [Actor(write), Actor(idle, name="idler")])


def names() -> Model:
    """Names that mean something to SPIN, to Rumur or to C, that collide, or are not ASCII."""

    def run(m: Any) -> Any:
        m.do, m.byte, m.rule = True, 2, Colour.GREEN
        yield "*/ \\"
        m.größe = m.NULL = 1
        m.errno = not m.linux
        m.now[1, 2] = "true"
        yield

    return Model(
        'a "name" */',
        {
            "do": Flag(),
            "byte": Int(3),
            "rule": OneOf(Colour),
            "größe": Int(2),
            "gr__e": Int(2),
            "NULL": Int(2),
            "errno": Flag(),
            "linux": Flag(),
            "now": Array(OneOf("false", "true"), 2, 3, init=[["false"] * 3, ["true"] * 3]),
            "run_1": Flag(),
            "at_run_1": Flag(),
        },
        [Actor(run, name="run 1"), Actor(run, name="active"), Actor(run, name="Φ")],
        [never('is "quoted" */'), sometimes("grün", lambda m: m.rule is Colour.GREEN)],
    )


def members() -> Model:
    """Members chosen from their set, and what one does to another."""
    cpu = Symmetric("cpu", 3)

    def run(m: Any, me: Any) -> Any:
        other = m.choose(cpu)
        m.wait(not m.asleep[other])
        m.asleep[other] = True
        m.last = me
        yield "send to sleep"
        for one in cpu:
            if m.asleep[one] and m.last == me:
                m.asleep[one] = False
        m.reach("woken")
        yield "wake"

    return Model(
        "members",
        {"asleep": Array(Flag(), cpu), "last": Ref(cpu)},
        [Actor(run, per=cpu)],
        [no_deadlock(), sometimes("woken"), sometimes("one is last", lambda m: m.last is not None)],
    )


AWKWARD: dict[str, Callable[[], Model]] = {
    one.__name__: one
    for one in (
        two_locks,
        below_zero,
        stops,
        only_stops,
        end_waits,
        mixed_wait,
        calls,
        hidden,
        names,
        members,
    )
}
