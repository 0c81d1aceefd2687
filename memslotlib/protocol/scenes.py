"""The scenes in which APIs are compared: a change of layout, and what vCPUs do meanwhile.

Each has at least three slots and four frames, two of which one huge page may cover, and every vCPU
makes any of the accesses, three in a row: one search covers all programs of that length. They are
to all four frames in every way that the scene has, also to those that no update touches, unless
that is too much to search or makes no sense; ``smaller`` says so. A second address space is where a
scene is about SMM, for the reason in :data:`ONE_SPACE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .agents import SET_TABLE, START, STOP
from .apis import Api, today
from .exits import CHANGE_MAP, HOLD, RELEASE
from .mmio import generational
from .prefetch import PREFETCHED
from .program import Op, Program
from .sight import Sight
from .slots import Change, Slot
from .userspace import COPY, SETTLE
from .world import X86, Access, Kind, Policy, Via, World, every

#: Two frames under one huge page.
HUGE = (2, 3)
#: Why a scene that is not about SMM has one address space.
ONE_SPACE = (
    "One address space where a claim is not about SMM: an access outside of SMM looks at address "
    "space 0 alone, so nobody would look at the other one"
)


@dataclass(frozen=True)
class Scene:
    """A litmus test of the model: which layouts, which accesses, how many.

    ``smaller`` says how a bound is smaller than two vCPUs with three accesses each, of every kind
    and way to every frame, and why if not for the number of states. ``narrow`` are the accesses
    with which a third vCPU is affordable, where all are too many. ``vhost`` says when userspace
    hands it the new memory table: "before" or "after" the update, or while it is "stopped" around
    it. ``exits`` says what userspace does about exits that it completes by a map of its own: change
    the map "early" or "late", or hold them back and have them "drained". ``caches`` asks what is
    remembered of holes, where a policy does that; ``pointers`` makes KVM's own look-ups two steps.
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
    narrow: tuple[Access, ...] = ()
    outside: tuple[Access, ...] = ()
    waits: bool = False
    contender: Program | None = None
    vhost: str = ""
    exits: str = ""
    caches: bool = False
    pointers: bool = False

    def refusal(self, api: Api) -> str:
        """Return why nothing is asked of an API: what it cannot do, or what never happens."""
        refused = api.refusal(self.change)
        if not refused and self.exits == "drained":
            leaves = Sight(self.world(api)).own & {"none", "invalid"}
            return "" if leaves else "nobody leaves: there is no exit to complete"
        return refused

    def world(self, api: Api, policy: Policy = X86, *, more: int = 0, vcpus: int = 0) -> World:
        """Return the scene with the API's program; ``more`` accesses each, or other ``vcpus``.

        More vCPUs than the scene has make the accesses that are ``narrow``.
        """
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
        events = (*self.events, *([PREFETCHED] if policy.prefetches else []))
        caches = self.caches and policy.remembers
        if caches:
            program = generational(program)
        return World(
            name=f"{self.name}, {api.key}",
            change=self.change,
            programs=(program,),
            accesses=(self.narrow or self.accesses) if vcpus > self.vcpus else self.accesses,
            accesses_max=self.accesses_max + more,
            vcpus=vcpus or self.vcpus,
            policy=policy,
            huge=HUGE,
            mix=self.mix,
            smram=self.smram,
            events=events,
            outside=self.outside,
            waits=self.waits,
            contender=self.contender,
            exits=bool(self.exits),
            caches=caches,
            pointers=self.pointers,
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
#: One slot comes over the end of one and the beginning of another.
OVERLAP = Change((Slot("one", 0, 2), Slot("two", 2, 2)), (Slot("mid", 1, 2),))
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


def everywhere(scene: Scene) -> tuple[Access, ...]:
    """Return a scene's accesses in each of its ways, to every frame."""
    ways = dict.fromkeys((one.kind, one.via, one.as_id, one.npages) for one in scene.accesses)
    return tuple(
        Access(kind, gfn, via, as_id, pages)
        for kind, via, as_id, pages in ways
        for gfn in range(World.gfns + 1 - pages)
    )


def logged(change: Change) -> Change:
    """Return the change with dirty logging of every slot that it touches."""
    both = [slot for slot in change.before if slot in change.after]

    def log(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        return tuple(slot if slot in both else replace(slot, log=True) for slot in slots)

    return Change(log(change.before), log(change.after))


def _accesses(kinds: tuple[Kind, ...], *via: Via) -> tuple[Access, ...]:
    return every(kinds, (1, 2, 3), via)


def _everywhere(kinds: tuple[Kind, ...], *via: Via) -> tuple[Access, ...]:
    return every(kinds, range(World.gfns), via)


_LOADS: tuple[Kind, ...] = ("load",)
_STORES: tuple[Kind, ...] = ("store",)
_BOTH: tuple[Kind, ...] = ("load", "store")
#: Two frames that the processor stores to, one of which KVM stores to as well.
_LOGGED = (
    *every(_STORES, (1, 2), ("guest",)),
    *every(_STORES, (1,), ("emulator",)),
)
_LOGGED_MORE = (*_LOGGED, Access("store", 3, "emulator"))
#: Of each space one frame by the processor; the others, SMRAM's among them, by KVM.
_SMM = (
    *every(_LOADS, (1,), ("guest",)),
    *every(_LOADS, (1,), ("guest",), (1,)),
    *every(_LOADS, (0, 2, 3), ("emulator",)),
)


_ONE_FRAME_EACH = "the guest loads from one frame of each address space"
#: Why nobody accesses a frame of a scene with a log.
NO_LOG = "frame 0 is in a slot without a log, of which I5 asks nothing"

_ALL = (
    Scene("split+load", SPLIT, _everywhere(_LOADS, "guest")),
    Scene(
        "split+emulator",
        SPLIT,
        _everywhere(_LOADS, "guest", "emulator"),
        narrow=_accesses(_LOADS, "guest", "emulator"),
    ),
    Scene("split+fetch", SPLIT, _everywhere(("fetch",), "guest", "emulator")),
    Scene("split+walk", SPLIT, _everywhere(_LOADS, "guest", "walk")),
    Scene(
        "truncate+emulator",
        TRUNCATE,
        (*_accesses(_LOADS, "guest"), *_everywhere(_LOADS, "emulator")),
        smaller="frame 0 is accessed by KVM itself alone",
    ),
    Scene("truncate+shadowing", TRUNCATE, _everywhere(_LOADS, "walk")),
    Scene("merge+emulator", MERGE, _everywhere(_LOADS, "guest", "emulator")),
    Scene("grow+emulator", GROW, _everywhere(_LOADS, "guest", "emulator")),
    Scene("shift+load", SHIFT, _everywhere(_LOADS, "guest")),
    Scene(
        "shift+fetch",
        SHIFT,
        (*every(("fetch",), (0, 1, 2), ("guest",)), *_everywhere(("fetch",), "emulator")),
        smaller="frame 3 is accessed by KVM itself alone",
    ),
    Scene(
        "readonly+store",
        READONLY,
        (*_accesses(_BOTH, "guest"), *_everywhere(_BOTH, "emulator")),
        smaller="frame 0 is accessed by KVM itself alone",
    ),
    Scene(
        "hva-flip+store",
        FLIP,
        _accesses(_BOTH, "guest"),
        smaller="frame 0 is not accessed",
    ),
    Scene(
        "hva-flip+emulator",
        FLIP,
        (*every(_BOTH, (1, 2), ("guest", "emulator")), *every(_LOADS, (0, 3), ("emulator",))),
        smaller="frames 0 and 3 are only loaded from, by KVM itself",
    ),
    Scene(
        "hva-flip+prefetch",
        FLIP,
        every(_BOTH, (0, 1), ("guest",)),
        smaller="beside the frames of a huge page nothing is prefetched, and these have one here",
    ),
    Scene("move+load", MOVE, _everywhere(_LOADS, "guest")),
    Scene("move+emulator", MOVE, _everywhere(_LOADS, "guest", "emulator")),
    Scene(
        "split-logged+store",
        logged(SPLIT),
        (*every(_STORES, (1, 3), ("guest",)), Access("store", 1, "emulator")),
        smaller=f"{NO_LOG}; KVM itself stores to frame 1 alone",
    ),
    Scene(
        "truncate-logged+store",
        logged(TRUNCATE),
        _LOGGED_MORE,
        smaller=f"{NO_LOG}; frame 3 is accessed by KVM itself alone",
    ),
    Scene(
        "overlap-logged+store",
        logged(OVERLAP),
        every(_STORES, (1, 2), ("guest", "emulator")),
        smaller="frames 0 and 3 go, and I5 asks nothing of what has gone",
    ),
    Scene(
        "two-slots+load",
        PAIR,
        _everywhere(_LOADS, "guest"),
        mix=True,
        narrow=every(_LOADS, (1, 2), ("guest",)),
    ),
    Scene(
        "two-slots+emulator",
        PAIR,
        (*every(_LOADS, (1, 2), ("guest",)), *_everywhere(_LOADS, "emulator")),
        mix=True,
        smaller="frames 0 and 3 are accessed by KVM itself alone",
    ),
    Scene("batch-2as+smi", BOTH, _SMM, mix=True, smram=3, smaller=_ONE_FRAME_EACH),
    Scene("smram-split+smi", SMRAM_SPLIT, _SMM, smram=3, smaller=_ONE_FRAME_EACH),
)
_FLIPPED = every(_BOTH, (1,), ("guest",))
_BY_VHOST = every(_STORES, range(World.gfns), ("vhost",))
_BY_DEVICE = every(_STORES, range(World.gfns), ("device",))
_ONE_FRAME = "the guest accesses one frame, and vhost all four"
_TWO_FRAMES = (
    "the guest loads from the two frames of the huge page, and the device stores to all four"
)
_PLUGGED = "frame 0 is what the other thread plugs: it has no page before the update or after it"
#: Another thread plugs memory in where there is none yet, in the middle of a split.
_SPLIT_ALONE = Change((OLD,), SPLIT.come)
_PLUG = Program(today.create(OTHER), "plug")


def _by_vhost(name: str, when: str) -> Scene:
    return Scene(name, FLIP, _FLIPPED, outside=_BY_VHOST, vhost=when, smaller=_ONE_FRAME)


def _by_device(name: str, **more: Any) -> Scene:
    loads = every(_LOADS, HUGE, ("guest",))
    return Scene(name, SPLIT, loads, outside=_BY_DEVICE, smaller=_TWO_FRAMES, **more)


_OUTSIDE = (
    _by_vhost("hva-flip+vhost", "after"),
    _by_vhost("hva-flip+vhost-first", "before"),
    _by_vhost("hva-flip+vhost-stopped", "stopped"),
    _by_device("split+device"),
    _by_device("split+waiting-device", waits=True),
    Scene(
        "split+contender",
        _SPLIT_ALONE,
        _accesses(_LOADS, "guest"),
        contender=_PLUG,
        smaller=_PLUGGED,
    ),
)
#: KVM looks slots up in two steps, for vCPUs and by a device.
_POINTERS = tuple(
    Scene(
        f"{name}+pointer",
        change,
        _everywhere(_LOADS, "emulator"),
        outside=_BY_DEVICE,
        pointers=True,
    )
    for name, change in (("split", SPLIT), ("truncate", TRUNCATE), ("hva-flip", FLIP))
)
_LEAVING = (*every(_BOTH, (2,), ("guest", "emulator")), Access("load", 0, "emulator"))
_ONE_LEAVES = "accesses to frame 2 leave, and frame 0 is loaded from by KVM"
_EXITS = (
    Scene("hva-flip+early-exit", FLIP, _LEAVING, exits="early", smaller=_ONE_LEAVES),
    Scene("hva-flip+exit", FLIP, _LEAVING, exits="late", smaller=_ONE_LEAVES),
    Scene(
        "hva-flip+drained-exit",
        FLIP,
        _LEAVING,
        exits="drained",
        events=("an access gets to memory", "an exit is completed"),
        smaller=_ONE_LEAVES,
    ),
)


def _over(name: str, change: Change, low: int) -> Scene:
    over = (Access(kind, low, "emulator", npages=2) for kind in _BOTH)
    accesses = (*every(_LOADS, (low, low + 1), ("guest",)), *over)
    return Scene(name, change, accesses, smaller="all accesses are to one pair of frames")


_STRADDLING = (
    _over("split+straddle", SPLIT, 2),
    _over("two-slots+straddle", PAIR, 1),
)

#: A slot grows in address space 0, at a frame where address space 1 has SMRAM.
_LOW = Slot("low.smm", 0, 2, as_id=1)
_ISOLATED = Change((*GROW.before, _LOW, SMRAM), (*GROW.after, _LOW, SMRAM))
#: SMRAM comes, at a frame where address space 1 had no slot.
_SMRAM_COMES = Change((Slot("ram", 0, 3), _LOW), (Slot("ram", 0, 3), _LOW, SMRAM))
_HOLE = every(_LOADS, (3,), ("guest",))
_IN_SMM = every(_LOADS, range(World.gfns), ("emulator",), (1,))


def _cached(name: str, change: Change, accesses: tuple[Access, ...], **more: Any) -> Scene:
    events = "an access gets to memory", "a remembered hole is believed"
    return Scene(name, change, accesses, events=events, caches=True, **more)


_TOUCHED = "the guest loads from frames that the update is about"
_CACHED = (
    Scene(
        "split-cached+emulator",
        SPLIT,
        (Access("load", 1), *_everywhere(_LOADS, "emulator")),
        caches=True,
        smaller=_TOUCHED,
    ),
    _cached(
        "grow-cached+emulator",
        GROW,
        (*every(_LOADS, (1, 3), ("guest",)), *_everywhere(_LOADS, "emulator")),
        smaller=_TOUCHED,
    ),
    _cached(
        "move-cached+emulator",
        MOVE,
        (*_HOLE, *_everywhere(_LOADS, "emulator")),
        smaller=_TOUCHED,
    ),
    _cached(
        "batch-2as-cached+emulator",
        BOTH,
        (*_HOLE, Access("load", 1, "emulator", 1)),
        smaller="accesses are to one frame of each address space",
    ),
    _cached(
        "grow-isolated+smi",
        _ISOLATED,
        (*_HOLE, Access("load", 3, "guest", 1), Access("load", 2, "walk", 1)),
        smram=3,
        smaller="accesses are to one frame in each way",
    ),
    _cached(
        "grow-isolated+emulator",
        _ISOLATED,
        (*_HOLE, *_IN_SMM),
        smaller=_TOUCHED,
    ),
    _cached(
        "create-smm-cached+emulator",
        _SMRAM_COMES,
        (Access("load", 1), Access("load", 3, "guest", 1), *_IN_SMM),
        smaller=_TOUCHED,
    ),
)

#: By the name that claims use.
SCENES: Mapping[str, Scene] = {
    scene.name: scene for scene in (*_ALL, *_OUTSIDE, *_POINTERS, *_EXITS, *_STRADDLING, *_CACHED)
}
