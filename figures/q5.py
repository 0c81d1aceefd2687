"""Q5 in sentences: when KVM has to invalidate and flush, from what the model says of each API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from memslotlib.check import Trace, explore
from memslotlib.evidence import DATA, Record, read
from memslotlib.litmus_model import POLICIES
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.history import BUGS
from memslotlib.protocol.model import model
from memslotlib.protocol.program import MARKS, Op
from memslotlib.protocol.properties import stated, violated
from memslotlib.protocol.scenes import SCENES
from memslotlib.protocol.world import World
from memslotlib.provenance import code_digest
from memslotlib.recheck import FILE, MODULES
from memslotlib.verdict import Word
from memslotlib.views.prose import Said, say
from memslotlib.views.tables import Cell, Table

from .verdicts import Recorded, listed, recorded, violating

_UNRECORDED = (
    "**In one line: NOT RUN.** Nothing is recorded; `memslots claims --record` records it."
)
#: What the record of all orders is called.
ORDERS = "orders-hva-flip"
#: The claims about a slot with another hva: nothing stale, no mix, no lost store, no hole.
SOUND_CLAIMS = (1, 2, 3, 4, 5, 16)
_ANSWER = (
    "**In one line.** Frames that keep their page need neither; frames that lose it have to be "
    "zapped and flushed after no look-up finds the old slot and before the update returns; frames "
    "that get another page need a quiescent period as well, in which userspace copies. Swapping "
    "first and flushing later lets some stores hit the old page and some the new ({mixed}). With "
    "the copy outside of the quiescent period stores are lost ({lost}). Without a hole, without a "
    "mix and without a lost store are only: {sound}."
)


def answer(records: Mapping[str, Recorded] | None = None) -> Said:
    """Return the chapter's answer, its lists taken from the records."""
    found = recorded("Q5") if records is None else records
    if not found:
        return Said(_UNRECORDED)
    return say(
        _ANSWER,
        mixed=violating("Q5.3", found),
        lost=violating("Q5.4", found),
        sound=sound(found),
    )


def orders(records: Sequence[Record] | None = None) -> Table | Said:
    """Return how many orders of the steps without a quiescent period violate which properties."""
    found = read(DATA / FILE) if records is None else records
    made = [one for one in found if one.experiment == ORDERS]
    if not made:
        return Said(_UNRECORDED)
    counts = sorted(made[-1].result["violated"].items(), key=lambda item: -item[1])
    total = sum(count for _, count in counts)
    rows = [(count, names or "nothing: this order is sound") for names, count in counts]
    stale = ", stale" if made[-1].is_stale(code_digest(*MODULES)) else ""
    return Table(("Orders", "Violate"), [*rows, (total, f"all orders{stale}")])


def sound_orders(records: Sequence[Record] | None = None) -> Said:
    """Return how many of the orders violate nothing, in a sentence."""
    found = read(DATA / FILE) if records is None else records
    made = [one for one in found if one.experiment == ORDERS]
    if not made:
        return Said(_UNRECORDED)
    counts = made[-1].result["violated"]
    return say(
        "Of these {total:,} orders {sound} sound.",
        total=sum(counts.values()),
        sound=f"{counts['']:,} are" if counts.get("") else "none is",
    )


#: Properties of what a kernel has to keep in order, which nobody outside sees broken.
_INSIDE = ("I1", "I7", "I8", "I12")
#: Why nothing here breaks without a step that is needed all the same.
REASONS: Mapping[str, str] = {
    "take slots lock": "nobody else updates in this scene",
    "release slots lock": "nobody else wants the lock afterwards in this scene",
    "begin copy": "only marks when userspace begins to copy",
    "free": "a leak, which is no property here",
}


def justified(api: str, scene: str = "hva-flip+store", policy: str = "x86-slot-zap") -> Table:
    """Leave out each step of an API's program in turn; a row each, with what breaks without it.

    Two accesses of each vCPU, in the scene and under the policy named; the scene's narrow ones.
    """
    rows = []
    for number, op, world in _without(api, scene, policy):
        broken = violated(explore(model(world), traces=False))
        told = ", ".join(f"{name} in {steps}" for name, steps in broken.items())
        rows.append((number, str(op), told or _reason(str(op))))
    return Table(("", "Step", "Without it"), rows)


def justifications(
    api: str, scene: str = "hva-flip+store", policy: str = "x86-slot-zap"
) -> Iterator[tuple[int, str, Trace]]:
    """Yield each step without which something breaks, and the shortest trace of how.

    What a guest or its data suffers is told before what is wrong inside the kernel alone.
    """
    for number, op, world in _without(api, scene, policy):
        found = explore(model(world))
        if broken := violated(found):
            told = min(broken, key=lambda one: (one in _INSIDE, broken[one]))
            yield number, str(op), found.trace(stated(told).name)


def _without(api: str, scene: str, policy: str) -> Iterator[tuple[int, Op, World]]:
    """Yield each step of an API's program, its number, and the world without it."""
    accesses = SCENES[scene].narrow or SCENES[scene].accesses
    world = replace(
        SCENES[scene].world(APIS[api], POLICIES[policy]), accesses=accesses, accesses_max=2
    )
    (program,) = world.programs
    for number, op in enumerate(program):
        if op.step.__name__ not in MARKS:
            yield number + 1, op, world.mutated(program.without(number))


def _reason(op: str) -> str:
    for name, reason in REASONS.items():
        if op.startswith(name):
            return f"nothing: {reason}"
    return "nothing, in this scene"


def history() -> Table:
    """Explore each bug of the past before its fix and after it; a row each."""
    rows = []
    for bug in BUGS:
        before, after = explore(bug.before(), traces=False), explore(bug.after(), traces=False)
        broken = [one for one in before.verdicts.values() if one.verdict.word is Word.VIOLATED]
        first = min((one.after_steps for one in broken if one.after_steps >= 0), default=-1)
        found = Cell(f"VIOLATED in {first}", "verdict violated") if broken else Cell("not found")
        good = Cell("HOLDS", "verdict holds") if after.ok else Cell("VIOLATED", "verdict violated")
        rows.append((bug.commit, bug.title, ", ".join(bug.breaks), found, good))
    return Table(("Commit", "Fix", "Breaks", "Before", "After"), rows)


def sound(records: Mapping[str, Recorded]) -> str:
    """Return the APIs for which every claim about a new page holds."""
    keys = [
        {cell.api for cell in records[f"Q5.{n}"].cells if cell.word == Word.HOLDS.value}
        for n in SOUND_CLAIMS
        if f"Q5.{n}" in records
    ]
    return listed(
        api.title for api in APIS.values() if keys and all(api.key in one for one in keys)
    )
