"""What the tests of the model share: small worlds, single steps, and mutants put to the search."""

from __future__ import annotations

from typing import Any

from memslotlib.check import Result, explore
from memslotlib.protocol.model import model
from memslotlib.protocol.program import MARKS, Op, Program
from memslotlib.protocol.properties import violated
from memslotlib.protocol.sequential import Running, Sequential
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.vcpu import lookup
from memslotlib.protocol.world import X86, Access, Policy, World

OLD, NEW = Slot("old", 0, 2), Slot("new", 0, 2, "B")
LOW, HIGH = Slot("low", 0, 1), Slot("high", 1, 1)
GONE = Change((OLD,), ())
COME = Change((), (OLD,))
FLIP = Change((OLD,), (NEW,))
SPLIT = Change((OLD,), (LOW, HIGH))
LOAD, STORE = Access("load", 0), Access("store", 0)
EMULATED = Access("load", 0, "emulator")


def world(change: Change, *programs: Program, **more: Any) -> World:
    """Return a world of two vCPUs and two frames, with these programs."""
    parts = {"accesses": (LOAD,), "accesses_max": 2, "gfns": 2, "events": (), **more}
    return World("small", change, programs, **parts)


def stage(change: Change, *ops: Op, policy: Policy = X86, **more: Any) -> Sequential:
    """Return actors at rest, and an updater that would run these steps."""
    events = ("an access gets to memory", "an access meets a hole", "a fault is retried")
    parts = {"events": events, "policy": policy, **more}
    return Sequential(world(change, Program(ops), **parts))


def seen(on: Sequential, gfn: int = 0, as_id: int = 0) -> str:
    """Return what a look-up of a frame finds: a slot's name, or a dash."""
    return str(lookup(on.m, as_id, gfn) or "-")


def until(actor: Running, beginning: str) -> None:
    """Step an actor up to, and with, the step whose label begins so."""
    while not actor.label.startswith(beginning):
        assert actor.step(), f"no step {beginning!r} before {actor.label!r}"


def moments(on: Sequential, gfn: int = 0) -> list[str]:
    """Run the update; return what look-ups of a frame find, each different answer once in a row."""
    found, update = [seen(on, gfn)], on.update()
    while update.step():
        if seen(on, gfn) != found[-1]:
            found.append(seen(on, gfn))
    assert update.is_over
    return found


def broken(w: World) -> set[str]:
    """Return the ids of the properties that a search finds violated: I1, I3a, ..."""
    return set(violated(searched(w)))


def searched(w: World) -> Result:
    """Return the exploration of a world, without traces."""
    return explore(model(w), traces=False)


def survivors(*worlds: World) -> set[str]:
    """Return the steps whose deletion breaks nothing in any of the worlds.

    Each world has one program, of the same steps. What a world breaks anyhow does not count.
    """
    known = [broken(w) for w in worlds]
    program = worlds[0].programs[0]
    found = set()
    for number, op in enumerate(program):
        tried = zip(worlds, known, strict=True)
        if op.step.__name__ not in MARKS and not any(
            broken(w.mutated(w.programs[0].without(number))) - before for w, before in tried
        ):
            found.add(f"{number + 1} {op}")
    return found


def count(program: Program, step: str) -> int:
    """Return how often a program takes a step of this name."""
    return sum(op.step.__name__ == step for op in program)
