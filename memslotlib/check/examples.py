"""Small models whose counts are published, for tests, for the book, and as a place to start.

None of them is about memslots.
"""

from __future__ import annotations

from typing import Any

from .kinds import Array, Flag, Int, OneOf, Symmetric
from .model import (
    Actor,
    Model,
    always,
    can_always_reach,
    interval,
    never,
    no_deadlock,
    sometimes,
)


def increment(threads: int = 2) -> Model:
    """Threads that add one to a counter with a load and a store: an update can be lost.

    13 states for two threads, 8 up to their permutation (Stateright's example ``increment``).
    """
    thread = Symmetric("thread", threads)

    def add_one(m: Any, me: Any) -> Any:
        m.seen[me] = m.counter
        yield "load"
        m.counter = m.seen[me] + 1
        m.done += 1
        if m.done == threads and m.counter < threads:
            m.fail("no lost update", f"{threads} threads are done, the counter is {m.counter}")
        yield "store"

    return Model(
        "increment",
        {
            "counter": Int(threads + 1),
            "done": Int(threads + 1),
            "seen": Array(Int(threads + 1), thread),
        },
        [Actor(add_one, per=thread)],
        [
            never("no lost update"),
            sometimes("both added", lambda m: m.counter == threads),
            no_deadlock(),
        ],
    )


def _resource_manager(m: Any, me: Any) -> Any:
    while True:
        what = m.choose(("prepare", "abort", "receive commit", "receive abort"))
        if what == "prepare":
            m.wait(m.state[me] == "working")
            m.state[me] = "prepared"
            m.sent_prepared[me] = True
        elif what == "abort":
            m.wait(m.state[me] == "working")
            m.state[me] = "aborted"
        elif what == "receive commit":
            m.wait(m.sent_commit)
            m.state[me] = "committed"
        else:
            m.wait(m.sent_abort)
            m.state[me] = "aborted"
        yield what


def _transaction_manager(m: Any, rm: Symmetric) -> Any:
    while True:
        what = m.choose(("receive prepared", "commit", "abort"))
        m.wait(m.decided == "no")
        if what == "receive prepared":
            who = m.choose(rm)
            m.wait(m.sent_prepared[who])
            m.seen_prepared[who] = True
        elif what == "commit":
            m.wait(all(m.seen_prepared))
            m.decided = "committed"
            m.sent_commit = True
        else:
            m.decided = "aborted"
            m.sent_abort = True
        yield what


def two_phase_commit(managers: int = 3) -> Model:
    """Resource managers and a transaction manager agree to commit or to abort.

    The specification TwoPhase of Gray and Lamport: 288 states, 1146 generated, depth 11 for three
    resource managers; 8,832 states for five, 296,448 for seven (TLC; Stateright's example 2pc).
    """
    rm = Symmetric("rm", managers)

    def is_consistent(m: Any) -> bool:
        states = list(m.state)
        return not ("committed" in states and "aborted" in states)

    return Model(
        f"2pc-{managers}",
        {
            "state": Array(OneOf("working", "prepared", "committed", "aborted"), rm),
            "sent_prepared": Array(Flag(), rm),
            "seen_prepared": Array(Flag(), rm),
            "decided": OneOf("no", "committed", "aborted"),
            "sent_commit": Flag(),
            "sent_abort": Flag(),
        },
        [
            Actor(_resource_manager, per=rm, name="rm"),
            Actor(_transaction_manager, rm, name="tm"),
        ],
        [
            always("consistent", is_consistent),
            sometimes("all commit", lambda m: all(one == "committed" for one in m.state)),
            sometimes("all abort", lambda m: all(one == "aborted" for one in m.state)),
        ],
    )


def peterson(*, forgets_turn: bool = False) -> Model:
    """Peterson's mutual exclusion of two threads; with a fault, nobody gives way."""

    def thread(m: Any, me: int) -> Any:
        other = 1 - me
        while True:
            m.wants[me] = True
            yield "want"
            if not forgets_turn:
                m.turn = other
            yield "give way"
            m.wait(not m.wants[other] or m.turn == me)
            m.inside[me] = True
            yield "enter"
            m.inside[me] = m.wants[me] = False
            yield "leave"

    return Model(
        "peterson",
        {"wants": Array(Flag(), 2), "inside": Array(Flag(), 2), "turn": Int(2)},
        [Actor(thread, me, name=f"thread{me}") for me in range(2)],
        [
            always("mutual exclusion", lambda m: not (m.inside[0] and m.inside[1])),
            sometimes("thread 0 enters", lambda m: m.inside[0]),
            sometimes("thread 1 enters", lambda m: m.inside[1]),
            no_deadlock(),
            can_always_reach("thread 0 inside", lambda m: m.inside[0]),
        ],
        intervals=[
            interval("thread 0 inside", lambda m: m.inside[0]),
            interval("thread 1 inside", lambda m: m.inside[1]),
        ],
    )
