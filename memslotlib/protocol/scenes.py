"""The scenes in which APIs are compared: a change of layout, and what vCPUs do meanwhile.

Each has at least three slots and four frames, two of which one huge page may cover, and every vCPU
makes any of the accesses, three in a row: one search covers all programs of that length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .agents import SET_TABLE, START, STOP
from .apis import Api, today
from .exits import CHANGE_MAP, HOLD, RELEASE
from .mmio import generational
from .program import Op, Program
from .slots import Change, Slot
from .userspace import COPY, SETTLE
from .world import X86, Access, Kind, Policy, Via, World, every

#: Two frames under one huge page.
HUGE = (2, 3)


@dataclass(frozen=True)
class Scene:
    """A litmus test of the model: which layouts, which accesses, how many.

    ``smaller`` says why a bound is smaller than two vCPUs with three accesses each. ``vhost`` says
    when userspace hands it the new memory table: "before" or "after" the update, or while it is
    "stopped" around it. ``exits`` says what userspace does about exits that it completes by a map
    of its own: change the map "early" or "late", or hold them back and have them "drained".
    ``caches`` asks what is remembered of holes, where a policy does that.
    """

    name: str
    change: Change
    accesses: tuple[Access, ...]
    vcpus: int = 2
    accesses_max: int = 3
    mix: bool = False
    smram: int | None = None
    events: tuple[str, ...] = ("an access gets to memory",)
    smaller: str = ""
    outside: tuple[Access, ...] = ()
    waits: bool = False
    contender: Program | None = None
    vhost: str = ""
    exits: str = ""
    caches: bool = False

    def refusal(self, api: Api) -> str:
        """Return why the API cannot make the change; empty if it can."""
        return api.refusal(self.change)

    def world(self, api: Api, policy: Policy = X86, *, more: int = 0, vcpus: int = 0) -> World:
        """Return the scene with the API's program; ``more`` accesses each, or other ``vcpus``."""
        program = api.build(self.change, policy, HUGE)
        if any(slot.log for slot in self.change.before):
            program = Program((*program.ops, SETTLE), program.name)
        around = program.ops
        if self.vhost:
            around = VHOST[self.vhost](around)
        if self.exits:
            around = EXITS[self.exits](around)
        if self.vhost or self.exits:
            tables = (SET_TABLE, CHANGE_MAP) if api.keeps_slots else ()
            program = Program(tuple(op for op in around if op not in tables), program.name)
        caches = self.caches and policy.remembers
        if caches:
            program = generational(program)
        return World(
            name=f"{self.name}, {api.key}",
            change=self.change,
            programs=(program,),
            accesses=self.accesses,
            accesses_max=self.accesses_max + more,
            vcpus=vcpus or self.vcpus,
            policy=policy,
            huge=HUGE,
            mix=self.mix,
            smram=self.smram,
            events=self.events,
            outside=self.outside,
            waits=self.waits,
            contender=self.contender,
            exits=bool(self.exits),
            caches=caches,
        )


#: What userspace does about vhost around an update.
VHOST: Mapping[str, Callable[[tuple[Op, ...]], tuple[Op, ...]]] = {
    "before": lambda ops: (SET_TABLE, *ops),
    "after": lambda ops: (*ops, SET_TABLE),
    "stopped": lambda ops: (*STOP, *ops, SET_TABLE, START),
}


def _drained(ops: tuple[Op, ...]) -> tuple[Op, ...]:
    place = ops.index(COPY) if COPY in ops else 0
    return (*ops[:place], *HOLD, *ops[place:], CHANGE_MAP, RELEASE)


#: What userspace does about its own map, and about exits that it completes by that.
EXITS: Mapping[str, Callable[[tuple[Op, ...]], tuple[Op, ...]]] = {
    "early": lambda ops: (CHANGE_MAP, *ops),
    "late": lambda ops: (*ops, CHANGE_MAP),
    "drained": _drained,
}


OTHER = Slot("other", 0, 1)
OLD = Slot("old", 1, 3)
SPLIT = Change((OTHER, OLD), (OTHER, Slot("low", 1, 2), Slot("high", 3, 1)))
TRUNCATE = Change((OTHER, OLD), (OTHER, Slot("short", 1, 2)))
MERGE = Change((OTHER, Slot("low", 1, 2), Slot("high", 3, 1)), (OTHER, OLD))
GROW = Change((OTHER, Slot("short", 1, 2)), (OTHER, OLD))
#: One slot doubles, another halves: what QEMU did in the bug of the RFC's cover letter.
SHIFT = Change(
    (Slot("left", 0, 1), Slot("right", 1, 2), Slot("last", 3, 1)),
    (Slot("left'", 0, 2), Slot("right'", 2, 1), Slot("last", 3, 1)),
)
READONLY = Change((OTHER, OLD), (OTHER, replace(OLD, name="rom", readonly=True)))
FLIP = Change((OTHER, OLD), (OTHER, Slot("new", 1, 3, "B")))
MOVE = Change((OTHER, Slot("here", 1, 2)), (OTHER, Slot("there", 2, 2, "A-1")))
#: Two slots get another backing at once.
PAIR = Change(
    (OTHER, Slot("one", 1, 1), Slot("two", 2, 2)),
    (OTHER, Slot("one'", 1, 1, "B"), Slot("two'", 2, 2, "B")),
)
#: The same frames in both address spaces get another backing at once; SMRAM stays.
SMRAM = Slot("smram", 3, 1, "S", as_id=1)
BOTH = Change(
    (Slot("ram", 0, 3), Slot("ram.smm", 0, 3, as_id=1), SMRAM),
    (Slot("ram'", 0, 3, "B"), Slot("ram.smm'", 0, 3, "B", as_id=1), SMRAM),
)
#: SMRAM itself is part of a slot that is split.
SMRAM_SPLIT = Change(
    (Slot("ram", 0, 4), Slot("low.smm", 0, 2, as_id=1), Slot("top.smm", 2, 2, "S", as_id=1)),
    (
        Slot("ram", 0, 4),
        Slot("low.smm", 0, 2, as_id=1),
        Slot("mid.smm", 2, 1, "S", as_id=1),
        Slot("top.smm'", 3, 1, "S", as_id=1),
    ),
)


def logged(change: Change) -> Change:
    """Return the change with dirty logging of every slot that it touches."""
    both = [slot for slot in change.before if slot in change.after]

    def log(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        return tuple(slot if slot in both else replace(slot, log=True) for slot in slots)

    return Change(log(change.before), log(change.after))


def _accesses(kinds: tuple[Kind, ...], *via: Via) -> tuple[Access, ...]:
    return every(kinds, (1, 2, 3), via)


_LOADS: tuple[Kind, ...] = ("load",)
_STORES: tuple[Kind, ...] = ("store",)
_BOTH: tuple[Kind, ...] = ("load", "store")
#: Two frames that the processor stores to, one of which KVM stores to as well.
_LOGGED = (
    *every(_STORES, (1, 2), ("guest",)),
    *every(_STORES, (1,), ("emulator",)),
)
_SMM = (
    *every(_LOADS, (1,), ("guest",)),
    *every(_LOADS, (1,), ("guest",), (1,)),
    *every(_LOADS, (2,), ("emulator",)),
)

_ALL = (
    Scene("split+load", SPLIT, _accesses(_LOADS, "guest")),
    Scene("split+emulator", SPLIT, _accesses(_LOADS, "guest", "emulator")),
    Scene("split+fetch", SPLIT, _accesses(("fetch",), "guest", "emulator")),
    Scene("split+walk", SPLIT, _accesses(_LOADS, "guest", "walk")),
    Scene("truncate+emulator", TRUNCATE, _accesses(_LOADS, "guest", "emulator")),
    Scene("merge+emulator", MERGE, _accesses(_LOADS, "guest", "emulator")),
    Scene("grow+emulator", GROW, _accesses(_LOADS, "guest", "emulator")),
    Scene("shift+load", SHIFT, every(_LOADS, (0, 1, 2), ("guest",))),
    Scene("shift+fetch", SHIFT, every(("fetch",), (0, 1, 2), ("guest", "emulator"))),
    Scene("readonly+store", READONLY, _accesses(_BOTH, "guest", "emulator")),
    Scene("hva-flip+store", FLIP, _accesses(_BOTH, "guest")),
    Scene("hva-flip+emulator", FLIP, every(_BOTH, (1, 2), ("guest", "emulator"))),
    Scene("move+load", MOVE, _accesses(_LOADS, "guest")),
    Scene("move+emulator", MOVE, _accesses(_LOADS, "guest", "emulator")),
    Scene("split-logged+store", logged(SPLIT), _LOGGED),
    Scene("truncate-logged+store", logged(TRUNCATE), _LOGGED),
    Scene("two-slots+load", PAIR, every(_LOADS, (1, 2), ("guest",)), mix=True),
    Scene("two-slots+emulator", PAIR, every(_LOADS, (1, 2), ("guest", "emulator")), mix=True),
    Scene("batch-2as+smi", BOTH, _SMM, mix=True, smram=3),
    Scene("smram-split+smi", SMRAM_SPLIT, _SMM, smram=3),
)
_FLIPPED = every(_BOTH, (1,), ("guest",))
_BY_VHOST = every(_STORES, (1,), ("vhost",))
_BY_DEVICE = every(_STORES, (1, 3), ("device",))
_SMALLER = "two accesses of each vCPU: somebody else makes two as well"
#: Another thread plugs memory in where there is none yet, in the middle of a split.
_SPLIT_ALONE = Change((OLD,), SPLIT.come)
_PLUG = Program(today.create(OTHER), "plug")


def _outside(name: str, change: Change, accesses: tuple[Access, ...], **more: Any) -> Scene:
    return Scene(name, change, accesses, accesses_max=2, smaller=_SMALLER, **more)


_OUTSIDE = (
    _outside("hva-flip+vhost", FLIP, _FLIPPED, outside=_BY_VHOST, vhost="after"),
    _outside("hva-flip+vhost-first", FLIP, _FLIPPED, outside=_BY_VHOST, vhost="before"),
    _outside("hva-flip+vhost-stopped", FLIP, _FLIPPED, outside=_BY_VHOST, vhost="stopped"),
    _outside("split+device", SPLIT, _accesses(_LOADS, "guest"), outside=_BY_DEVICE),
    _outside(
        "split+waiting-device", SPLIT, _accesses(_LOADS, "guest"), outside=_BY_DEVICE, waits=True
    ),
    _outside("split+contender", _SPLIT_ALONE, _accesses(_LOADS, "guest"), contender=_PLUG),
)
_LEAVING = every(_BOTH, (2,), ("guest", "emulator"))
_EXITS = (
    Scene("hva-flip+early-exit", FLIP, _LEAVING, exits="early"),
    Scene("hva-flip+exit", FLIP, _LEAVING, exits="late"),
    Scene("hva-flip+drained-exit", FLIP, _LEAVING, exits="drained"),
)


def _over(low: int, high: int) -> tuple[Access, ...]:
    over = (Access(kind, low, "emulator", npages=high - low + 1) for kind in _BOTH)
    return (*every(_LOADS, (low, high), ("guest",)), *over)


_STRADDLING = (
    Scene("split+straddle", SPLIT, _over(2, 3)),
    Scene("two-slots+straddle", PAIR, _over(1, 2)),
)

#: A slot grows in address space 0, at a frame where address space 1 has SMRAM.
_LOW = Slot("low.smm", 0, 2, as_id=1)
_ISOLATED = Change((*GROW.before, _LOW, SMRAM), (*GROW.after, _LOW, SMRAM))
#: SMRAM comes, at a frame where address space 1 had no slot.
_SMRAM_COMES = Change((Slot("ram", 0, 3), _LOW), (Slot("ram", 0, 3), _LOW, SMRAM))
_HOLE = every(_LOADS, (3,), ("guest",))
_SMRAM = Access("load", 3, "emulator", 1)


def _cached(name: str, change: Change, accesses: tuple[Access, ...], **more: Any) -> Scene:
    events = "an access gets to memory", "a remembered hole is believed"
    return Scene(name, change, accesses, events=events, caches=True, **more)


_CACHED = (
    Scene("split-cached+emulator", SPLIT, every(_LOADS, (1,), ("guest", "emulator")), caches=True),
    _cached("grow-cached+emulator", GROW, every(_LOADS, (1, 3), ("guest", "emulator"))),
    _cached(
        "move-cached+emulator",
        MOVE,
        (*every(_LOADS, (3,), ("guest", "emulator")), Access("load", 2, "emulator")),
    ),
    _cached("batch-2as-cached+emulator", BOTH, (*_HOLE, Access("load", 1, "emulator", 1))),
    _cached(
        "grow-isolated+smi",
        _ISOLATED,
        (*_HOLE, Access("load", 3, "guest", 1), Access("load", 2, "walk", 1)),
        smram=3,
    ),
    _cached("grow-isolated+emulator", _ISOLATED, (*_HOLE, _SMRAM)),
    _cached(
        "create-smm-cached+emulator",
        _SMRAM_COMES,
        (Access("load", 1), Access("load", 3, "guest", 1), _SMRAM),
    ),
)

#: By the name that claims use.
SCENES: Mapping[str, Scene] = {
    scene.name: scene for scene in (*_ALL, *_OUTSIDE, *_EXITS, *_STRADDLING, *_CACHED)
}
