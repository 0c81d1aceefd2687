"""An update copied a slot's metadata before it held their lock, and published what was outdated.

Before: the first shadow root of a VM allocates reverse maps in every slot, under slots_arch_lock,
and then says that they exist. An update of a slot copies the slot, takes slots_arch_lock after
that, and publishes a slot made from the copy. If the first root comes in between, the copy has no
reverse map, and so has the slot that is published; who sees that reverse maps exist will use one
that is not there, and the one that was allocated is lost.

The fix: slots_arch_lock is taken first; nothing is copied without it.

Source: the text of the commit, read in an archive: it says that outdated data could be used, and
gives the order. What comes of it, as told above, is a reading, and the version is from memory.

That slots_arch_lock is let go before the grace period is not this bug's; :func:`lock_kept` shows
why. A vCPU wants the lock inside of an SRCU section, so who keeps it and waits for readers waits
for ever.

Left out: DELETE and MOVE, which take slots_arch_lock twice; what the reverse maps hold.
"""

from __future__ import annotations

from typing import Any

from ...check import Array, Flag, Model, always, sometimes, step
from ..kernel import LOCK, RETURN, UNLOCK, free, publish, replace, synchronize
from ..model import model
from ..program import Op, Program
from ..slots import Change, Slot
from ..state import OUTSIDE, READING
from ..vcpu import guest_access, lookup
from ..world import Access, World
from .bug import Bug, extended

#: Which flags differ is of no account here.
OLD, NEW = Slot("s", 0, 1), Slot("s2", 0, 1)
#: Where ``rmap`` says whether a slot has its reverse map.
PLACES = (OLD, NEW)

BREAKS = "every slot has a reverse map once they exist"
WINDOW = "reverse maps come while an update is under way"


@step
def take_arch_lock(m: Any, w: World) -> Any:
    """``mutex_lock(&kvm->slots_arch_lock)``."""
    m.wait(not m.arch_lock)
    m.arch_lock = True
    yield "mutex_lock(slots_arch_lock)"


@step
def copy_metadata(m: Any, w: World) -> Any:
    """Make the new slot from the old one."""
    m.rmap[1] = m.rmap[0]
    yield f"copy {OLD} to {NEW}"


@step
def release_arch_lock(m: Any, w: World) -> Any:
    """``mutex_unlock()``, before the grace period."""
    m.arch_lock = False
    yield "mutex_unlock(slots_arch_lock)"


def first_root(m: Any, w: World, v: Any, access: Access) -> Any:
    """``mmu_first_shadow_root_alloc()``: give every active slot a reverse map, then say so."""
    m.srcu[v] = READING
    yield "first shadow root: srcu_read_lock"
    m.wait(not m.arch_lock)
    m.arch_lock = True
    yield "first shadow root: mutex_lock(slots_arch_lock)"
    if not m.rmaps_exist:
        if m.slots_lock:
            m.reach("reverse maps come while an update is under way")
        slot = lookup(m, 0, 0)
        if slot is not None:
            m.rmap[PLACES.index(slot)] = True
        yield "first shadow root: allocate reverse maps"
        m.rmaps_exist = True
        yield "first shadow root: reverse maps exist"
    m.arch_lock = False
    yield "first shadow root: mutex_unlock(slots_arch_lock)"
    m.srcu[v] = OUTSIDE
    yield "first shadow root: srcu_read_unlock"


def flags(*, copies_first: bool, keeps_lock: bool = False) -> Program:
    """KVM_MR_FLAGS_ONLY, with the copy before the lock or under it."""
    lock, copy, unlock = Op(take_arch_lock), Op(copy_metadata), Op(release_arch_lock)
    begin = (copy, lock) if copies_first else (lock, copy)
    put = replace(OLD, NEW)
    end = (*synchronize(), unlock) if keeps_lock else (unlock, *synchronize())
    swap = Op(publish, (0,)), *end
    return Program((LOCK, *begin, put, *swap, put, Op(free, (OLD,)), UNLOCK, RETURN), "flags")


def made(program: Program) -> Model:
    """Return the model of one order, while two vCPUs want a shadow root."""
    w = World(
        "copy and lock",
        Change((OLD,), (NEW,)),
        (program,),
        (Access("load", 0),),
        1,
        2,
        1,
        events=(),
    )

    def has_reverse_map(m: Any) -> bool:
        slot = lookup(m, 0, 0)
        return slot is None or not m.rmaps_exist or m.rmap[PLACES.index(slot)]

    found = extended(
        model(w),
        variables={"arch_lock": Flag(), "rmaps_exist": Flag(), "rmap": Array(Flag(), len(PLACES))},
        properties=[always(BREAKS, has_reverse_map), sometimes(WINDOW)],
    )
    return found.with_step(guest_access, first_root)


def before() -> Model:
    """Copy, then lock."""
    return made(flags(copies_first=True))


def after() -> Model:
    """Lock, then copy."""
    return made(flags(copies_first=False))


def lock_kept() -> Model:
    """Lock, then copy, and keep the lock until the grace period is over."""
    return made(flags(copies_first=False, keeps_lock=True))


BUG = Bug(
    commit="bda44d844758",
    title="KVM: Ensure local memslot copies operate on up-to-date arch-specific data",
    version="v5.16",
    source="20211104002531.1176691-2-seanjc@google.com",
    mechanism="reverse maps were allocated between a slot's copy and the lock that guards them",
    breaks=(BREAKS,),
    window=WINDOW,
    before=before,
    after=after,
    beyond={"the lock kept over the grace period": lock_kept},
)
