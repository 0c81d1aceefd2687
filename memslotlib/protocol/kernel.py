"""The steps by which a kernel updates memslots, as ``kvm_set_memslot()`` takes them.

Each is one step of a :class:`.program.Program` and can be replaced or left out. What a step does
between two ``yield`` is atomic; memory is sequentially consistent. Where KVM does several things
under a lock that excludes all who could see them apart, they are one micro-step here.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .mmio import published
from .program import Op
from .slots import Edit, Slot
from .state import AWAITED, READING
from .world import World

Steps = Any


@step
def take_slots_lock(m: Any, w: World) -> Steps:
    """``mutex_lock(&kvm->slots_lock)``: one update, or one read of a dirty log, at a time."""
    m.wait(not m.slots_lock)
    m.slots_lock = True
    yield "mutex_lock(slots_lock)"


@step
def release_slots_lock(m: Any, w: World) -> Steps:
    """``mutex_unlock()``; at rest both sets of a space have to be equal."""
    for as_id in w.spaces:
        if m.sets[as_id, 0] != m.sets[as_id, 1]:
            m.fail("I7 both sets are equal at rest", f"as_id {as_id}")
        if w.caches and m.in_progress[as_id, m.active[as_id]]:
            m.fail("I6 generations are unique and only grow", f"as_id {as_id} is in progress")
    m.slots_lock = False
    yield "mutex_unlock(slots_lock)"


@step
def edit_inactive(m: Any, w: World, edit: Edit) -> Steps:
    """``kvm_replace_memslot()`` in the set that nobody looks at."""
    inactive = 1 - m.active[edit.as_id]
    after = m.sets[edit.as_id, inactive].edited(edit)
    m.sets[edit.as_id, inactive] = after
    if after.overlaps:
        m.fail("I8 no two slots overlap", str(after))
    yield f"inactive set: {edit}"


@step
def publish(m: Any, w: World, as_id: int) -> Steps:
    """``rcu_assign_pointer()`` in ``kvm_swap_active_memslots()``: lookups see the other set."""
    m.active[as_id] = 1 - m.active[as_id]
    if w.caches:
        published(m, w, as_id)
    yield f"swap active set of as_id {as_id}"


@step
def begin_grace_period(m: Any, w: World) -> Steps:
    """``synchronize_srcu_expedited()`` takes note of everybody who is inside."""
    for v in w.cpu:
        if m.srcu[v] == READING:
            m.srcu[v] = AWAITED
    if w.device and m.device_srcu == READING:
        m.device_srcu = AWAITED
    yield "synchronize_srcu: begin"


@step
def end_grace_period(m: Any, w: World) -> Steps:
    """It returns when they have left; who entered since does not count."""
    for v in w.cpu:
        m.wait(m.srcu[v] != AWAITED)
    if w.device:
        m.wait(m.device_srcu != AWAITED)
    yield "synchronize_srcu: end"


@step
def free(m: Any, w: World, slot: Slot) -> Steps:
    """``kvm_free_memslot()`` or ``kfree()``: nobody may hold the slot any more.

    Its dirty bitmap goes with it, unless another slot has taken that over.
    """
    m.freed[w.mortal.index(slot)] = True
    alive = [one for one in m.sets[slot.as_id, m.active[slot.as_id]] if one.log]
    kept = {w.bit(one, gfn) for one in alive for gfn in one.gfns}
    for gfn in slot.gfns if slot.log and not w.ring else ():
        if w.bit(slot, gfn) not in kept:
            m.bitmap[w.bit(slot, gfn)] = False
    yield f"free {slot}"


@step
def ioctl_returns(m: Any, w: World) -> Steps:
    """The last ioctl of the update has returned to userspace."""
    m.returned = True
    yield "the update has returned"


def synchronize() -> tuple[Op, ...]:
    """``synchronize_srcu_expedited()``."""
    return Op(begin_grace_period), Op(end_grace_period)


def swap(as_id: int) -> tuple[Op, ...]:
    """``kvm_swap_active_memslots()``."""
    return Op(publish, (as_id,)), *synchronize()


def replace(old: Slot | None, new: Slot | None) -> Op:
    """``kvm_replace_memslot()`` in the inactive set."""
    return Op(edit_inactive, (Edit(old, new),))


def invalidate(slot: Slot) -> tuple[Op, ...]:
    """``kvm_invalidate_memslot()`` without its last step, the flush."""
    return replace(slot, slot.invalid), *swap(slot.as_id)


LOCK, UNLOCK, RETURN = Op(take_slots_lock), Op(release_slots_lock), Op(ioctl_returns)
